"""Comparisons of systems: what is clear must be named, however many comparisons stand beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.evaluate.passages import people

from storyteller.errors import DataError
from storyteller.evaluate.bootstrap import Interval
from storyteller.evaluate.findings import Metric
from storyteller.evaluate.suite import lay_out
from storyteller.evaluate.suite.degeneration import SLOP, measure_degeneration
from storyteller.evaluate.suite.stories import _compare

METRICS = [Metric(f"fault_{number}", "a fault", "degeneration", "lower", "", "") for number in range(9)]


@pytest.mark.parametrize("temperatures", [(0.8,), (0.8, 1.0), (0.6, 0.8, 1.0)])
def test_clear_differences_are_named_in_a_large_family_and_no_others(temperatures: tuple[float, ...]) -> None:
    human = people()[:60]
    models = [replace(text, system=name, temperature=heat) for name in "ab" for heat in temperatures for text in human]
    bench = lay_out([*human, *models], "en")
    chance = np.random.default_rng(1)
    height = {label: 10.0 * ("a @" in label) - 10.0 * ("b @" in label) for label in bench.labels}
    values = {
        (metric.key, label): bench.mean(label, (metric != METRICS[0]) * height[label] + noise - noise.mean())
        for metric in METRICS
        for label in bench.labels
        for noise in [chance.normal(size=60)]
    }
    found = _compare(bench, METRICS, values, {})
    assert len(found) == 9 * len(bench.pairs)
    assert all((one.p_holm < 0.05) == (one.metric != METRICS[0].key) for one in found)


def test_people_are_compared_with_each_model_by_that_model_s_own_phrases() -> None:
    """A model whose pet phrase people use, too, over-uses it less, whichever model is named first."""
    plain = people()[:100]
    pets = {"a": "Like a silver bell in frost.", "b": "So it goes in this world."}
    human = [replace(text, text=f"{pets['b']} {text.text}") if n % 4 == 0 else text for n, text in enumerate(plain)]
    models = [replace(text, system=name, text=f"{pet} {text.text}") for name, pet in pets.items() for text in plain]
    found: dict[str, list[Interval]] = {}
    for order in (models, models[::-1]):
        bench = lay_out([*human, *order], "en")
        part = measure_degeneration(bench, None)
        for one in _compare(bench, [SLOP], part.values, part.people):
            if one.a == "human":
                found.setdefault(one.b, []).append(one.difference)
        told = part.values[SLOP.key, "human"]
        assert isinstance(told, str)
        assert "beside a" in told
    assert all(first == second for first, second in found.values())
    assert set(found) == {"a", "b"}
    assert part.people[SLOP.key, "b"].value > part.people[SLOP.key, "a"].value


def test_a_text_that_names_no_work_is_of_its_prompt_s() -> None:
    """Answers from elsewhere seldom name the book; left to their prompts, one book's passages are trained on and tested."""
    human = people()[:60]
    elsewhere = [replace(text, system="model", work="") for text in human]
    bench = lay_out([*human, *elsewhere], "en")
    assert bench.clusters("model") == bench.clusters("human")
    with pytest.raises(DataError, match="name two works"):
        lay_out([*human, *(replace(text, system="model", work=f"{text.work} 2") for text in human)], "en")


def test_a_plan_of_more_pairs_draws_more_often() -> None:
    human = people()[:12]
    assert lay_out(human, "en").bootstrap.resamples == 2000
    assert lay_out(human, "en", compared=30).bootstrap.resamples == 30_000
