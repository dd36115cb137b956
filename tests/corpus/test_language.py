from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storyteller.corpus import count_words, ends_sentence, identify_language, split_sentences
from storyteller.corpus.story import Language

ENGLISH = "The keeper climbed the stairs and lit the lamp. He had not seen a ship for nine days, and it was cold."
CHINESE = "从前有一座山，山上有一座庙，庙里住着一个老和尚。他每天早上都要下山去挑水。"


def test_identifies_english_and_chinese() -> None:
    assert identify_language(ENGLISH) == "en"
    assert identify_language(CHINESE) == "zh"
    assert identify_language("她打开了 email，看见 Tom 写的信，心里很高兴。") == "zh"


@pytest.mark.parametrize(
    "text",
    [
        "Der alte Mann ging in den Wald, und er sah dort einen Fuchs, der auf einem Stein saß und ihn ansah.",
        "Le vieil homme marchait dans la forêt quand il vit un renard assis sur une pierre, et il eut peur.",
        "De oude man was in het bos en hij had een vos gezien, die op een steen zat in de zon.",
        "むかしむかし、あるところにおじいさんとおばあさんが住んでいました。山へ柴刈りに行きました。",
        "옛날 옛적에 한 노인이 산에 살고 있었습니다.",
        "",
        "12345 67890",
    ],
)
def test_other_languages_are_none(text: str) -> None:
    assert identify_language(text) is None


def test_counts_words_in_english() -> None:
    assert count_words("Don't worry—the well-known fox isn’t here, 3 times.", "en") == 9


def test_counts_characters_in_chinese() -> None:
    assert count_words("小明有3只猫，名叫 Tom 和 Old-Jack。", "zh") == 11
    assert count_words("他说：“好！”", "zh") == 3


@given(st.text(alphabet=st.sampled_from(list('aB .!?…"”“’—\n。！？，他说道了Mr'))), st.sampled_from(["en", "zh"]))
def test_joined_sentences_are_the_text(text: str, language: Language) -> None:
    assert "".join(split_sentences(text, language)) == text


def test_splits_english() -> None:
    text = (
        "“Stop!” cried Mr. Brown. J. R. Hartley did not stop. He ran... and ran. “Why?” she asked.\n\n"
        "Nobody knew (not even he.) The end"
    )
    assert [piece.strip() for piece in split_sentences(text, "en")] == [
        "“Stop!” cried Mr. Brown.",
        "J. R. Hartley did not stop.",
        "He ran... and ran.",
        "“Why?” she asked.",
        "Nobody knew (not even he.)",
        "The end",
    ]


def test_splits_chinese() -> None:
    text = "“你好！”他说。老人想了很久……还是没有回答。“再见……”\n她走了？！天黑了"
    assert [piece.strip() for piece in split_sentences(text, "zh")] == [
        "“你好！”他说。",
        "老人想了很久……还是没有回答。",
        "“再见……”",
        "她走了？！",
        "天黑了",
    ]


def test_knows_where_a_sentence_ends() -> None:
    for text in ("He left.", "“Go!” ", "He left…", "“No—”", "他走了。", "“走吧！”", "他想了想……", "(She knew.)\n"):
        assert ends_sentence(text), text
    for text in ("He met Mr.", "He left,", "He said—", "他走了，", "他说：“", "", "J."):
        assert not ends_sentence(text), text
