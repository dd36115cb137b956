from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import roc_auc_score

from storyteller.errors import DataError
from storyteller.evaluate.statistics import (
    Bootstrap,
    auc,
    average,
    d_prime,
    detectable_difference,
    holm,
    kendall,
    mean,
    spearman,
)

Floats = NDArray[np.float64]
VALUES = st.lists(st.integers(0, 5).map(float), min_size=3, max_size=25)


def names(number: int) -> list[str]:
    return [f"work {index}" for index in range(number)]


@settings(max_examples=40, deadline=None)
@given(VALUES, VALUES)
def test_the_auc_is_that_of_its_definition_with_ties(human: list[float], system: list[float]) -> None:
    labels = names(max(len(human), len(system)))
    found = auc(Bootstrap(labels, 50), human, system, labels[: len(human)], labels[: len(system)])
    truth = [1] * len(human) + [0] * len(system)
    assert found.value == pytest.approx(roc_auc_score(truth, human + system))
    assert np.all((found.draws >= -1e-9) & (found.draws <= 1 + 1e-9))


def test_a_resampled_statistic_is_the_statistic_of_the_resampled_texts() -> None:
    chance = np.random.default_rng(0)
    labels = names(12)
    x, y, z = chance.integers(0, 6, (3, 12)).astype(float)
    bootstrap = Bootstrap(labels, 20)
    draws = bootstrap.statistic(
        lambda weights: weights[:, 0], labels
    ).draws  # the weights of one work are drawn as such
    assert draws.mean() == pytest.approx(1, abs=0.7)
    rank, area = spearman(bootstrap, x, y, labels), auc(bootstrap, x, y, labels, labels)
    tau, average_of = kendall(bootstrap, x, z, labels), mean(bootstrap, x, labels)
    for number in range(20):
        drawn = [bootstrap.statistic(lambda w, i=i: w[:, i], labels).draws[number] for i in range(12)]  # type: ignore[misc]
        places = np.repeat(np.arange(12), np.array(drawn, int))
        assert average_of.draws[number] == pytest.approx(x[places].mean())
        assert rank.draws[number] == pytest.approx(stats.spearmanr(x[places], y[places]).statistic)
        truth = [1] * 12 + [0] * 12
        assert area.draws[number] == pytest.approx(roc_auc_score(truth, np.concatenate([x[places], y[places]])))
        assert tau.draws[number] == pytest.approx(stats.kendalltau(x[places], z[places]).statistic, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 7))
def test_rank_correlations_are_those_of_scipy(seed: int, levels: int) -> None:
    x, y = np.random.default_rng(seed).integers(0, levels, (2, 300)).astype(float)
    labels = names(300)
    bootstrap = Bootstrap(labels, 2)
    assert kendall(bootstrap, x, y, labels).value == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-5)
    assert spearman(bootstrap, x, y, labels).value == pytest.approx(stats.spearmanr(x, y).statistic)


def test_partial_tau_takes_away_what_length_explains() -> None:
    chance = np.random.default_rng(1)
    length = chance.normal(size=400)
    x, y = length + 0.3 * chance.normal(size=(2, 400))
    labels = names(400)
    bootstrap = Bootstrap(labels, 300)
    assert kendall(bootstrap, x, y, labels).value > 0.6
    partial = kendall(bootstrap, x, y, labels, given=length).interval()
    tau = {
        pair: stats.kendalltau(*pair_of).statistic
        for pair, pair_of in {"xy": (x, y), "xz": (x, length), "yz": (y, length)}.items()
    }
    closed = (tau["xy"] - tau["xz"] * tau["yz"]) / np.sqrt((1 - tau["xz"] ** 2) * (1 - tau["yz"] ** 2))
    assert partial.value == pytest.approx(closed, abs=1e-5)
    assert abs(partial.value) < 0.25  # not 0: partial tau is only nearly that of conditional independence


def test_the_interval_of_an_auc_covers_the_truth() -> None:
    chance = np.random.default_rng(2)
    labels = names(60)
    truth = stats.norm.cdf(1 / np.sqrt(2 * (1 + 0.25)))
    covered = 0
    for _ in range(100):
        # Two texts a work and class, alike within a work: the cluster matters.
        human, system = (np.repeat(chance.normal(m, 0.5, 60), 2) + chance.normal(0, 1, 120) for m in (1, 0))
        twice = [label for label in labels for _ in range(2)]
        found = auc(Bootstrap(labels, 300), human, system, twice, twice).interval()
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth <= found.high
    assert 88 <= covered <= 100


def test_a_paired_difference_is_sharper_than_its_parts() -> None:
    chance = np.random.default_rng(3)
    labels = names(300)
    human = chance.normal(1, 1, 300)
    first = human - 1 + 0.1 * chance.normal(size=300)
    second = first + 0.15
    bootstrap = Bootstrap(labels)
    worse, better = (auc(bootstrap, human, system, labels, labels) for system in (first, second))
    gap = worse - better
    assert gap.value == pytest.approx(worse.value - better.value)
    assert gap.p_value() == pytest.approx(2 / 2001)
    low, high = gap.interval().low, gap.interval().high
    assert low is not None
    assert high is not None
    assert 0 < low < high
    alone = worse.interval()
    assert alone.high is not None
    assert alone.low is not None
    assert high - low < 0.5 * (alone.high - alone.low)
    with pytest.raises(DataError, match="same Bootstrap"):
        worse - auc(Bootstrap(labels, seed=2), human, second, labels, labels)


def test_no_difference_is_found_one_time_in_twenty() -> None:
    chance = np.random.default_rng(4)
    labels = names(80)
    bootstrap = Bootstrap(labels, 500)
    found = sum(mean(bootstrap, chance.normal(size=80), labels).p_value() < 0.05 for _ in range(400))
    assert 8 <= found <= 36


def test_seeds_are_averaged_and_redrawn() -> None:
    labels = names(50)
    bootstrap = Bootstrap(labels)
    chance = np.random.default_rng(5)
    same = chance.normal(size=50)
    runs = [mean(bootstrap, same + offset, labels) for offset in (-1.0, 0.0, 1.0)]
    fixed, redrawn = average(runs), average(runs, redraw=True)
    assert fixed.value == redrawn.value == pytest.approx(same.mean())
    assert fixed.draws == pytest.approx(runs[1].draws)
    assert redrawn.draws.std() > 2 * fixed.draws.std()
    assert (average(runs, redraw=True) - redrawn).draws == pytest.approx(0)


def test_holm_steps_down() -> None:
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert adjusted == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02})
    assert holm({"one": 0.2}) == {"one": 0.2}
    assert holm({"a": 0.9, "b": 0.8})["a"] == 1.0


def test_d_prime_recovers_the_distance_of_two_normals() -> None:
    chance = np.random.default_rng(6)
    labels = names(4000)
    area = auc(Bootstrap(labels, 20), chance.normal(1.5, 1, 4000), chance.normal(0, 1, 4000), labels, labels)
    assert d_prime(area).value == pytest.approx(1.5, abs=0.06)
    apart = auc(Bootstrap(labels, 20), np.ones(4000), np.zeros(4000), labels, labels)
    assert apart.value == 1
    assert np.isfinite(d_prime(apart).value)


def test_the_detectable_difference_is_found_as_often_as_promised() -> None:
    chance = np.random.default_rng(7)
    labels = names(100)
    bootstrap = Bootstrap(labels, 500)
    least = detectable_difference(mean(bootstrap, chance.normal(size=100), labels), power=0.8)
    assert least == pytest.approx(2.8 * 0.1, rel=0.25)
    found = sum(mean(bootstrap, chance.normal(0.28, 1, 100), labels).p_value() < 0.05 for _ in range(200))
    assert 140 <= found <= 180
    assert detectable_difference(mean(bootstrap, chance.normal(size=100), labels), family=3) > least * 0.9


def test_bad_input_is_said() -> None:
    bootstrap = Bootstrap(names(3), 10)
    with pytest.raises(DataError, match="one value an item"):
        mean(bootstrap, [1.0, 2.0], names(3))
    with pytest.raises(DataError, match="none of the clusters"):
        mean(bootstrap, [1.0], ["elsewhere"])
    with pytest.raises(DataError, match="not a finite number"):
        auc(bootstrap, [float("nan"), 1, 2], [1, 2, 3], names(3), names(3))
    with pytest.raises(DataError, match="nothing to resample"):
        Bootstrap([])
    one = mean(Bootstrap(["a"]), [1.0, 3.0], ["a", "a"])
    assert one.interval().low is None
    assert one.p_value() == 1.0
    undefined = kendall(Bootstrap(names(6)), [1] * 6, range(6), names(6))
    assert np.isnan(undefined.value)
    assert undefined.p_value() == 1.0
