from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storyteller.corpus.story import Story
from storyteller.evaluate.bootstrap import cluster_weights, ratio_interval, work_of

_ITEMS = st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 100), st.sampled_from("abcdef")), min_size=1, max_size=30)


@settings(max_examples=50, deadline=None)
@given(_ITEMS, st.randoms(use_true_random=False))
def test_the_value_is_the_ratio_and_order_does_not_matter(
    items: list[tuple[float, float, str]], chance: object
) -> None:
    interval = ratio_interval(*map(list, zip(*items, strict=True)), resamples=200)  # type: ignore[arg-type]
    assert interval.value == pytest.approx(sum(a for a, _, _ in items) / sum(b for _, b, _ in items))
    assert interval.n == len({c for _, _, c in items})
    if interval.n > 1:
        assert interval.low is not None
        assert interval.high is not None
        assert interval.low <= interval.high
        ratios = [a / b for a, b, _ in items]
        assert min(ratios) - 1e-9 <= interval.low
        assert interval.high <= max(ratios) + 1e-9
    else:
        assert interval.low is interval.high is None
    chance.shuffle(items)  # type: ignore[attr-defined]
    again = ratio_interval(*map(list, zip(*items, strict=True)), resamples=200)  # type: ignore[arg-type]
    assert again.low == pytest.approx(interval.low)


def test_it_covers_the_truth_about_as_often_as_it_says() -> None:
    chance = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        works = chance.normal(2.0, 0.3, 40)
        values = np.repeat(works, 3) + chance.normal(0, 0.05, 120)
        names = [f"work{i // 3}" for i in range(120)]
        interval = ratio_interval(values.tolist(), [1.0] * 120, names)
        assert interval.low is not None
        assert interval.high is not None
        covered += interval.low <= 2.0 <= interval.high
    assert 360 <= covered <= 396  # 95 % is 380; percentiles of 40 works are a little narrow


def test_pages_of_one_work_are_no_more_evidence() -> None:
    once = ratio_interval([1.0, 2.0, 3.0], [1.0] * 3, ["a", "b", "c"])
    often = ratio_interval([1.0, 2.0, 3.0] * 50, [1.0] * 150, ["a", "b", "c"] * 50)
    assert (once.value, once.low, once.high, once.n) == pytest.approx((often.value, often.low, often.high, often.n))


def test_every_system_meets_the_same_resamples() -> None:
    weights = cluster_weights(7, resamples=50)
    assert weights.shape == (50, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert (weights == cluster_weights(7, resamples=50)).all()


@pytest.mark.parametrize(
    ("author", "work", "drawn"),
    [
        ("Jane Austen", "Emma", "Jane Austen / Emma"),
        ("Jane Austen", None, "Jane Austen"),
        ("鲁迅", "呐喊", "鲁迅 / 呐喊"),
        ("Storyteller authors", None, "The seal"),
        ("Traditional", "Fairy tales", "Fairy tales"),
        ("佚名", None, "The seal"),
        ("meta-llama/Llama-3.1-8B-Instruct", None, "The seal"),
        (None, None, "The seal"),
    ],
)
def test_who_is_nobody_ties_no_stories_together(author: str | None, work: str | None, drawn: str) -> None:
    assert work_of(Story("1", "A seal swam.", "en", "story", 3, "The seal", author, work)) == drawn
