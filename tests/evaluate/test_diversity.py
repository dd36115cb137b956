from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.evaluate import diversity as d
from storyteller.evaluate.ngrams import words

TEXTS = st.lists(st.lists(st.sampled_from("abcd"), max_size=12), min_size=2, max_size=7)


def _nltk(tokens: list[list[str]], groups: list[int]) -> list[float]:
    smooth = SmoothingFunction().method1
    return [
        sentence_bleu(
            [other for j, other in enumerate(tokens) if j != i and groups[j] == groups[i]],
            text,
            smoothing_function=smooth,
        )
        for i, text in enumerate(tokens)
    ]


@settings(max_examples=40, deadline=None)
@given(TEXTS)
def test_self_bleu_is_that_of_nltk(tokens: list[list[str]]) -> None:
    assert d.self_bleu(tokens) == pytest.approx(_nltk(tokens, [0] * len(tokens)), abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(TEXTS)
def test_self_bleu_within_groups_is_that_of_nltk(tokens: list[list[str]]) -> None:
    groups = [i // 2 for i in range(len(tokens) // 2 * 2)] + [0] * (len(tokens) % 2)
    assert d.self_bleu(tokens, groups) == pytest.approx(_nltk(tokens, groups), abs=1e-12)


def test_self_bleu_needs_another_text() -> None:
    with pytest.raises(DataError, match="needs two texts"):
        d.self_bleu([["a"]])
    with pytest.raises(DataError, match="in each group"):
        d.self_bleu([["a"], ["a"], ["b"]], ["p", "p", "q"])


def test_distinct_counts_over_all_texts() -> None:
    tokens = [["a", "b", "a", "b"], ["a", "b"]]
    assert d.distinct(tokens, 1) == 2 / 6
    assert d.distinct(tokens, 2) == 2 / 4
    assert d.distinct(tokens, 3) == 2 / 2
    assert d.bigram_entropy(tokens) == pytest.approx(-(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25)))
    with pytest.raises(DataError, match="no 5-gram"):
        d.distinct(tokens, 5)


def test_ead_forgives_length_where_distinct_does_not() -> None:
    draws = np.random.default_rng(1).integers(0, 1000, 20_000).astype(str).tolist()
    short, long = [draws[:500]], [draws]
    assert d.distinct(short, 1) > 5 * d.distinct(long, 1)
    assert d.expectation_adjusted_distinct(short, 1000) == pytest.approx(1, abs=0.05)
    assert d.expectation_adjusted_distinct(long, 1000) == pytest.approx(1, abs=0.05)


def test_vendi_counts_the_texts_that_are_unlike() -> None:
    assert d.vendi(np.ones((5, 3))) == pytest.approx(1)
    assert d.vendi(np.eye(4) * 3) == pytest.approx(4)
    assert d.vendi(np.repeat(np.eye(3), 2, axis=0)) == pytest.approx(3)
    # Two texts at 60 degrees: eigenvalues 3/4 and 1/4.
    pair = np.array([[1.0, 0.0], [0.5, np.sqrt(0.75)]])
    assert d.vendi(pair) == pytest.approx(np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25))))
    assert d.vendi_within(np.array([[1.0, 0], [1, 0], [0, 1], [1, 0]]), ["p", "p", "q", "q"]) == pytest.approx([1, 2])
    with pytest.raises(DataError, match="not zero"):
        d.vendi(np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("language", "letters"), [("en", "the a cat dog sat ran and on mat red"), ("zh", "天 地 人 和 山 水 风 月 花 鸟")]
)
def test_a_system_that_says_one_thing_is_less_diverse(language: Language, letters: str) -> None:
    draw = np.random.default_rng(3)
    joint = "" if language == "zh" else " "
    vocabulary = letters.split()
    many = [joint.join(draw.choice(vocabulary, 60)) + "." for _ in range(40)]
    one = [joint.join(draw.choice(vocabulary, 5).tolist() + vocabulary * 5) + "." for _ in range(40)]
    prompts = [i // 2 for i in range(40)]
    budget = d.common_budget([many[::2], one[::2]])
    free, same = d.diversity(many, prompts, language, budget), d.diversity(one, prompts, language, budget)
    assert free.budget == same.budget == budget <= sum(len(words(text)) for text in one)
    assert free.distinct_2 > same.distinct_2
    assert free.distinct_3 > same.distinct_3
    assert free.bigram_entropy > same.bigram_entropy
    assert free.self_bleu < same.self_bleu
    assert free.self_bleu_within is not None
    assert same.self_bleu_within is not None
    assert free.self_bleu_within < same.self_bleu_within
    assert d.diversity(many[::2], prompts[::2], language, 1000).self_bleu_within is None


def test_more_answers_a_prompt_change_nothing_across_prompts() -> None:
    draw = np.random.default_rng(4)
    vocabulary = [f"w{n}" for n in range(300)]
    texts = [" ".join(draw.choice(vocabulary, 60)) + "." for _ in range(60)]
    first = d.diversity(texts[:20], range(20), "en", 1000)
    three = d.diversity(texts, [*range(20), *range(20), *range(20)], "en", 1000)
    assert three.self_bleu_within is not None
    assert replace(three, self_bleu_within=None) == first
    with pytest.raises(DataError, match="generate more"):
        d.diversity(texts, [*range(20), *range(20), *range(20)], "en", 2000)


def test_too_little_text_is_said() -> None:
    with pytest.raises(DataError, match="says nothing"):
        d.diversity(["one", "two"], [1, 2], "en", 2)
    with pytest.raises(DataError, match="generate more"):
        d.diversity(["one", "two"], [1, 2], "en", 5000)
