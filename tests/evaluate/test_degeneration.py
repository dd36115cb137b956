from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storyteller.evaluate.degeneration import degeneration, longest_repeats, loop_shares, repeated_shares

TOKENS = st.lists(st.lists(st.sampled_from("ab"), max_size=14), min_size=1, max_size=5)


def _longest(text: list[str]) -> int:
    pairs = ((i, j) for j in range(len(text)) for i in range(j))
    best = 0
    for i, j in pairs:
        length = 0
        while i + length < j and j + length < len(text) and text[i + length] == text[j + length]:
            length += 1
        best = max(best, length)
    return best


def _looped(text: list[str]) -> float:
    inside = set()
    for start in range(len(text)):
        for period in range(1, len(text) // 3 + 1):
            end = start + period
            while end < len(text) and text[end] == text[end - period]:
                end += 1
            if end - start >= max(3 * period, 12):
                inside.update(range(start, end))
    return len(inside) / max(1, len(text))


@settings(max_examples=40, deadline=None)
@given(TOKENS)
def test_the_longest_repeat_is_what_trying_all_pairs_finds(tokens: list[list[str]]) -> None:
    assert longest_repeats(tokens).tolist() == [_longest(text) for text in tokens]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.sampled_from("ab"), max_size=40), min_size=1, max_size=3))
def test_loops_are_what_trying_all_places_finds(tokens: list[list[str]]) -> None:
    assert loop_shares(tokens) == pytest.approx([_looped(text) for text in tokens])


@settings(max_examples=40, deadline=None)
@given(TOKENS)
def test_repeated_shares_are_those_of_sets(tokens: list[list[str]]) -> None:
    for n, shares in zip((2, 3), repeated_shares(tokens, (2, 3)), strict=True):
        grams = [[tuple(text[i : i + n]) for i in range(len(text) - n + 1)] for text in tokens]
        assert shares == pytest.approx([1 - len(set(own)) / len(own) if own else 0 for own in grams])


def test_a_loop_is_flagged_and_lively_talk_is_not() -> None:
    good, stuck, talk, cut = degeneration(
        [
            "The keeper lit the lamp. Then he slept until the sea woke him.",
            "He walked. " + "He went to the door and he opened it. " * 6,
            "“No, no, no!” cried the king. “Never, never!”",
            "She had just opened the door when",
        ],
        "en",
    )
    assert (good.loops, good.finished, good.rep_4) == (0, 1, 0)
    assert stuck.loops == 1
    assert stuck.loop_share > 0.9
    assert stuck.rep_4 > 0.7
    assert stuck.longest_repeat == 30
    assert (talk.loops, talk.finished) == (0, 1)
    assert (cut.finished, cut.words, cut.tokens) == (0, 7, 7)


def test_a_chinese_loop_is_flagged() -> None:
    good, stuck = degeneration(["从前有一个老人，住在海边的灯塔里。", "他走了。" + "他打开门，看见了海。" * 4], "zh")
    assert (good.loops, good.finished, good.words) == (0, 1, 15)
    assert (stuck.loops, stuck.longest_repeat) == (1, 20)


def test_empty_and_one_word_texts_have_zeros() -> None:
    empty, word = degeneration(["", "Hello"], "en")
    assert (empty.words, empty.rep_2, empty.longest_repeat, empty.loops, empty.finished) == (0, 0, 0, 0, 0)
    assert (word.words, word.rep_2, word.finished) == (1, 0, 0)
