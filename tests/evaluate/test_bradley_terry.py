from __future__ import annotations

from itertools import combinations
from math import exp, log

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from storyteller.errors import DataError
from storyteller.evaluate.bradley_terry import Comparison, detectable, fit, sample_size, win_rate


def counted(a_wins: int, b_wins: int, ties: int, a: str = "a", b: str = "b", start: int = 0) -> list[Comparison]:
    results = ["first"] * a_wins + ["second"] * b_wins + ["tie"] * ties
    return [Comparison(a, b, result, f"prompt {start + n}") for n, result in enumerate(results)]


def simulated(strengths: dict[str, float], tie: float, prompts: int, seed: int) -> list[Comparison]:
    """One comparison of every two systems on each prompt, drawn from Davidson's model with known log strengths."""
    chance = np.random.default_rng(seed)
    drawn = []
    for n in range(prompts):
        for a, b in combinations(strengths, 2):
            weights = np.array([exp(strengths[a]), exp(strengths[b]), tie * exp((strengths[a] + strengths[b]) / 2)])
            result = chance.choice(["first", "second", "tie"], p=weights / weights.sum())
            drawn.append(Comparison(a, b, str(result), f"prompt {n}"))
    return drawn


@pytest.mark.parametrize(("wins", "losses", "ties"), [(60, 40, 0), (60, 40, 30), (5, 5, 90), (300, 100, 77)])
def test_two_systems_have_a_closed_form(wins: int, losses: int, ties: int) -> None:
    # Three outcomes and two parameters: the fit reproduces the counts, so v = ties / sqrt(wins * losses).
    found = fit(counted(wins, losses, ties), resamples=10)
    distance = found.strengths["a"].value - found.strengths["b"].value
    assert distance == pytest.approx(log(wins / losses), abs=0.002)
    assert found.ties == pytest.approx(ties / (wins * losses) ** 0.5, rel=0.01)
    assert found.probabilities["a", "b"].value == pytest.approx((wins + ties / 2) / (wins + losses + ties), abs=5e-4)


counts = st.integers(0, 30)


@settings(max_examples=40, deadline=None)
@given(counts, counts, counts, counts, counts, counts)
def test_the_model_gives_each_system_its_points(ab: int, ba: int, tab: int, bc: int, cb: int, tbc: int) -> None:
    """The score equations: observed wins plus half ties equal the expected ones, whatever the counts are."""
    verdicts = counted(ab, ba, tab) + counted(bc, cb, tbc, "b", "c", 1000)
    assume(ab + ba + tab and bc + cb + tbc)
    found = fit(verdicts, resamples=2)
    expected = (ab + ba + tab) * found.probabilities["a", "b"].value
    ridge = 0.01 * abs(found.strengths["a"].value)
    assert expected == pytest.approx(ab + tab / 2, abs=ridge + 1e-6)
    assert sum(strength.value for strength in found.strengths.values()) == pytest.approx(0, abs=1e-6)
    swapped = [
        Comparison(v.second, v.first, {"first": "second", "second": "first", "tie": "tie"}[v.result], v.cluster)
        for v in verdicts
    ]
    assert fit(swapped, resamples=2).strengths == found.strengths


def test_known_strengths_come_back_strongest_first() -> None:
    truth = {"weak": -0.8, "middle": 0.1, "strong": 0.7}
    found = fit(simulated(truth, tie=0.6, prompts=1500, seed=3), resamples=200)
    assert list(found.strengths) == ["strong", "middle", "weak"]
    for name, strength in truth.items():
        assert found.strengths[name].value == pytest.approx(strength, abs=0.07)
    assert found.ties == pytest.approx(0.6, abs=0.07)
    assert found.probabilities["strong", "weak"].value + found.probabilities["weak", "strong"].value == pytest.approx(1)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    truth = {"a": -0.25, "b": 0.25}
    preferred = (exp(0.5) + 0.25 * exp(0.25)) / (exp(0.5) + 1 + 0.5 * exp(0.25))
    covered = {"strength": 0, "probability": 0, "rate": 0}
    for trial in range(200):
        verdicts = simulated(truth, tie=0.5, prompts=120, seed=100 + trial)
        found = fit(verdicts, resamples=300)
        for name, interval, value in (
            ("strength", found.strengths["b"], 0.25),
            ("probability", found.probabilities["b", "a"], preferred),
            ("rate", win_rate(verdicts, "b", "a", resamples=300), preferred),
        ):
            assert interval.low is not None
            assert interval.high is not None
            covered[name] += interval.low <= value <= interval.high
    assert all(178 <= times <= 199 for times in covered.values()), covered  # 190 of 200 is 95 %


def test_raters_are_drawn_where_there_are_three() -> None:
    """Two raters who differ are no sample; of five who differ the interval must know."""
    one_mind = [Comparison("a", "b", "first" if n % 3 else "second", str(n), "x") for n in range(90)]
    assert not fit(one_mind, resamples=100).raters_drawn
    opinions = {"v": 0, "w": 0, "x": 1, "y": 1, "z": 1}
    divided = [
        Comparison("a", "b", "first" if likes else "second", str(n), rater)
        for rater, likes in opinions.items()
        for n in range(90)
    ]
    found = fit(divided, resamples=400)
    interval = found.probabilities["a", "b"]
    assert found.raters_drawn
    assert interval.low is not None
    assert interval.high is not None
    assert interval.high - interval.low > 0.5
    rate = win_rate(divided, "a", "b", resamples=400)
    assert rate.value == pytest.approx(0.6)
    assert rate.low is not None
    assert rate.high is not None
    assert rate.high - rate.low > 0.5


def test_a_system_that_always_won_has_a_finite_strength() -> None:
    found = fit(counted(20, 0, 0), resamples=50)
    assert 0.97 < found.probabilities["a", "b"].value < 1
    assert fit(counted(0, 0, 20), resamples=50).probabilities["a", "b"].value == pytest.approx(0.5)


def test_one_prompt_has_no_interval() -> None:
    found = fit([Comparison("a", "b", "first", "only"), Comparison("a", "b", "tie", "only")])
    assert found.strengths["a"].low is None
    assert win_rate([Comparison("a", "b", "tie", "only")], "a", "b").high is None


def test_win_rate_counts_a_tie_as_half() -> None:
    verdicts = [*counted(6, 2, 2), Comparison("b", "a", "second", "last")]
    assert win_rate(verdicts, "a", "b").value == pytest.approx(8 / 11)
    assert win_rate(verdicts, "b", "a").value == pytest.approx(3 / 11)


def test_what_cannot_be_fitted_is_said() -> None:
    with pytest.raises(DataError, match="no comparisons"):
        fit([])
    with pytest.raises(DataError, match="with itself"):
        fit([Comparison("a", "a", "tie", "1")])
    with pytest.raises(DataError, match="c, d never met a"):
        fit(counted(3, 3, 3) + counted(3, 3, 3, "c", "d"))
    with pytest.raises(DataError, match="never compared"):
        win_rate(counted(3, 3, 3), "a", "c")


def test_the_pairs_that_an_effect_takes() -> None:
    reference = {0.55: 784, 0.57: 400, 0.60: 200}
    for effect, pairs in reference.items():
        assert sample_size(effect) == pytest.approx(pairs, rel=0.02)
    assert sample_size(0.6, ties=0.5) == pytest.approx(2 * sample_size(0.6), abs=1)
    assert sample_size(0.6, power=0.9) > sample_size(0.6)
    with pytest.raises(DataError, match=r"above 0\.5"):
        sample_size(0.5)
    with pytest.raises(DataError, match="share of ties"):
        sample_size(0.6, ties=1)


@given(st.floats(0.51, 0.99), st.floats(0, 0.9))
def test_what_pairs_can_see_is_the_reverse(effect: float, ties: float) -> None:
    pairs = sample_size(effect, ties=ties)
    seen = detectable(pairs, ties=ties)
    assert seen is None or seen <= effect + 1e-9
    fewer = detectable(pairs - 1, ties=ties)
    assert fewer is None or fewer > effect - 1e-9


def test_the_power_is_what_is_promised() -> None:
    chance = np.random.default_rng(5)
    pairs = sample_size(0.6)
    wins = chance.binomial(pairs, 0.6, size=4000)
    seen = np.abs(wins / pairs - 0.5) / (0.25 / pairs) ** 0.5 > 1.96
    assert seen.mean() == pytest.approx(0.8, abs=0.03)


def test_too_few_pairs_see_nothing() -> None:
    assert detectable(0) is None
    assert detectable(7) is None
    assert detectable(8) == pytest.approx(0.995, abs=0.01)
