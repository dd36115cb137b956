from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storyteller.corpus.corruption import FAULTS, Fault, corrupt
from storyteller.corpus.language import split_sentences
from storyteller.corpus.story import Language
from storyteller.errors import DataError

EN = (
    "Anna lived by the sea with her brother Tom. Every morning she walked to the harbour. One day Tom found a small "
    "seal on the stones.\n\nAnna said that it was hungry, and he could not leave it there. They carried it home. Anna "
    "fed it with a herring. Tom had never seen her so happy. In the evening the seal swam away."
)
OTHER_EN = (
    "The baker of our village owned a golden clock. It never struck twelve. A thief came at night. He climbed over "
    "the wall and took the clock. The baker followed his traces through the snow. At noon the clock struck in a barn."
)
ZH = (
    "小明住在海边的村子里。他每天早上都去海港看船。有一天，小红在石头上发现了一只小海豹。\n\n小明说它一定饿了，不能把它留在那里。"
    "他们把它带回家。小红喂它吃鱼。她从来没有这样高兴过。晚上，海豹游走了。"
)
OTHER_ZH = (
    "村里的面包师有一座金色的大钟。它从来不敲十二点。夜里来了一个小偷。他翻过围墙，拿走了大钟。面包师跟着脚印追去。"
)
TEXTS: dict[Language, tuple[str, str, tuple[str, ...]]] = {
    "en": (EN, OTHER_EN, ("Anna", "Tom")),
    "zh": (ZH, OTHER_ZH, ("小明", "小红")),
}


def bodies(text: str, language: Language) -> list[str]:
    return [piece.strip() for piece in split_sentences(text, language)]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("fault", FAULTS)
@settings(deadline=None)  # the first Chinese text loads a dictionary
@given(seed=st.integers(0, 50))
def test_each_fault_changes_the_text_where_it_says(fault: Fault, language: Language, seed: int) -> None:
    text, other, names = TEXTS[language]
    made = corrupt(text, fault, language, seed=seed, other=other, names=names)
    assert made is not None
    assert made == corrupt(text, fault, language, seed=seed, other=other, names=names)
    old, new = bodies(text, language), bodies(made.text, language)
    assert made.text != text
    assert new[: made.first] == old[: made.first]
    assert new[made.first : made.first + 1] != old[made.first : made.first + 1]
    assert made.note


@pytest.mark.parametrize("language", ["en", "zh"])
@settings(deadline=None)  # the first Chinese text loads a dictionary
@given(seed=st.integers(0, 50))
def test_reordering_keeps_every_sentence_and_the_white_space(language: Language, seed: int) -> None:
    text = TEXTS[language][0]
    for fault in ("shuffle", "swap"):
        made = corrupt(text, fault, language, seed=seed)
        assert made is not None
        assert Counter(bodies(made.text, language)) == Counter(bodies(text, language))
        assert re.findall(r"\s+", made.text).count("\n\n") == 1
        assert len(made.text) == len(text)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_material_comes_from_where_it_should(language: Language) -> None:
    text, other, names = TEXTS[language]
    own, foreign = set(bodies(text, language)), set(bodies(other, language))
    for seed in range(20):
        for fault in ("splice", "replace"):
            made = corrupt(text, fault, language, seed=seed, other=other)
            assert made is not None
            new = set(bodies(made.text, language))
            assert new & foreign
            assert new <= own | foreign
        for fault in ("repeat", "loop"):
            made = corrupt(text, fault, language, seed=seed)
            assert made is not None
            new_list = bodies(made.text, language)
            assert len(new_list) == len(bodies(text, language))
            assert len(set(new_list)) < len(new_list)
        dropped = corrupt(text, "drop", language, seed=seed)
        assert dropped is not None
        assert set(bodies(dropped.text, language)) < own
        swapped = corrupt(text, "names", language, seed=seed, names=names)
        assert swapped is not None
        assert len(swapped.text) == pytest.approx(len(text), abs=4)


def test_people_are_exchanged_from_midway_on() -> None:
    two = corrupt(EN, "names", names=("Anna", "Tom"))
    assert two is not None
    assert "Tom fed it with a herring. Anna had never" in two.text
    assert two.text.startswith("Anna lived by the sea with her brother Tom.")
    one = corrupt(EN, "names", names=("Tom",))
    assert one is not None
    assert "Tom had never" not in one.text
    assert "Anna fed it" in one.text
    other_sex = corrupt(EN, "pronouns")
    assert other_sex is not None
    assert "Tom had never seen him so happy" in other_sex.text
    chinese = corrupt(ZH, "pronouns", "zh")
    assert chinese is not None
    assert "他从来没有" in chinese.text


def test_a_statement_becomes_its_contrary() -> None:
    assert corrupt("He can't swim.", "negate").text == "He can swim."  # type: ignore[union-attr]
    assert corrupt("She was happy.", "negate").text == "She was not happy."  # type: ignore[union-attr]
    assert corrupt("It did not rain.", "negate").text == "It did rain."  # type: ignore[union-attr]
    assert corrupt("他不怕水。", "negate", "zh").text == "他怕水。"  # type: ignore[union-attr]
    assert corrupt("他知道路。", "negate", "zh").text == "他不知道路。"  # type: ignore[union-attr]


def test_what_has_no_room_for_a_fault_stays_whole() -> None:
    for fault in FAULTS:
        assert corrupt("One", fault, other=OTHER_EN) is None
    assert corrupt(EN, "names") is None
    assert corrupt("The sun rose. It rained. The sun set.", "pronouns") is None
    assert corrupt("Same. Same. Same.", "shuffle") is None


def test_a_missing_story_or_an_unknown_fault_is_an_error() -> None:
    with pytest.raises(DataError, match="other"):
        corrupt(EN, "splice")
    with pytest.raises(DataError, match="shuffle"):
        corrupt(EN, "scramble")  # type: ignore[arg-type]


@settings(deadline=None)
@given(st.text(max_size=200), st.sampled_from(FAULTS), st.sampled_from(["en", "zh"]))
def test_any_text_is_taken(text: str, fault: Fault, language: Language) -> None:
    made = corrupt(text, fault, language, other=OTHER_EN if language == "en" else OTHER_ZH, names=("a",))
    assert made is None or made.text != text
