from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storyteller.ensemble.ranking import (
    asked_keywords,
    asked_length,
    asked_people,
    calibrate,
    diverse,
    overlap,
    resample,
)
from storyteller.errors import GenerationError
from storyteller.tokens import Character, Request

scores = st.lists(st.floats(-100, 100), min_size=2, max_size=12)


@settings(deadline=None, max_examples=50)
@given(scores, st.floats(0.1, 10), st.floats(-50, 50))
def test_calibrated_scores_do_not_know_the_scale(values: list[float], factor: float, shift: float) -> None:
    members = ["a", "b"] * len(values)
    first = calibrate(values, members[: len(values)])
    second = calibrate([value * factor + shift for value in values], members[: len(values)])
    if np.std(values) > 1e-6:
        np.testing.assert_allclose(first, second, atol=1e-4)


def test_a_member_that_a_scorer_favours_wins_less_with_more_of_its_drafts() -> None:
    def gap(each: int) -> float:
        values = [10.0 + 0.1 * (n % 3) for n in range(each)] + [0.1 * (n % 3) for n in range(each)]
        z = calibrate(values, ["favoured"] * each + ["other"] * each)
        return float(np.mean(z[:each]) - np.mean(z[each:]))

    assert gap(1) > gap(4) > gap(40) > 0
    assert gap(40) < 0.8


def test_what_a_scorer_cannot_tell_counts_as_the_mean() -> None:
    assert calibrate([math.nan, 1.0, 3.0], ["a"] * 3)[0] == 0.0
    assert calibrate([math.nan] * 3, ["a"] * 3) == [0.0] * 3
    assert calibrate([2.0, 2.0], ["a", "b"]) == [0.0, 0.0]


def test_resampling_follows_the_softmax_and_takes_the_best_at_zero() -> None:
    values = [0.0, 1.0, 2.0]
    assert resample(values, 2, 0, seed=1) == [2, 1]
    drawn = [resample(values, 1, 1.0, seed=seed)[0] for seed in range(3000)]
    expected = np.exp(values) / np.exp(values).sum()
    np.testing.assert_allclose(np.bincount(drawn) / 3000, expected, atol=0.03)
    assert resample(values, 3, 1.0, seed=5) == resample(values, 3, 1.0, seed=5)
    assert sorted(resample(values, 9, 1.0, seed=5)) == [0, 1, 2]
    with pytest.raises(GenerationError, match="temperature"):
        resample(values, 1, -1, seed=0)


@pytest.mark.parametrize(
    "texts",
    [
        ["the seal sang to the moon", "the seal sang to the moon!", "a clock ran backwards"],
        ["海豹对着月亮唱歌唱了一夜", "海豹对着月亮唱歌唱了一夜。", "一座倒着走的钟挂在墙上"],
    ],
    ids=["en", "zh"],
)
def test_the_shown_set_is_varied(texts: list[str]) -> None:
    alike = overlap(texts)
    assert np.allclose(alike, alike.T)
    assert np.allclose(np.diag(alike), 1)
    assert alike[0, 1] > 0.7
    assert alike[0, 2] < 0.1
    assert diverse([1.0, 0.99, 0.5], alike, 2, balance=0.4) == [0, 2]
    assert diverse([1.0, 0.99, 0.5], alike, 2, balance=1.0) == [0, 1]
    assert diverse([1.0, 0.99, 0.5], alike, 2, balance=0.4, first=2) == [2, 0]
    assert diverse([], np.zeros((0, 0)), 2) == []


def test_rules_check_what_was_asked_for() -> None:
    asked = Request(words=10, characters=(Character("Mara"), Character("Old Tom")), keywords=("clock",))
    texts = ["Mara met Tom by the Clock. " * 2, "Nobody was there."]
    assert asked_people(texts, asked) == [1.0, 0.0]
    assert asked_keywords(texts, asked) == [1.0, 0.0]
    assert asked_keywords(["Her voice was nice.", "Two ICES.", "她说ice好。"], replace(asked, keywords=("ice",))) == [
        0,
        1,
        1,
    ]
    near, far = asked_length(texts, asked)
    assert near > far
    assert asked_length(["one two three four five six seven eight nine ten"], asked) == [0.0]
    for rule in (asked_people, asked_keywords, asked_length):
        assert all(math.isnan(value) for value in rule(texts, Request()))


def test_rules_in_chinese() -> None:
    asked = Request(language="zh", words=7, characters=(Character("小海"),), keywords=("灯塔",))
    texts = ["小海住在灯塔里。", "月亮出来了。"]
    assert asked_people(texts, asked) == [1.0, 0.0]
    assert asked_keywords(texts, asked) == [1.0, 0.0]
    assert asked_length(texts, asked)[0] == 0.0
