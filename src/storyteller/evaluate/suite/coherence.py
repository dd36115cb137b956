"""Coherence: whether a story holds together, by the learned scorer, by tests that faults are seen in, and by its people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from storyteller.errors import DataError
from storyteller.evaluate.findings import Metric
from storyteller.evaluate.order import detect_faults
from storyteller.evaluate.people import People, people
from storyteller.evaluate.scorer import CoherenceScorer
from storyteller.evaluate.statistics import Resampled
from storyteller.evaluate.suite.bench import Bench, Part

__all__ = ["measure_coherence", "measure_people"]

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


_LEARNED = "Learned from faults put into people's stories: it knows no taste, and nothing of faults far apart."
SCORE = Metric(
    "coherence", "coherence", "coherence", "human",
    "The scorer's log odds that a text is a story as written and not one with a fault put in.",
    _LEARNED + " Half of it is the base model's likelihood: texts of that model look more coherent than they are.",
)  # fmt: skip
ORDER = Metric(
    "order", "order noticed", "coherence", "human",
    "How often the scorer prefers a story to itself with its sentences shuffled; low where order does not matter.", _LEARNED,
)  # fmt: skip
SPLICE = Metric(
    "splice", "splice noticed", "coherence", "human",
    "How often the scorer prefers a story to itself with the end of another one.", _LEARNED,
)  # fmt: skip

#: Texts of each system that the scorer reads, those whose order it is tested on, and words of each: the base model reads
#: them all, and more of them would take most of the suite's time.
SCORED, TESTED, WORDS = 60, 40, 100

#: Texts that must have people in them before a share of them is given.
LEAST = 20


def measure_coherence(bench: Bench, scorer: CoherenceScorer | None) -> Part:
    """The learned scorer's opinion of the first texts of every system, and whether it notices faults put into them."""
    part = Part()
    if scorer is None:
        part.notes.append("Coherence was not scored: the scorer reads English, with the default base model.")
        return part
    for label in bench.labels:
        chosen = bench.first_answers(label)[:SCORED]
        texts = [bench.texts(label)[i] for i in chosen]
        scores = scorer.score(texts, bench.language, words=WORDS)
        outside = sum(not score.in_domain for score in scores)
        if outside * 5 > len(scores):
            part.put(SCORE, label, f"{outside} of {len(scores)} texts are out of the scorer's domain")
            continue
        logits = [score.logit if score.in_domain else float("nan") for score in scores]
        part.put(SCORE, label, bench.mean(label, _placed(len(bench.texts(label)), chosen, logits)))
    kinds = {system.label: system.kind for system in bench.systems}
    for label in (label for label in bench.labels if kinds[label] != "fault"):
        chosen = bench.first_answers(label)[:TESTED]
        texts = [bench.texts(label)[i] for i in chosen]
        try:
            found = detect_faults(scorer, texts, bench.language, faults=("shuffle", "splice"), words=WORDS)
        except DataError as why:
            part.put(ORDER, label, str(why))
            part.put(SPLICE, label, str(why))
            continue
        for metric, fault in ((ORDER, found["shuffle"]), (SPLICE, found["splice"])):
            values = _placed(len(bench.texts(label)), chosen[list(fault.texts)], fault.by_scorer)
            part.put(metric, label, bench.mean(label, values))
    part.notes.append(
        f"Coherence is scored on the first {WORDS} words of {SCORED} texts of each system, faults on {TESTED} of them."
    )
    return part


def _placed(size: int, places: NDArray[np.int64], values: Sequence[float]) -> NDArray[np.float64]:
    """One value for every text of a system: those given at their places, nan elsewhere."""
    placed = np.full(size, np.nan)
    placed[places] = values
    return placed


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
