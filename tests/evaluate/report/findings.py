"""Findings of an evaluation that never was, for the tests of reports."""

from __future__ import annotations

from storyteller.evaluate.bootstrap import Interval
from storyteller.evaluate.findings import (
    Comparison,
    Copied,
    Curve,
    Figure,
    Findings,
    Frontier,
    Gate,
    HeatMap,
    Metric,
    Phrase,
    Sample,
    System,
)

METRICS = (
    Metric("auc_word", "judge of words (AUC)", "realism", "lower", "0.5: cannot tell.", "Sees no plot."),
    Metric("distinct_2", "distinct-2", "diversity", "human", "The share of word pairs that are different.", "Ideas."),
    Metric("loops", "loops", "degeneration", "lower", "The share of stories that loop.", "Refrains."),
    Metric("flesch_kincaid", "grade", "reading", None, "Years of school.", "Sense."),
)
HUMAN = System("human", "human", "human", None, 100, 201.0)
VALUES = {"auc_word": (0.80, 0.70), "distinct_2": (0.45, 0.55), "loops": (0.10, 0.04), "flesch_kincaid": (5.2, 5.4)}
PEOPLE = {"distinct_2": 0.65, "loops": 0.0, "flesch_kincaid": 6.8}


def interval(value: float, half: float) -> Interval:
    return Interval(value, value - half, value + half, 80)


def small(
    names: tuple[str, ...] = ("base", "tuned"),
    *,
    human: bool = True,
    language: str = "en",
    compared: bool = True,
    said: str = "He said nothing.",
) -> Findings:
    """Models that are alternately like `base` and like `tuned`; `said` stands wherever a text or a name from outside does."""
    models = tuple(System(f"{name} @0.8", "model", name, 0.8, 100, 190.0) for name in names)
    figures = []
    for metric in METRICS:
        half = 0.02 if metric.key != "flesch_kincaid" else 0.3
        if human:
            people = PEOPLE.get(metric.key)
            figures.append(
                Figure(metric.key, "human", None, "people are the measure")
                if people is None
                else Figure(metric.key, "human", interval(people, half))
            )
        for place, model in enumerate(models):
            figures.append(Figure(metric.key, model.label, interval(VALUES[metric.key][place % 2], half)))
    values = {(figure.metric, figure.system): figure.interval.value for figure in figures if figure.interval}
    pairs = [(a.label, b.label) for i, a in enumerate(models) for b in models[i + 1 :]]
    pairs += [("human", model.label) for model in models] if human else []
    comparisons = [
        Comparison(
            metric.key, a, b, interval(values[metric.key, b] - values[metric.key, a], 0.03), 0.001,
            0.004 if metric.key != "flesch_kincaid" else 0.4,
        )
        for metric in METRICS
        for a, b in pairs
        if compared and (metric.key, a) in values and (metric.key, b) in values
    ]  # fmt: skip
    systems = ((HUMAN,) if human else ()) + models
    labels = tuple(system.label for system in systems)
    return Findings(
        language=language,
        settings={"prompts": 100, "seeds": [1], "command": f"storyteller evaluate {said}", "versions": {"torch": "2"}},
        systems=systems,
        metrics=METRICS,
        figures=tuple(figures),
        comparisons=tuple(comparisons),
        gates=tuple(Gate(model.label, "length", interval(0.51, 0.03), 0.55, True) for model in models),
        frontier=tuple(
            Frontier(m.name, t, "distinct_2", 0.4 + 0.1 * t, "auc_word", interval(0.8 - 0.1 * t, 0.02))
            for m in models
            for t in (0.7, 1.0)
        ),
        curves=tuple(Curve("loops", label, (0.0, 0.01, 0.05)) for label in labels),
        heat_maps=(HeatMap("loops", (said, "p2"), labels, tuple((None, *[0.1] * (len(labels) - 1)) for _ in "ab")),),
        phrases=(Phrase(labels[-1], said, 0.31, 0.01, 6.0),),
        copied=(Copied(labels[-1], "p1", 12, said, said),),
        samples=(Sample(said, dict.fromkeys(labels, said)), Sample("Two", dict.fromkeys(labels, "Another."))),
        notes=(f"Note {said}",),
        seconds={"realism": 3.2},
    )
