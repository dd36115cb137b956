from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storyteller.corpus.language import count_words
from storyteller.errors import DataError
from storyteller.evaluate.matching import check_texts, equalise, normalise


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("“Come in,” she said — ‘now’…", "\"Come  in,\"\nshe said -- 'now'..."),
        ("「来吧，」她说——「快！」", "“来吧,”她说 -- “快!”"),
        ("ﬁsh\u200b and\u00a0chips", "fish and chips"),
    ],
)
def test_spelling_of_marks_is_no_difference(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)
    assert normalise(normalise(one)) == normalise(one)


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert "\n" not in once
    assert "  " not in once


def test_words_alone() -> None:
    assert normalise("“Don't,” he said — twice.", punctuation=False) == "Dont he said twice"
    assert normalise("他说：“别走！”", punctuation=False) == "他说别走"
    assert normalise("他说：“OK，走吧 now, then！”", punctuation=False) == "他说OK走吧now then"


@pytest.mark.parametrize(
    ("language", "sentence"), [("en", "The seal ate {} fish today. "), ("zh", "海豹今天吃了{}条鱼。")]
)
def test_pairs_get_one_length(language: str, sentence: str) -> None:
    human = ["".join(sentence.format(n) for n in range(size)) for size in (10, 4, 30)]
    system = ["".join(sentence.format(n) for n in range(size)) + "The sea" for size in (5, 12, 40)]
    matched = equalise(human, system, language, cap_words=120)  # type: ignore[arg-type]
    assert matched.kept == [0, 1, 2]
    for one, other in zip(matched.human, matched.system, strict=True):
        words = count_words(one, language), count_words(other, language)  # type: ignore[arg-type]
        assert words[0] == words[1] <= 120
        assert one[-1] in ".。"
        assert other[-1] in ".。"


@pytest.mark.parametrize(
    ("language", "text"),
    [("en", "... And then the keeper came home. He slept."), ("zh", "。。。她没有回答。她走了很远的路才到家。")],
)
def test_marks_before_the_first_word_belong_to_its_sentence(language: str, text: str) -> None:
    matched = equalise([text], [text], language)  # type: ignore[arg-type]
    assert matched.kept == [0]
    assert matched.human == matched.system == [normalise(text)]
    assert equalise(["...", ""], ["...", ""], language).kept == []  # type: ignore[arg-type]


def test_what_cannot_be_matched_is_dropped() -> None:
    matched = equalise(["One two three four five six.", "A b c."], ["One two.", "D e f."], "en")
    assert matched.kept == [1]
    with pytest.raises(DataError, match="as many of both"):
        equalise(["A."], [], "en")


def test_texts_that_are_none_or_of_another_language() -> None:
    english, chinese = "The seal swam to the lighthouse and it was cold.", "海豹游向灯塔，守塔人喂了海豹。"
    check_texts([english] * 5, "en", "human")
    check_texts([chinese] * 5, "zh", "human")
    with pytest.raises(DataError, match=r"1 of 2 human texts are empty or a single word .* number 2"):
        check_texts([english, "Seal!"], "en", "human")
    with pytest.raises(DataError, match="are in 'zh', not in 'en'"):
        check_texts([chinese] * 5, "en", "human")
    with pytest.raises(DataError, match="are in 'en', not in 'zh'"):
        check_texts([english] * 5, "zh", "generated")
