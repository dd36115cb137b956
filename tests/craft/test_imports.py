"""Files of other programs."""

from __future__ import annotations

import base64
import json

import pytest
from tests.craft.books import manuscript
from tests.craft.foreign import epub, read, zipped

from storyteller.craft.book import Alternative
from storyteller.craft.formats import read_book, write_book
from storyteller.craft.formats.png import blank_picture, with_text_chunks
from storyteller.craft.lore import mentions
from storyteller.errors import DataError


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
