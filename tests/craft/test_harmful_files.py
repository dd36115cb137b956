"""Files that mean harm, or that are damaged: they are read or refused, soon, and never more."""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import struct
import time
import tracemalloc
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.craft.books import BOOKS
from tests.craft.foreign import CONTAINER, epub, read, zipped

from storyteller.craft.book import Book
from storyteller.craft.formats import KINDS, read_book, write_book
from storyteller.craft.formats.png import blank_picture, with_text_chunks
from storyteller.errors import DataError


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
    from storyteller.craft.screenplay import scene_elements

    started = time.process_time()
    text = PATHS[case]
    for name in ("x.txt", "x.md", "x.fountain", "x.html"):
        data = f"<!doctype html>{text}" if name == "x.html" else text
        with contextlib.suppress(DataError):
            write_book(read_book(name, data.encode()), "fountain")
    scene_elements(text)
    assert time.process_time() - started < 30  # seconds; what is quadratic takes minutes


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


def test_a_picture_of_many_texts_unpacks_only_its_card() -> None:
    bomb = zlib.compress(b"x" * (30 << 20), 9)
    card = base64.b64encode(b'{"spec": "chara_card_v2", "data": {"name": "Ana", "first_mes": "Hi."}}')
    picture = with_text_chunks("x", blank_picture(2, 2), {"chara": card})
    place = len(picture) - 12  # before its end
    chunks = b""
    for number in range(40):
        body = b"k%d\0\0" % number + bomb
        chunks += struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    tracemalloc.start()
    try:
        assert read_book("x.png", picture[:place] + chunks + picture[place:]).entries[0].name == "Ana"
        assert tracemalloc.get_traced_memory()[1] < 60 << 20
    finally:
        tracemalloc.stop()


def test_front_matter_with_aliases_is_text() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in itertools.pairwise("abcdefgh")]
    book = read_book("x.md", "\n".join(["---", *lines, "---", "", "It rained."]).encode())
    assert book.extra == {}
    assert book.scenes()[-1].text == "It rained."


def test_a_word_document_is_looked_at_whatever_its_parts_are_called() -> None:
    xml = "<w:document xmlns:w='http://schemas.openxmlformats.org/wordprocessingml/2006/main'><w:body>"
    xml += "<w:p><w:r><w:t>so</w:t></w:r></w:p>" * 200_000 + "</w:body></w:document>"
    rels = (
        "<Relationships xmlns='http://schemas.openxmlformats.org/package/2006/relationships'><Relationship Id='r' "
        "Type='http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument' Target='word/d.bin'/>"
        "</Relationships>"
    )
    parts = {"[Content_Types].xml": "<Types/>", "_rels/.rels": rels, "word/document.xml": "<a/>", "word/d.bin": xml}
    with pytest.raises(DataError, match="far more than a book"):
        read_book("x.docx", zipped(parts))
