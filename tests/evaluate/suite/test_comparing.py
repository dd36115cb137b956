"""Comparisons of systems: what is clear must be named, however many comparisons stand beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.evaluate.passages import people

from storyteller.evaluate.findings import Metric
from storyteller.evaluate.suite import lay_out
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
    found = _compare(bench, METRICS, values)
    assert len(found) == 9 * len(bench.pairs)
    assert all((one.p_holm < 0.05) == (one.metric != METRICS[0].key) for one in found)


def test_a_plan_of_more_pairs_draws_more_often() -> None:
    human = people()[:12]
    assert lay_out(human, "en").bootstrap.resamples == 2000
    assert lay_out(human, "en", compared=30).bootstrap.resamples == 30_000
