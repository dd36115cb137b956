"""Coherence: whether a story holds together, by the learned scorer, by tests that faults are seen in, and by its people."""

from __future__ import annotations

from storyteller.errors import DataError
from storyteller.evaluate.findings import Metric
from storyteller.evaluate.people import People, people
from storyteller.evaluate.statistics import Resampled
from storyteller.evaluate.suite.bench import Bench, Part

__all__ = ["measure_people"]

_NAMES = "Names are found by rules: it misses names that are ordinary words, and the animals of fables."
PEOPLE = (
    Metric(
        "late_third", "names after the first third", "coherence", "human",
        "The share of a story's people who are first named after its first third.", _NAMES,
    ),
    Metric(
        "late_two_thirds", "names after two thirds", "coherence", "human",
        "The share of a story's people who are first named in its last third.", _NAMES,
    ),
    Metric(
        "persistence", "people who stay", "coherence", "human",
        "The share of the people of the first third who are named in the last third again.", _NAMES,
    ),
    Metric(
        "conflict", "he and she", "coherence", "lower",
        "The share of people who are called both he and she.", "Only pronouns that clearly refer to one name are counted.",
    ),
)  # fmt: skip


def measure_people(bench: Bench) -> Part:
    """Late names, persistence and pronouns that disagree, for every system."""
    part = Part()
    for label in bench.labels:
        records = [
            people(answer.text, bench.language, answer.request.form if answer.request else "story")
            for answer in bench.answers[label]
        ]
        for metric in PEOPLE:
            part.add(metric, [label], lambda label, m=metric, r=records: _mean(bench, label, m.key, r))  # type: ignore[misc]
    return part


def _mean(bench: Bench, label: str, key: str, records: list[People]) -> Resampled:
    values = [getattr(record, key) for record in records]
    known = sum(value is not None for value in values)
    if known < LEAST:
        raise DataError(f"{known} of {len(values)} texts name people to count; {LEAST} are the least")
    return bench.mean(label, [float("nan") if value is None else value for value in values])


#: Texts that must have people in them before a share of them is given.
LEAST = 20
