"""The two numbers: calibrated, honest about each sentence, and silent about what the critic does not know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storyteller.adversarial.numbers import Domain, Isotonic, WriterNumbers
from storyteller.adversarial.using import Judgement, Likeness
from storyteller.errors import DataError

CHANCE = np.random.default_rng(1)


def judged(realism: float, coherence: float = 0.0, place: tuple[float, ...] = (0.0, 0.0, 0.0)) -> Judgement:
    """Two sentences, of which the first pulls the realism up by a tenth and the second down by it."""
    half = realism / 2
    without = (realism - 0.1, realism + 0.1)
    return Judgement(realism, coherence, (("One.", half), (" Two.", half)), 80, place, without)


def human(count: int = 200) -> list[Judgement]:
    return [judged(i / count, place=tuple(CHANCE.normal(size=3))) for i in range(count)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 5)), min_size=20, max_size=80))
def test_the_fit_rises_keeps_the_mean_and_beats_a_constant(pairs: list[tuple[int, int]]) -> None:
    scores, ratings = [float(s) for s, _ in pairs], [float(r) for _, r in pairs]
    fit = Isotonic.fit(scores, ratings)
    assert (np.diff(fit.values) > 0).all()
    assert fit.values.min() >= min(ratings)
    assert fit.values.max() <= max(ratings)
    if len(set(scores)) == len(scores):
        told = np.array([fit(score) for score in scores])
        assert told.mean() == pytest.approx(np.mean(ratings))
        assert ((told - ratings) ** 2).sum() <= ((np.mean(ratings) - np.array(ratings)) ** 2).sum() + 1e-9


def test_a_rising_relation_is_found_again() -> None:
    scores = np.linspace(-2, 2, 400)
    fit = Isotonic.fit(scores.tolist(), (1 / (1 + np.exp(-scores)) + CHANCE.normal(0, 0.05, 400)).tolist())
    assert fit(-1.0) == pytest.approx(0.27, abs=0.06)
    assert fit(1.0) == pytest.approx(0.73, abs=0.06)
    assert fit(-9.0) == fit.values[0]
    with pytest.raises(DataError, match="20 rated"):
        Isotonic.fit([1.0], [1.0])


def test_what_lies_far_away_is_not_known() -> None:
    near = CHANCE.normal(size=(400, 20)) * np.linspace(0.1, 3, 20)
    domain = Domain.of(near.tolist())
    again = CHANCE.normal(size=(400, 20)) * np.linspace(0.1, 3, 20)
    assert np.mean([domain.knows(place) for place in again]) > 0.95
    # Two deviations away in the narrowest direction: far, though the distance itself is small.
    shifted = again + np.eye(20)[0] * 0.1 * 9
    assert np.mean([domain.knows(place) for place in shifted]) < 0.05
    with pytest.raises(DataError, match="40 are the least"):
        Domain.of(near[:10].tolist())


def test_two_numbers_and_every_sentences_part() -> None:
    rated = [judged(0.5, coherence=i / 50, place=tuple(CHANCE.normal(size=3))) for i in range(50)]
    numbers = WriterNumbers.fit(human(), rated, [float(i // 10) for i in range(50)])
    shown = numbers.tell(judged(0.75, coherence=0.5))
    assert shown.likeness == pytest.approx(75, abs=1)
    assert shown.coherence == pytest.approx(2)
    assert [sentence for sentence, _ in shown.sentences] == ["One.", " Two."]
    assert [change for _, change in shown.sentences] == [pytest.approx(10, abs=1), pytest.approx(-10, abs=1)]
    assert WriterNumbers.fit(human()).tell(judged(0.5)).coherence is None


def test_it_abstains_and_says_why() -> None:
    numbers = WriterNumbers.fit(human())
    foreign = numbers.tell(judged(0.5, place=(40.0, 0.0, 0.0)))
    assert (foreign.likeness, foreign.coherence, foreign.sentences) == (None, None, ())
    assert "has not seen texts of this kind" in foreign.why
    assert foreign.reason == "kind"
    long = Judgement(0.5, 0.0, (), 5000, (0.0, 0.0, 0.0))
    assert numbers.tell(long).likeness is None
    assert "of this length" in numbers.tell(long).why
    assert numbers.tell(long).reason == "length"


def test_a_calibration_comes_back_from_its_file(tmp_path: Path) -> None:
    rated = [judged(0.5, coherence=i / 50) for i in range(50)]
    numbers = WriterNumbers.fit(human(), rated, [float(i // 10) for i in range(50)])
    numbers.save(tmp_path)
    assert WriterNumbers.load(tmp_path).tell(judged(0.3, 0.4)) == numbers.tell(judged(0.3, 0.4))
    (tmp_path / "numbers.json").write_text("{}")
    with pytest.raises(DataError, match="holds no calibration"):
        WriterNumbers.load(tmp_path)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=20, max_size=60), st.lists(st.floats(-6, 6), min_size=2, max_size=9))
def test_the_percentile_rises_with_the_realism_and_stays_within_its_band(
    human: list[float], asked: list[float]
) -> None:
    numbers = Likeness.of([Judgement(value, 0.0, (), 80) for value in human])
    told = [numbers.percentile(Judgement(value, 0.0, (), 80)) for value in sorted(asked)]
    assert all(value is not None and 0 <= value <= 100 for value in told)
    assert told == sorted(told)  # type: ignore[type-var]
    assert numbers.percentile(Judgement(0.0, 0.0, (), 101)) is None


def test_equal_scores_have_one_value_in_whatever_order_they_come() -> None:
    scores, ratings = [0.0] * 10 + [1.0] * 10, [float(n) for n in range(20)]
    back = Isotonic.fit(scores[::-1], ratings[::-1])
    assert Isotonic.fit(scores, ratings)(1.0) == back(1.0) == pytest.approx(14.5)
    assert back(0.0) == pytest.approx(4.5)
