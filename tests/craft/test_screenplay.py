"""A model's free screenplay becomes Fountain that three parsers read, in English and Chinese."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from storyteller.craft.book import Book, Part
from storyteller.craft.formats import read_book
from storyteller.craft.formats.fountain import Element, parse_script, write_elements
from storyteller.craft.formats.layout import lines_of
from storyteller.craft.formats.screenplays import parse_fdx, write_fdx, write_fountain
from storyteller.craft.screenplay import scene_elements

ENGLISH = """**INT. KITCHEN - NIGHT**

Mary enters. It is dark.

**MARY**
(whispering)
Hello?

John: Who is there?

MARY

It's me.

CUT TO:

Scene 2: The Harbour

Boats.
"""
ENGLISH_FOUNTAIN = """INT. KITCHEN - NIGHT

Mary enters. It is dark.

MARY
(whispering)
Hello?

@John
Who is there?

MARY
It's me.

CUT TO:

INT. THE HARBOUR

Boats.
"""
CHINESE = """【内景 茶馆 夜】

雨水敲着瓦片。

小明：你来了。

小红（低声）：我来了。

小明

（站起）

走吧。

切至：

2、码头 日 外

小红
船呢？
"""
CHINESE_FOUNTAIN = """INT. 内景 茶馆 夜

雨水敲着瓦片。

@小明
你来了。

@小红
(低声)
我来了。

@小明
(站起)
走吧。

> 切至:

EXT. 外景 码头 - 日

@小红
船呢？
"""


def oracles(text: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """What screenplain and screenplay-tools see: headings, cues and transitions in their order."""
    from screenplain.parsers import fountain
    from screenplain.types import Dialog, DualDialog, Slug, Transition
    from screenplay_tools.fountain.parser import Parser

    first: list[tuple[str, str]] = []
    for item in fountain.parse(io.StringIO(text)):
        speeches = (
            [item.left, item.right] if isinstance(item, DualDialog) else [item] if isinstance(item, Dialog) else []
        )
        first += [("character", str(speech.character)) for speech in speeches]
        if isinstance(item, Slug | Transition):
            first.append(("heading" if isinstance(item, Slug) else "transition", str(item.line)))
    parser = Parser()
    parser.add_text(text)
    second: list[tuple[str, str]] = []
    for item in parser.script.elements:
        kind = type(item).__name__
        if kind == "Character":
            second.append(("character", item.name + (f" ({item.extension})" if item.extension else "")))
        elif kind in ("SceneHeading", "Transition"):
            second.append(("heading" if kind == "SceneHeading" else "transition", item.text.strip()))
    return first, second


def ours(elements: list[Element]) -> list[tuple[str, str]]:
    return [(e.kind, e.text) for e in elements if e.kind in ("heading", "character", "transition")]


@pytest.mark.parametrize(("free", "fountain"), [(ENGLISH, ENGLISH_FOUNTAIN), (CHINESE, CHINESE_FOUNTAIN)])
def test_what_models_write_becomes_fountain_that_others_read_alike(free: str, fountain: str) -> None:
    written = write_elements(scene_elements(free))
    assert written == fountain
    assert write_elements(scene_elements(written)) == written
    mine = ours(parse_script(f"\n{written}").elements)
    assert oracles(written) == (mine, mine)


def test_a_text_of_action_stays_one() -> None:
    assert [(e.kind, e.text) for e in scene_elements("She waits.")] == [("action", "She waits.")]
    assert scene_elements(" \n\n") == []


def test_words_that_only_look_like_names_are_not_cues() -> None:
    text = "内景 茶馆 夜\n\nNote: bring the lamp.\n\nTime: night.\n\n时间：夜\n\n人物：小明、小红"
    assert [element.kind for element in scene_elements(text)] == ["heading"] + ["action"] * 4


LINES = [
    "INT. HOUSE - DAY",
    "ext. harbour",
    "内景 茶馆 夜",
    "外景。码头。日",
    ".内景",
    "Scene 3",
    "第二场",
    "MARY",
    "MARY (V.O.) ^",
    "Mary",
    "Mary: Hello.",
    "小明",
    "小明：好。",
    "小红（笑）：好。",
    "@小明",
    "(beat)",
    "（低声）",
    "CUT TO:",
    "> 切至:",
    "切至：",
    "FADE IN:",
    "Title: X",
    "# Act",
    "= synopsis",
    "[[note",
    "note]]",
    "/* cut",
    "cut */",
    "===",
    "> THE END <",
    "~la",
    "!",
    "@",
    "#",
    ".",
    "*",
    "**",
    "```",
    "- ",
    "**MARY**",
    "It rains.",
    "下雨了。",
    "他说：“走吧。”",
    "",
    "",
    "",
    "  ",
    "1. 茶馆 日 内",
    "...",
    "TO:",
    "A TO:",
    "I/E CAR",
    "INT.",
    "int.",
    "^",
    "[x]",
    "{}",
]


@pytest.mark.parametrize(("language", "free", "fountain"),
                         [("en", ENGLISH, ENGLISH_FOUNTAIN), ("zh", CHINESE, CHINESE_FOUNTAIN)])  # fmt: skip
def test_what_a_model_wrote_is_exported_as_the_screenplay_that_it_means(
    language: Any, free: str, fountain: str
) -> None:
    book = Book("Tea", language=language, form="screenplay", parts=[Part("scene", text=free)])
    assert write_fountain(book).decode() == f"Title: Tea\n\n{fountain}"
    paragraphs = parse_fdx("tea.fdx", write_fdx(book)).elements
    assert ours(paragraphs) == ours(parse_script(f"\n{fountain}").elements)
    roles = [line.role for line in lines_of(book)]
    assert {"heading", "character", "dialogue", "transition"} <= set(roles)
    assert read_book("tea.fountain", write_fountain(book)).scenes()[0].title


def test_two_who_speak_without_a_heading_are_heard() -> None:
    kinds = [element.kind for element in scene_elements("小明：你来了。\n小红：我来了。")]
    assert kinds == ["character", "dialogue"] * 2


@pytest.mark.parametrize("text", [
    "MARY\nHello.\n\n**BANG!**\n\nTom: a note on the wall.\n\nScene 2 of the play within the play begins.",
    "She reads the wall.\n\nTom: gone fishing.\n\n**No more.**\n\n> FADE OUT.",
    "INT. KITCHEN - DAY\n\n**INT. A DREAM - NIGHT**\n\nMary: a name in chalk. Tom: another.\n\n```",
    "@小明\n你来了。\n\n小红：墙上的字。",
])  # fmt: skip
def test_what_a_person_wrote_as_fountain_is_left_as_it_is(text: str) -> None:
    assert scene_elements(text) == parse_script(f"\n{text}").elements


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=14).map("\n".join))
def test_fountain_that_was_mended_once_is_never_mended_again(text: str) -> None:
    canonical = f"\n{write_elements(scene_elements(text))}"
    assert scene_elements(canonical) == parse_script(f"\n{canonical}").elements


LINE = st.one_of(
    st.sampled_from(LINES), st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=12)
)
TEXT = st.lists(LINE, max_size=14).map("\n".join)


@settings(max_examples=1500, deadline=None)
@given(TEXT)
def test_any_text_becomes_a_screenplay_that_others_read_alike(text: str) -> None:
    free = f"**INT. HOUSE**\n{text}"
    assume(all(element.kind != "heading" for element in parse_script(f"\n{free}").elements))  # that stays as it is
    elements = scene_elements(free)
    written = write_elements(elements)
    again = parse_script(f"\n{written}").elements
    assert write_elements(again) == written
    mine = [text.upper() for kind, text in ours(again) if kind == "heading"]
    assert mine
    for seen in oracles(f"Title: x\n\n{written}"):
        assert [heading.upper() for kind, heading in seen if kind == "heading"] == mine
