"""Files of other programs, and files that mean harm."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import struct
import time
import tracemalloc
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.craft.books import BOOKS, manuscript

from storyteller.craft.book import Alternative, Book
from storyteller.craft.formats import KINDS, read_book, write_book
from storyteller.craft.formats.png import blank_picture, with_text_chunks
from storyteller.craft.lore import mentions
from storyteller.errors import DataError


def read(name: str, value: object) -> Book:
    return read_book(name, json.dumps(value, ensure_ascii=False).encode())


def zipped(files: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
    '<rootfiles><rootfile full-path="p.opf"/></rootfiles></container>'
)


def epub(pages: dict[str, str], *, ncx: str = "", head: str = "") -> bytes:
    items = "".join(
        f'<item id="i{n}" href="{name}" media-type="application/xhtml+xml"/>' for n, name in enumerate(pages)
    )
    items += '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>' if ncx else ""
    spine = "".join(f'<itemref idref="i{n}"/>' for n in range(len(pages)))
    package = (
        f'{head}<package xmlns="http://www.idpf.org/2007/opf" version="2.0"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>A Book</dc:title><dc:creator>Ann</dc:creator><dc:language>en-GB</dc:language>"
        f"<dc:publisher>P</dc:publisher></metadata>"
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    return zipped({"META-INF/container.xml": CONTAINER, "p.opf": package, **pages, **({"toc.ncx": ncx} if ncx else {})})


# ---- what other programs write -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "title", "said"),
    [
        (
            "CHAPTER I\n\nIt rained.\n\nCHAPTER II. The Sea\n\nIt stopped.\n\n* * *\n\nLater.",
            "CHAPTER II. The Sea",
            "It stopped.",
        ),
        ("第一章 雨\n\n下雨了。\n\n第二章 船\n\n雨停了。\n\n＊＊＊\n\n后来。", "第二章 船", "雨停了。"),
    ],
)
def test_chapters_are_found_in_plain_text(text: str, title: str, said: str) -> None:
    for encoding in ("utf-8", "utf-16", "gb18030"):
        book = read_book("dir/my_book.txt", text.encode(encoding))
        assert book.title == "my book"
        assert [part.title for part in book.parts][1] == title
        assert [scene.text for scene in book.scenes()][1:] == [said, book.scenes()[2].text]
        assert len(book.scenes()) == 3


def test_wrapped_lines_become_paragraphs() -> None:
    prose = (
        "It was a dark night and the rain fell\nupon the roof of the house by the sea,\nand nobody slept.\n\nThe end."
    )
    assert read_book("a.txt", prose.encode()).text == (
        "It was a dark night and the rain fell upon the roof of the house by the sea, and nobody slept.\nThe end."
    )


def test_markdown_of_other_hands() -> None:
    source = (
        "---\ntitle: 灯塔\nauthor: 李明\ndate: 2020-01-01\n---\n\n第一卷\n===\n\n## 夜\n\n他说：“走吧。”\n\n---\n\n后来。\n\n"
        "## 日\n\n\\# 不是标题\n\n```fountain\nINT. X\n```\n"
    )
    book = read_book("x.md", source.encode())
    assert (book.title, book.author, book.language) == ("灯塔", "李明", "zh")
    assert book.extra["front_matter"] == {"date": "2020-01-01"}
    assert manuscript(book) == [
        ("chapter", "第一卷", ""),
        ("scene", "夜", "他说：“走吧。”"),
        ("scene", "", "后来。"),
        ("scene", "日", "# 不是标题\nINT. X"),
    ]


def test_epub_2_takes_its_chapter_titles_from_the_contents() -> None:
    ncx = (
        '<ncx xmlns="http://www.daisy.org/z3986/2005/ncx/"><navMap><navPoint><navLabel><text>One</text></navLabel>'
        '<content src="a.xhtml#x"/>'
        '</navPoint><navPoint><navLabel><text>Two</text></navLabel><content src="b.xhtml"/></navPoint></navMap></ncx>'
    )
    pages = {
        "a.xhtml": "<html><head><title>t</title></head><body>"
        "<p>It <i>rained</i>&nbsp;&amp; <b>stopped</b>.<br/>So.</p></body></html>",
        "b.xhtml": "<html><body><p>Two</p><p>The end<script>alert(1)</script>.</p></body></html>",
    }
    book = read_book("x.epub", epub(pages, ncx=ncx))
    assert manuscript(book) == [
        ("chapter", "One", ""),
        ("scene", "", "It *rained*\xa0& **stopped**.\nSo."),
        ("chapter", "Two", ""),
        ("scene", "", "The end."),
    ]
    assert (book.title, book.author, book.language, book.extra["metadata"]) == (
        "A Book",
        "Ann",
        "en",
        {"publisher": ["P"]},
    )


def test_sillytavern_world_json() -> None:
    value = {
        "entries": {
            "0": {
                "uid": 0,
                "key": ["关云长", "/关.*/"],
                "keysecondary": ["酒"],
                "comment": "关羽",
                "content": "红脸。",
                "constant": True,
                "selective": True,
                "order": 5,
                "disable": True,
                "probability": 50,
                "caseSensitive": False,
            }
        }
    }
    book = read("world.json", value)
    entry = book.entries[0]
    assert (entry.name, entry.aliases, entry.text, entry.always, entry.enabled, entry.priority) == (
        "关羽",
        ["关云长"],
        "红脸。",
        True,
        False,
        5,
    )
    assert entry.extra["lorebook"]["extensions"]["sillytavern"] == {"uid": 0, "probability": 50}
    assert "/关.*/" in book.entries[0].extra["patterns"]
    assert "regular expressions" in book.warnings[0]


@pytest.mark.parametrize(
    ("given", "text", "found"),
    [
        (None, "The dragon lord came. DRAGON LORD!", 2),
        (False, "the dragon lord", 1),
        (True, "The dragon lord came.", 0),
    ],
)
def test_sillytavern_names_fire_in_any_case_unless_it_is_said(given: bool | None, text: str, found: int) -> None:
    entry = {
        "key": ["Dragon Lord"],
        "keysecondary": ["fire"],
        "selective": True,
        "content": "He burns.",
        "caseSensitive": given,
    }
    book = read("world.json", {"entries": {"0": entry}})
    assert len(mentions(book.entries, text, "en")) == found
    assert "second keys" in book.warnings[0]
    assert "Dragon Lord" in book.warnings[0]


def test_novelai_lorebook_and_scenario_keep_all_keys() -> None:
    lore = {
        "lorebookVersion": 5,
        "entries": [
            {
                "text": "A kind keeper.",
                "displayName": "Ann",
                "keys": ["ann", "keeper", "Annie"],
                "forceActivation": True,
                "enabled": True,
                "contextConfig": {"budgetPriority": 400},
            }
        ],
    }
    entry = read("x.lorebook", lore).entries[0]
    assert (entry.name, entry.aliases, entry.always, entry.priority) == ("Ann", ["ann", "keeper", "Annie"], True, 400)
    scenario = {
        "scenarioVersion": 3,
        "title": "灯塔",
        "author": "A",
        "description": "A test",
        "prompt": "下雨了。\n\n他走了。",
        "tags": ["x"],
        "context": [{"text": "记住这个。"}, {"text": "慢一点。"}],
        "lorebook": lore,
        "placeholders": ["x"],
    }
    book = read("x.scenario", scenario)
    assert (book.title, book.memory, book.note, book.scenes()[0].text) == (
        "灯塔",
        "记住这个。",
        "慢一点。",
        "下雨了。\n他走了。",
    )
    assert (len(book.entries), book.extra["novelai"]["tags"], len(book.warnings)) == (1, ["x"], 1)


def test_the_text_of_a_novelai_story() -> None:
    old = {
        "storyContainerVersion": 1,
        "metadata": {"title": "T"},
        "content": {"story": {"fragments": [{"data": "It rai"}, {"data": "ned.\nYes."}]}},
    }
    assert read("x.story", old).text == "It rained.\nYes."
    packed = b"\x82\xa4type\x01\xa4text\xaaIt rained.\x92\x82\xa4text" + b"\xd9\x0c" + "下雨了。".encode()
    new = {
        "storyContainerVersion": 1,
        "metadata": {"title": "T"},
        "content": {"document": base64.b64encode(packed).decode()},
    }
    book = read("x.story", new)
    assert book.text == "It rained.\n下雨了。"
    assert "compare it with the original" in book.warnings[0]
    with pytest.raises(DataError, match="Export the story as text"):
        read("x.story", {"storyContainerVersion": 1, "metadata": {}, "content": {"document": "!!"}})


def test_a_kobold_save() -> None:
    value = {
        "gamestarted": True,
        "prompt": "It rained.\n\nAnn",
        "actions": [" waited.", "\n\nThe seal came."],
        "memory": "1901",
        "authorsnote": "slowly",
        "actions_metadata": {
            "1": {"Selected Text": "x", "Alternative Text": [{"Text": "\nNobody came.", "Pinned": False}]}
        },
        "worldinfo": [
            {
                "key": "Ann,Annie",
                "keyanti": "bookmark",
                "content": "Kind.",
                "comment": "",
                "constant": False,
                "widisabled": True,
            }
        ],
        "altbranches": [{"prompt": "It rained.", "actions": [" And rained."]}, 7],
        "savedsettings": {"a": 1},
    }
    book = read("save.json", value)
    text = "It rained.\nAnn waited.\nThe seal came."
    assert (book.scenes()[0].text, book.memory, book.note) == (text, "1901", "slowly")
    first, branch = book.alternatives
    assert text[first.start : first.end] == "\nThe seal came."
    assert first.text == "Nobody came."
    assert branch == Alternative(0, 0, len(text), "It rained. And rained.", {"branch": 0})
    entry = book.entries[0]
    assert (entry.name, entry.aliases, entry.avoid, entry.enabled) == ("Ann", ["Annie"], ["bookmark"], False)
    assert book.extra["kobold"]["savedsettings"] == {"a": 1}
    assert len(book.warnings) == 1


def test_a_sillytavern_chat() -> None:
    lines = [
        {"user_name": "我", "character_name": "小明", "create_date": "x", "chat_metadata": {"note_prompt": "慢一点。"}},
        {
            "name": "小明",
            "is_user": False,
            "mes": "你好。\n\n*他笑*",
            "swipes": ["你好。\n\n*他笑*", "走开。"],
            "swipe_id": 0,
            "send_date": "d",
        },
        {"name": "我", "is_user": True, "mes": "好。"},
    ]
    book = read_book("chat.jsonl", "\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode())
    assert (book.title, book.form, book.note) == ("小明", "dialogue", "慢一点。")
    assert book.scenes()[0].text == "小明：你好。\n*他笑*\n我：好。"
    alternative = book.alternatives[0]
    assert (alternative.start, alternative.end, alternative.text) == (0, len("小明：你好。\n*他笑*"), "小明：走开。")
    assert book.extra["chat"]["messages"][0] == {"send_date": "d"}


def test_charx_and_a_lorebook_in_a_picture() -> None:
    card = {
        "spec": "chara_card_v3",
        "spec_version": "3.0",
        "data": {"name": "Ann", "first_mes": "Hi.", "assets": [{"uri": "embeded://a.png"}]},
    }
    book = read_book("x.charx", zipped({"card.json": json.dumps(card), "assets/a.png": b"x"}))
    assert (book.title, book.extra["card"]["data"]["assets"]) == ("Ann", [{"uri": "embeded://a.png"}])
    assert "assets/a.png" in book.warnings[0]
    lore = base64.b64encode(json.dumps({"lorebookVersion": 4, "entries": [{"text": "t", "keys": ["k"]}]}).encode())
    assert read_book("x.png", with_text_chunks("x", blank_picture(2, 2), {"naidata": lore})).entries[0].name == "k"


def test_version_three_wins_in_a_picture_and_the_picture_is_kept() -> None:
    def card(name: str) -> bytes:
        return base64.b64encode(
            json.dumps({"spec": "chara_card_v3", "data": {"name": name, "first_mes": "你好。"}}).encode()
        )

    picture = blank_picture(3, 3, (1, 2, 3))
    book = read_book("x.png", with_text_chunks("x", picture, {"chara": card("Two"), "ccv3": card("三")}))
    assert book.title == "三"
    assert with_text_chunks("x", write_book(book, "card-png"), {}) == picture


# ---- what means harm ---------------------------------------------------------------------------------------------------


def test_a_script_in_a_card_is_text() -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>{{char}}"
    book = read("x.json", {"spec": "chara_card_v2", "data": {"name": "A</p>", "description": evil, "first_mes": evil}})
    assert "<script>alert(1)</script>" in book.scenes()[0].text
    archive = zipfile.ZipFile(io.BytesIO(write_book(book, "epub")))
    for name in archive.namelist():
        assert b"<script" not in archive.read(name)
        assert b"<img" not in archive.read(name)
    assert read_book("x.epub", write_book(book, "epub")).scenes()[0].text == book.scenes()[0].text


ENTITIES = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("head", [ENTITIES, OUTSIDE], ids=["expanding", "outside"])
def test_xml_with_entities_is_not_read(head: str) -> None:
    fdx = f'<?xml version="1.0"?>{head}<FinalDraft><Content><Paragraph><Text>&a;</Text></Paragraph></Content></FinalDraft>'
    for name, data in (("x.fdx", fdx.encode()), ("x.epub", epub({"a.xhtml": "<p>x</p>"}, head=head))):
        with pytest.raises(DataError, match="entities"):
            read_book(name, data)
    word = zipped({"word/document.xml": f"{head}<x>&a;</x>"})
    with pytest.raises(DataError, match="entities"):
        read_book("x.docx", word)


def test_zip_bombs_are_not_unpacked() -> None:
    tracemalloc.start()
    started = time.monotonic()
    big = epub({"a.xhtml": "<p>" + "a" * (70 << 20) + "</p>"})
    lies = bytearray(big)
    place = lies.rfind(b"PK\x01\x02")
    lies[place + 24 : place + 28] = (10).to_bytes(4, "little")  # the directory says that the last file is small
    tracemalloc.reset_peak()
    for data in (big, bytes(lies)):
        with pytest.raises(DataError, match=r"far more than a book|damaged"):
            read_book("x.epub", data)
    many = zipped({f"{n}": b"" for n in range(20_500)})
    with pytest.raises(DataError, match="files"):
        read_book("x.epub", many)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400 << 20
    assert time.monotonic() - started < 20


def test_a_locked_archive_says_so() -> None:
    data = bytearray(epub({"a.xhtml": "<p>x</p>"}))
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        place = 0
        while (place := data.find(mark, place)) >= 0:
            data[place + offset] |= 1
            place += 1
    with pytest.raises(DataError, match="locked"):
        read_book("x.epub", bytes(data))


def test_a_damaged_entry_of_any_packing_is_told() -> None:
    for packing in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", packing) as archive:
            archive.writestr("META-INF/container.xml", "<container/>" * 200)
        data = bytearray(buffer.getvalue())
        begin = data.index(b"container.xml") + len("container.xml")
        data[begin + 9 : begin + 21] = b"\xff" * 12  # behind what LZMA says of itself
        with pytest.raises(DataError, match="damaged"):
            read_book("x.epub", bytes(data))


def test_a_path_in_a_book_cannot_leave_it() -> None:
    data = epub({"../../../../etc/passwd": "<p>inside</p>"})
    assert "root:" not in str(read_book_or_none(data))


def read_book_or_none(data: bytes) -> str:
    try:
        return read_book("x.epub", data).text
    except DataError as error:
        return str(error)


WRONG = {
    "empty": (b"", "is empty"),
    "blank": (b" \n\n", "holds no text"),
    "pdf": (b"%PDF-1.7", "PDF"),
    "old word": (b"\xd0\xcf\x11\xe0\xa1\xb1", "old Word"),
    "rtf": (b"{\\rtf1", "Rich Text"),
    "jpeg": (b"\xff\xd8\xff\xe0", "JPEG"),
    "binary": (bytes(range(256)) * 40, "not text"),
    "zip": (b"PK\x03\x04rubbish", "damaged"),
    "odt": (zipped({"content.xml": "<x/>"}), "OpenDocument"),
    "other zip": (zipped({"a.txt": "x"}), "no book"),
    "epub without package": (zipped({"META-INF/container.xml": CONTAINER}), "damaged"),
    "epub of pictures": (epub({"a.xhtml": "<html><body><img src='a'/></body></html>"}), "no text"),
    "word without words": (zipped({"word/document.xml": "<a/>"}), "Word document|no text"),
    "plain picture": (blank_picture(2, 2), "without a character card"),
    "cut picture": (blank_picture(2, 2)[:-20], "ends too early"),
    "broken card in a picture": (with_text_chunks("x", blank_picture(2, 2), {"chara": b"!!!"}), "damaged"),
    "empty card": (b'{"spec": "chara_card_v2", "data": {}}', "without a name"),
    "empty lorebook": (b'{"entries": {}}', "without any entry"),
    "empty save": (b'{"gamestarted": true, "actions": []}', "without a story"),
    "other json": (b'{"a": 1}', "not known"),
    "deep json": (b"[" * 200_000, "too deeply|damaged|not known"),
    "fdx of nothing": (b'<?xml version="1.0"?><FinalDraft></FinalDraft>', "no Final Draft"),
    "broken fdx": (b"<FinalDraft><Content>", "not well-formed"),
}


@pytest.mark.parametrize("case", WRONG)
def test_every_wrong_file_says_what_to_do(case: str) -> None:
    data, words = WRONG[case]
    name = "x.json" if "json" in case else "x.bin"
    with pytest.raises(DataError, match=words):
        read_book(name, data)


def test_a_text_chunk_that_unpacks_without_end_is_not_unpacked() -> None:
    body = b"chara\0\0" + zlib.compress(b"A" * (40 << 20))
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    picture = blank_picture(2, 2)
    with pytest.raises(DataError, match="unpacks to over"):
        read_book("x.png", picture[:33] + chunk + picture[33:])


PATHS = {
    "comments": "<!--" * 200_000,
    "tags": "<a " * 200_000,
    "quotes": '<p a="' * 100_000,
    "scripts": "<script>" * 100_000,
    "emphasis": " *a" * 200_000,
    "notes": "[[\n" * 100_000,
    "boneyard": "/*\n" * 100_000,
    "both": "/* [[" * 50_000 + "]]",
    "headings": "INT. X\n\n" * 20_000,
    "cues": "MARY\n" * 100_000,
    "one line": "x" * 3_000_000,
    "brackets": "(" * 300_000,
    "hashes": "#" * 300_000,
    "colons": "A: " * 100_000,
}


@pytest.mark.parametrize("case", PATHS)
def test_nothing_takes_longer_than_it_should(case: str) -> None:
    from storyteller.craft.screenplay import as_fountain

    started = time.monotonic()
    text = PATHS[case]
    for name in ("x.txt", "x.md", "x.fountain", "x.html"):
        data = f"<!doctype html>{text}" if name == "x.html" else text
        with contextlib.suppress(DataError):
            write_book(read_book(name, data.encode()), "fountain")
    as_fountain(text, "en")
    assert time.monotonic() - started < 30  # seconds; what is quadratic takes minutes


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(range(len(BOOKS))), st.sampled_from(["epub", "docx", "fdx", "card", "card-png", "md"]), st.data()
)
def test_a_damaged_file_is_read_or_refused_never_more(number: int, kind: str, data: st.DataObject) -> None:
    whole = FILES.get((number, kind)) or FILES.setdefault((number, kind), write_book(BOOKS[number], kind))
    place = data.draw(st.integers(0, len(whole) - 1))
    rest = data.draw(st.sampled_from([b"", whole[place + 1 :], b"\0" + whole[place:], whole[place + 7 :]]))
    name = f"x{KINDS[kind].suffix}"
    assert _read_or_refused(name, whole[:place] + rest)


FILES: dict[tuple[int, str], bytes] = {}


def _read_or_refused(name: str, data: bytes) -> Book | str:
    """The book, or what the refusal says."""
    try:
        return read_book(name, data)
    except DataError as error:
        return str(error)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["x", "x.md", "x.json", "x.fountain", "x.epub", "x.png", "x.story"]))
def test_any_bytes_are_read_or_refused(data: bytes, name: str) -> None:
    for head in (b"", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n", b"{", b"<FinalDraft>"):
        read = _read_or_refused(name, head + data)
        assert isinstance(read, Book) or name in read


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "spec",
                    "data",
                    "name",
                    "entries",
                    "key",
                    "keys",
                    "content",
                    "text",
                    "actions",
                    "prompt",
                    "worldinfo",
                    "mes",
                    "swipes",
                    "scenarioVersion",
                    "storyContainerVersion",
                    "lorebookVersion",
                    "context",
                    "first_mes",
                    "altbranches",
                    "messages",
                    "actions_metadata",
                    "0",
                    "Options",
                    "Alternative Text",
                    "alternate_greetings",
                    "character_book",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(JSON)
def test_json_of_any_shape_is_read_or_refused(value: object) -> None:
    try:
        book = read("x.json", value)
    except DataError:
        return
    write_book(book, "md")
    write_book(book, "card-png")
