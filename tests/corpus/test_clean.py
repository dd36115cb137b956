from __future__ import annotations

import pytest

from storyteller.corpus.clean import clean, unmark
from storyteller.corpus.encoding import decode, repair
from storyteller.corpus.gutenberg import gutenberg_header, strip_gutenberg

CAFE = "The naïve girl went to the café — “twice,” she said. Then she went home again, and slept."
ZH = "从前有个小孩，他住在海边的村子里。每天早上他都去看海，等爸爸的船回来。"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_decodes_english(encoding: str) -> None:
    assert decode(CAFE.encode(encoding)) == CAFE


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_decodes_chinese(encoding: str) -> None:
    assert decode(ZH.encode(encoding)) == ZH


def test_binary_is_none() -> None:
    assert decode(bytes(range(256)) * 40) is None
    assert decode(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0\1\2\3" * 100) is None


def test_repairs_mojibake() -> None:
    assert repair("It wasnâ€™t the cafÃ©.") == "It wasn’t the café."
    assert repair("Ärger, ça va, 你好") == "Ärger, ça va, 你好"


def test_joins_wrapped_lines_and_keeps_paragraphs_and_verse() -> None:
    wrapped = (
        "The old man walked slowly down to the sea, where his boat was\n"
        "lying upside down on the stones, and he sat on it and looked at\n"
        "the water.\n\n"
        "He sang:\n\nOver the sea\nOver the foam\nFollow me\nFollow me home\n\n\n\n"
        "Nobody answered him, because nobody was there, not even a gull on\n"
        "the wind.\n"
    )
    text = clean(wrapped)
    assert "where his boat was lying" in text
    assert "Over the sea\nOver the foam" in text
    assert text.count("\n\n") == 3


def test_chinese_lines_are_paragraphs_and_wrapped_ones_are_joined() -> None:
    assert clean("　　第一段。\n　　第二段。", "zh") == "第一段。\n\n第二段。"
    wrapped = (
        "从前有一个老人住在山里面他每天都要\n下山去买东西然后再慢慢地走回来。\n\n"
        "后来他老了再也走不动了就请村里的\n孩子帮他买东西送上来。"
    )
    assert clean(wrapped, "zh").split("\n\n")[0] == "从前有一个老人住在山里面他每天都要下山去买东西然后再慢慢地走回来。"


def test_tidies_characters_and_spaces() -> None:
    assert clean("A\u00a0cafe\u0301\u200b  was\there.\r\nYes.\x00") == "A café was here.\nYes."
    assert clean("He left.[12] [Illustration: a dog] She stayed.") == "He left. She stayed."
    assert clean("One.\n\n* * * * *\n\nTwo.") == "One.\n\n* * *\n\nTwo."


def test_a_script_keeps_its_lines() -> None:
    play = "HAMLET\nto be or not to be, that is the question whether it is\nnobler in the mind"
    assert clean(play, script=True) == play


def test_takes_markdown_off() -> None:
    assert unmark("## Two\n\nHe **ran** to _her_ [house](http://x). 2*3*4 snake_case_name") == (
        "Two\n\nHe ran to her house. 2*3*4 snake_case_name"
    )
    assert unmark("café_au_lait_s") == "café_au_lait_s"
    assert unmark("他**突然**站起来，这是__重点__，你要*记住*。") == "他突然站起来，这是重点，你要记住。"
    assert unmark("我叫__，你叫__。2*3*4=24，用snake_case_name。") == "我叫__，你叫__。2*3*4=24，用snake_case_name。"


GUTENBERG = """The Project Gutenberg eBook of The Fox, by Jane Roe

Title: The Fox
Author: Jane Roe
Language: English

*** START OF THE PROJECT GUTENBERG EBOOK THE FOX ***

Produced by A. Volunteer and the Online Distributed
Proofreading Team at http://www.pgdp.net

[Transcriber's Note: spelling kept.]

THE FOX

The fox ran. The hounds ran after him.

*** END OF THE PROJECT GUTENBERG EBOOK THE FOX ***

Updated editions will replace the previous one. LICENSE ...
"""


def test_takes_the_gutenberg_frame_off() -> None:
    assert strip_gutenberg(GUTENBERG).strip() == "THE FOX\n\nThe fox ran. The hounds ran after him."
    assert gutenberg_header(GUTENBERG) == {"title": "The Fox", "author": "Jane Roe", "language": "en"}


def test_takes_the_old_small_print_off() -> None:
    old = (
        "***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\nlaw law law about Project Gutenberg\n"
        "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n\nOnce there was a cat.\n\n"
        "End of Project Gutenberg's Cat\n"
    )
    assert strip_gutenberg(old).strip() == "Once there was a cat."


def test_a_story_about_gutenberg_stays_whole() -> None:
    story = "Johannes Gutenberg woke up.\n\nHe looked at his press, and it was good."
    assert strip_gutenberg(story) == story


def test_paragraphs_that_only_indents_tell_apart() -> None:
    wrapped = (
        "　　从前有一只狐狸，它住在河边，每天晚上都去\n看月亮，月亮在水里。\n"
        "　　有一天它说：“我要把月亮带回家去，给我的\n孩子们看。”于是它跳了下去。"
    )
    assert clean(wrapped, "zh") == (
        "从前有一只狐狸，它住在河边，每天晚上都去看月亮，月亮在水里。\n\n"
        "有一天它说：“我要把月亮带回家去，给我的孩子们看。”于是它跳了下去。"
    )
    english = (
        "\tA fox lived by the river, and every night it\nwent to look at the moon in the water.\n"
        "\tOne day it said\nthat it would take the moon home."
    )
    assert clean(english).split("\n\n") == [
        "A fox lived by the river, and every night it went to look at the moon in the water.",
        "One day it said that it would take the moon home.",
    ]


def test_two_empty_lines_in_wrapped_chinese() -> None:
    text = (
        "从前有一只狐狸，它住在河边，每天晚上都\n去看月亮，月亮在水里，它想要\n\n\n\n第一章\n\n"
        "它跳了下去，再也没有人看见过它，河水\n还是那样流着，一直流到海里"
    )
    assert "每天晚上都去看月亮" in clean(text, "zh")
