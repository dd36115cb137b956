"""Synonyms: words change, and names and quotations never."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tokens.stories import LAMP, SEAL, story

from storyteller.tokens.augment.quotes import quoted
from storyteller.tokens.augment.synonyms import _takes_an, exchange_synonyms, synonyms
from storyteller.tokens.names import characters

ENGLISH = 'The huge seal wandered slowly home. "The huge seal wandered slowly," said Mara. It saw an enormous cottage.'
CHINESE = "林小舟忽然非常高兴，立刻离开了森林。“我忽然非常高兴。”林小舟说。后来他看见了巨大的宫殿。"


def changed(text: str, language: str, share: float = 1.0, seed: int = 0, keep: tuple[str, ...] = ()) -> str:
    return exchange_synonyms(text, language, random.Random(seed), share, keep)[0]  # type: ignore[arg-type]


def spoken(text: str, language: str) -> list[str]:
    return [text[start:end] for start, end in quoted(text, language)]  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "language"), [(ENGLISH, "en"), (CHINESE, "zh")])
def test_narration_changes_and_speech_does_not(text: str, language: str) -> None:
    made = changed(text, language)
    assert made != text
    assert spoken(made, language) == spoken(text, language)
    assert len(spoken(text, language)) == 1


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.floats(0, 1),
    st.sampled_from([(SEAL, "en"), (ENGLISH, "en"), (LAMP, "zh"), (CHINESE, "zh")]),
)
def test_names_and_quotations_stay_whatever_is_drawn(seed: int, share: float, told: tuple[str, str]) -> None:
    text, language = told
    names = tuple(person.name for person in characters(story(text, language=language)))  # type: ignore[arg-type]
    made = changed(text, language, share, seed, names)
    assert spoken(made, language) == spoken(text, language)
    assert all(made.count(name) == text.count(name) for name in names)
    if language == "en":
        assert re.findall("[A-Z][a-z]+", made) == re.findall("[A-Z][a-z]+", text)
    assert made == changed(text, language, share, seed, names), "the same seed makes the same text"


def test_what_is_changed_was_a_synonym() -> None:
    table = synonyms("en")
    for old, new in zip(ENGLISH.split(), changed(ENGLISH, "en").split(), strict=True):
        assert old == new or new.strip(".") in table[old.strip(".")]


def test_a_name_that_is_a_word_stays_when_it_is_held() -> None:
    text = "高兴离开了森林，高兴忽然笑了。"
    assert "高兴" not in changed(text, "zh")
    assert changed(text, "zh", keep=("高兴",)).count("高兴") == 2


def test_articles_fit_what_follows() -> None:
    for seed in range(30):
        made = changed("He saw an enormous hall. She had a huge dog and an old idea.", "en", seed=seed)
        for article, word in re.findall(r"\b(an?) ([a-z]+)", made):
            assert (article == "an") == _takes_an(word), made


@pytest.mark.parametrize(
    ("word", "an"),
    [("apple", True), ("one", False), ("once", False), ("only", True), ("hour", True), ("house", False), ("use", False),
     ("uncle", True), ("unicorn", False), ("eagle", True), ("European".lower(), False), ("honest", True)],
)  # fmt: skip
def test_who_takes_an(word: str, an: bool) -> None:
    assert _takes_an(word) is an


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("He said, “Go on,” and left. “Never", "en", ["“Go on,”", "“Never"]),
        ("“One\n\n“Two,” he said. rest", "en", ["“One", "“Two,”"]),
        ('"A," she said, "b."', "en", ['"A,"', '"b."']),
        ("‘I don’t know,’ he said. The boys’ hats.", "en", ["‘I don’t know,’"]),
        ("It's the dog's. 'Well,' he said.", "en", ["'Well,'"]),
        ("他说：“去吧。”走了。「好」『行』", "zh", ["“去吧。”", "「好」", "『行』"]),
        ("nothing", "en", []),
    ],
)
def test_quotations_are_found(text: str, language: str, expected: list[str]) -> None:
    assert spoken(text, language) == expected


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_word_is_its_own_synonym(language: str) -> None:
    table = synonyms(language)  # type: ignore[arg-type]
    assert len(table) > 300
    assert all(others and word not in others and len(set(others)) == len(others) for word, others in table.items())
