"""The whole suite over the texts of one language, timed part by part, with the systems compared in pairs."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from storyteller.corpus.story import LANGUAGES, Story
from storyteller.errors import DataError
from storyteller.evaluate.copying import CopyIndex
from storyteller.evaluate.findings import Comparison, Findings, Frontier, Metric, Sample, System
from storyteller.evaluate.frontier import Point, matched_difference
from storyteller.evaluate.judges import Override
from storyteller.evaluate.scorer import CoherenceScorer
from storyteller.evaluate.statistics import Resampled, holm
from storyteller.evaluate.suite.bench import Bench, Part, Value, lay_out
from storyteller.evaluate.suite.coherence import measure_coherence, measure_people
from storyteller.evaluate.suite.degeneration import measure_degeneration
from storyteller.evaluate.suite.distances import measure_distances
from storyteller.evaluate.suite.diversity import measure_diversity
from storyteller.evaluate.suite.independent import measure_independent
from storyteller.evaluate.suite.meanings import Meanings
from storyteller.evaluate.suite.reading import measure_reading
from storyteller.evaluate.suite.realism import measure_judges
from storyteller.evaluate.suite.relevance import measure_relevance
from storyteller.evaluate.texts import Text
from storyteller.models import DEFAULT_BASE
from storyteller.models.entries import entry_named
from storyteller.runs.console import say

__all__ = ["measure_stories"]

#: Prompts whose answers are shown in full.
SAMPLES = 3

#: The plane of the frontier.
QUALITY, DIVERSITY = "auc_word", "distinct_2"


def measure_stories(
    texts: Sequence[Text],
    *,
    faults: Sequence[Text] = (),
    background: Sequence[Story] = (),
    settings: dict[str, Any] | None = None,
    allow: Collection[Override] = (),
    leave_out: Collection[str] = (),
    cache: Path | None = None,
) -> list[Findings]:
    """Everything the suite can say about texts, for each language among them.

    `texts` are answers of several systems to the same prompts, people's among them under the name `human`; `faults` are
    people's texts with a known fault, the floor. `background` is text that people wrote and that no prompt comes from:
    the corpus of the models, where copies are looked for, and of the independent language model. `allow` lets a failed
    probe pass; `leave_out` names parts that are not measured, such as `coherence`, which takes most of the time; `cache`
    is a file that keeps sentence embeddings. Raises `DataError` for texts that cannot be compared (see `lay_out`).
    """
    languages = [language for language in LANGUAGES if any(text.language == language for text in texts)]
    if not languages:
        raise DataError("there are no texts to evaluate.")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for language in languages:
            bench = lay_out(texts, language, faults)
            written = [story for story in background if story.language == language]
            parts = _parts(bench, written, allow, cache or Path(folder) / "embeddings.safetensors")
            wanted = ((name, measure) for name, measure in parts if name not in leave_out)
            found.append(_measure(bench, wanted, settings or {}))
    return found


def _measure(bench: Bench, measures: Iterator[tuple[str, Callable[[], Part]]], settings: dict[str, Any]) -> Findings:
    parts: dict[str, Part] = {}
    seconds: dict[str, float] = {}
    for name, measure in measures:
        say(f"measuring {name} of {len(bench.labels)} systems in {bench.language}")
        started = time.perf_counter()
        parts[name] = measure()
        seconds[name] = round(time.perf_counter() - started, 2)
    values = {key: value for part in parts.values() for key, value in part.values.items()}
    metrics = [metric for part in parts.values() for metric in part.metrics]
    started = time.perf_counter()
    people = {key: value for part in parts.values() for key, value in part.people.items()}
    comparisons = _compare(bench, metrics, values, people)
    seconds["comparisons"] = round(time.perf_counter() - started, 2)
    return Findings(
        language=bench.language,
        settings=settings,
        systems=bench.systems,
        metrics=tuple(metrics),
        figures=tuple(figure for part in parts.values() for figure in part.figures()),
        comparisons=tuple(comparisons),
        gates=tuple(gate for part in parts.values() for gate in part.gates),
        frontier=tuple(_frontier(bench, values)),
        curves=tuple(curve for part in parts.values() for curve in part.curves),
        heat_maps=tuple(heat for part in parts.values() for heat in part.heat_maps),
        phrases=tuple(phrase for part in parts.values() for phrase in part.phrases),
        copied=tuple(copy for part in parts.values() for copy in part.copied),
        samples=tuple(_samples(bench)),
        notes=(*bench.notes, *(note for part in parts.values() for note in part.notes)),
        seconds=seconds,
    )


def _parts(
    bench: Bench, background: Sequence[Story], allow: Collection[Override], cache: Path
) -> Iterator[tuple[str, Callable[[], Part]]]:
    """The parts of the suite by name; each is measured before the next one is prepared."""
    meanings = Meanings(bench.language, cache)
    index = CopyIndex.build(background) if background else None
    yield "realism", lambda: measure_judges(bench, meanings, allow)
    yield "distances", lambda: measure_distances(bench, meanings)
    yield "independent model", lambda: measure_independent(bench, background)
    yield "diversity", lambda: measure_diversity(bench, meanings)
    yield "degeneration", lambda: measure_degeneration(bench, index)
    yield "coherence", lambda: measure_coherence(bench, _scorer(bench))
    yield "people", lambda: measure_people(bench)
    yield "relevance", lambda: measure_relevance(bench, meanings)
    yield "reading", lambda: measure_reading(bench)


def _scorer(bench: Bench) -> CoherenceScorer | None:
    """The coherence scorer, where it reads this language and its base model is in the cache: nothing is fetched here."""
    if bench.language != "en" or not entry_named(DEFAULT_BASE).installed:
        return None
    return CoherenceScorer.load()


def _compare(
    bench: Bench,
    metrics: Sequence[Metric],
    values: Mapping[tuple[str, str], Value],
    people: Mapping[tuple[str, str], Resampled],
) -> list[Comparison]:
    """Models with each other at the same temperature and with people, Holm-corrected over each group of metrics.

    `people` holds people's figures beside a model where they are another one for each (see `Part`).
    """
    found: list[Comparison] = []
    for group, members in itertools.groupby(
        sorted(metrics, key=lambda metric: metric.group), lambda metric: metric.group
    ):
        differences = {}
        for metric in members:
            for a, b in bench.pairs:
                first, second = values.get((metric.key, a)), values.get((metric.key, b))
                if a == bench.human:
                    first = people.get((metric.key, b), first)
                if isinstance(first, Resampled) and isinstance(second, Resampled):
                    differences[metric.key, a, b] = second - first
        if group == "realism":
            differences |= _matched(bench, values)
        p_values = {key: difference.p_value() for key, difference in differences.items()}
        corrected = holm({" / ".join(key): p for key, p in p_values.items()})
        found += [
            Comparison(*key, difference.interval(), p_values[key], corrected[" / ".join(key)])
            for key, difference in differences.items()
        ]
    return found


def _points(bench: Bench, values: Mapping[tuple[str, str], Value]) -> dict[str, list[tuple[System, Point]]]:
    """The points of each model's frontier, by its name."""
    points: dict[str, list[tuple[System, Point]]] = {}
    for system in bench.systems:
        quality, diversity = values.get((QUALITY, system.label)), values.get((DIVERSITY, system.label))
        if system.kind == "model" and isinstance(quality, Resampled) and isinstance(diversity, Resampled):
            points.setdefault(system.name, []).append((system, Point(diversity.value, quality)))
    return points


def _matched(bench: Bench, values: Mapping[tuple[str, str], Value]) -> dict[tuple[str, str, str], Resampled]:
    """The difference of every two models' frontiers at equal diversity, where both were sampled at two temperatures."""
    found = {}
    for (a, first), (b, second) in itertools.combinations(_points(bench, values).items(), 2):
        with contextlib.suppress(DataError):
            difference = matched_difference([point for _, point in first], [point for _, point in second])
            found[f"{QUALITY} at equal {DIVERSITY}", a, b] = difference
    return found


def _frontier(bench: Bench, values: dict[tuple[str, str], Value]) -> list[Frontier]:
    return [
        Frontier(name, system.temperature, DIVERSITY, point.diversity, QUALITY, point.quality.interval())
        for name, points in _points(bench, values).items()
        for system, point in points
    ]


def _samples(bench: Bench) -> list[Sample]:
    """The answers of people and models to a few prompts, as they are."""
    by_prompt: dict[str, Sample] = {}
    for label in (system.label for system in bench.systems if system.kind != "fault"):
        for answer in bench.answers[label]:
            sample = by_prompt.setdefault(answer.prompt_id, Sample(answer.prompt, {}))
            sample.answers.setdefault(label, answer.text)
    return list(by_prompt.values())[:SAMPLES]
