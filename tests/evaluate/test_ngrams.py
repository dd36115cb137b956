from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storyteller.errors import DataError
from storyteller.evaluate.ngrams import encode, group_numbers, ngrams, within_budget, word_spans, words

TOKENS = st.lists(st.lists(st.sampled_from("abcde"), max_size=12), min_size=1, max_size=8)


def test_words_and_marks_of_both_languages() -> None:
    assert words("“Don’t,” she said -- twice…") == ['"', "don't", ",", '"', "she", "said", "—", "twice", "…"]
    assert words('"DON\'T," she said — twice...') == words("“Don’t,” she said -- twice…")
    assert words("他说：“去 London 吧。”") == ["他", "说", "：", '"', "去", "london", "吧", "。", '"']
    assert words("  _ \n") == []


@settings(max_examples=40, deadline=None)
@given(st.text() | st.text("a.…-–—’İ 中"))
def test_each_word_has_its_place(text: str) -> None:
    spans = list(word_spans(text))
    assert len(spans) == len(words(text))
    assert all(words(text[start:end]) == [word] for (start, end), word in zip(spans, words(text), strict=True))


@settings(max_examples=40, deadline=None)
@given(TOKENS)
def test_ngrams_are_those_of_each_text(tokens: list[list[str]]) -> None:
    flat, _ = [token for text in tokens for token in text], encode(tokens)
    for n, grams in enumerate(ngrams(tokens, 4), 1):
        wanted = Counter((i, tuple(text[j : j + n])) for i, text in enumerate(tokens) for j in range(len(text) - n + 1))
        phrase = {key: tuple(flat[start : start + n]) for key, start in zip(grams.keys, grams.starts, strict=True)}
        keys, owners, counts = grams.counts()
        assert {(int(i), phrase[k]): int(c) for k, i, c in zip(keys, owners, counts, strict=True)} == dict(wanted)
        assert len(set(phrase.values())) == len(phrase) == grams.kinds


@settings(max_examples=40, deadline=None)
@given(TOKENS, st.floats(0, 1))
def test_a_budget_is_met_exactly_and_evenly(tokens: list[list[str]], share: float) -> None:
    budget = int(share * sum(map(len, tokens)))
    cut = within_budget(tokens, budget)
    assert sum(map(len, cut)) == budget
    shortened = [len(after) for before, after in zip(tokens, cut, strict=True) if len(after) < len(before)]
    assert all(after == before[: len(after)] for before, after in zip(tokens, cut, strict=True))
    if shortened:
        assert max(map(len, cut)) <= min(shortened) + 1


def test_a_budget_beyond_the_texts_is_refused() -> None:
    with pytest.raises(DataError, match="2 texts have 3 tokens"):
        within_budget([["a"], ["b", "c"]], 4)


def test_groups_are_numbered_as_they_appear() -> None:
    assert np.array_equal(group_numbers(["q", "p", "q"]), [0, 1, 0])
