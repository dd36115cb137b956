"""What figures allow to be said: the rules behind the sentences and verdicts of a report.

A claim needs a comparison whose p value stays below .05 after Holm's correction. Everything else is told as a value with
its interval. `Wording.rules` says the same to the reader.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from storyteller.evaluate.findings import Comparison, Copied, Figure, Findings, Gate, Group, Metric, System
from storyteller.evaluate.report.numbers import decimals

__all__ = ["EQUAL", "GROUPS", "LEVEL", "GateState", "Outcome", "Reading", "clearness"]

GROUPS: tuple[Group, ...] = ("realism", "diversity", "degeneration", "coherence", "relevance", "reading")

LEVEL = 0.05
"""The corrected p value below which a difference is named."""

EQUAL = " at equal "
"""Between the keys of two metrics: a comparison of whole frontiers, the first metric where the second is the same."""

MAIN = ("auc_word", "distinct_2", "loops", "coherence", "matched", "flesch_kincaid")
"""Metrics that speak for their group before the group's first one does: the plainest ones."""

SHOWN = 5
"""Systems that the first page's table has room for."""

GateState = Literal["passed", "refused", "overridden", "mended"]
"""`mended` is a short cut that was found and taken from the judges, so that they could judge after all."""

Outcome = Literal["better", "worse", "differ", "unseen"]
"""Of `b` against `a`; `differ` where there is no better way, or people's value lies between the two."""


@dataclass(frozen=True)
class Reading:
    """Findings with what may be said of them."""

    findings: Findings

    @cached_property
    def human(self) -> System | None:
        """People's texts."""
        return next((one for one in self.findings.systems if one.kind == "human"), None)

    @cached_property
    def models(self) -> list[System]:
        """The systems that are models, in their order."""
        return [one for one in self.findings.systems if one.kind == "model"]

    @cached_property
    def ordered(self) -> list[System]:
        """People first, then models, then people's texts with faults."""
        place = {"human": 0, "model": 1, "fault": 2}
        return sorted(self.findings.systems, key=lambda one: place[one.kind])

    @cached_property
    def works(self) -> int:
        """The works that the figures rest on."""
        rests = [figure.interval.n for figure in self.findings.figures if figure.interval]
        return max(rests + [one.difference.n for one in self.findings.comparisons], default=0)

    @cached_property
    def prompts(self) -> int:
        """The prompts that every system answered: people wrote one text to each, models one a seed."""
        if self.human:
            return self.human.texts
        seeds = self.findings.settings.get("seeds")
        texts = min((one.texts for one in self.findings.systems), default=0)
        return texts // (len(seeds) or 1 if isinstance(seeds, list | tuple) else 1)

    @cached_property
    def _figures(self) -> dict[tuple[str, str], Figure]:
        return {(figure.metric, figure.system): figure for figure in self.findings.figures}

    def figure(self, metric: Metric, system: System) -> Figure | None:
        """The figure of a metric for a system, where it is computed or has a reason not to be."""
        return self._figures.get((metric.key, system.label))

    @cached_property
    def _decimals(self) -> dict[str, int]:
        return {
            metric.key: decimals([one.interval for one in self.findings.figures if one.metric == metric.key])
            for metric in self.findings.metrics
        }

    def decimals(self, key: str) -> int:
        """The decimals that a metric's figures are written with."""
        return self._decimals.get(key.partition(EQUAL)[0], 3)

    def metric(self, key: str) -> Metric:
        """The metric of a key; one that is not described stands for itself."""
        metrics = {metric.key: metric for metric in self.findings.metrics}
        first = metrics.get(key.partition(EQUAL)[0])
        return metrics.get(key) or (replace(first, key=key) if first else Metric(key, key, "reading", None, "", ""))

    def comparisons(self, group: Group) -> list[Comparison]:
        """The comparisons of a group, in the order of its metrics."""
        return [one for one in self.findings.comparisons if self.metric(one.metric).group == group]

    @cached_property
    def gates(self) -> list[Gate]:
        """The gates, each once."""
        return list(dict.fromkeys(self.findings.gates))

    def gate_state(self, gate: Gate) -> GateState:
        """What became of a gate: a system is refused where a short cut gives it away and no judge was asked."""
        if gate.passed or gate.overridden:
            return "passed" if gate.passed else "overridden"
        judged = any(
            one.interval for one in self.findings.figures if one.system == gate.system and one.metric.startswith("auc")
        )
        return "mended" if judged else "refused"

    @cached_property
    def gates_told(self) -> list[Gate]:
        """The gates that the first page tells of: systems of people's making have no claim to be judged."""
        models = {model.label for model in self.models}
        return [
            gate for gate in self.gates if gate.system in models and self.gate_state(gate) in ("refused", "overridden")
        ]

    def of_group(self, group: Group) -> list[Metric]:
        """The metrics of a group that some system has a value of."""
        computed = {figure.metric for figure in self.findings.figures if figure.interval}
        return [metric for metric in self.findings.metrics if metric.group == group and metric.key in computed]

    def main(self, group: Group) -> Metric | None:
        """The metric that speaks for a group: the plainest one, or the first."""
        metrics = self.of_group(group)
        return next((metric for metric in metrics if metric.key in MAIN), metrics[0] if metrics else None)

    @cached_property
    def at_a_glance(self) -> list[System]:
        """The systems of the first page's table: people and the models, one temperature of each if all are too many."""
        people = [self.human] if self.human else []
        models = self.models
        if len(people) + len(models) > SHOWN:
            first: dict[str, System] = {}
            for model in models:
                first.setdefault(model.name, model)
            models = list(first.values())
        return [*people, *models][:SHOWN]

    def outcome(self, comparison: Comparison) -> Outcome:
        """What a comparison allows to be said of `b` against `a`."""
        if not comparison.p_holm < LEVEL:
            return "unseen"
        metric = self.metric(comparison.metric)
        if metric.better == "higher":
            return "better" if comparison.difference.value > 0 else "worse"
        if metric.better == "lower":
            return "better" if comparison.difference.value < 0 else "worse"
        if metric.better == "human":
            return self._nearer(comparison)
        return "differ"

    def _nearer(self, comparison: Comparison) -> Outcome:
        values = [
            figure.interval.value
            for label in (comparison.a, comparison.b, self.human.label if self.human else "")
            if (figure := self._figures.get((comparison.metric, label))) and figure.interval
        ]
        if len(values) < 3:
            return "differ"
        a, b, people = values  # one of the two being people, the product is 0
        if (a - people) * (b - people) <= 0:
            return "differ"
        return "better" if abs(b - people) < abs(a - people) else "worse"

    def between_models(self, comparisons: Iterable[Comparison] | None = None) -> list[Comparison]:
        """The comparisons of two models."""
        labels = {label for model in self.models for label in (model.label, model.name)}
        given = self.findings.comparisons if comparisons is None else comparisons
        return [one for one in given if one.a in labels and one.b in labels]

    def pairs(self) -> list[tuple[System, System, list[Comparison]]]:
        """Pairs of models with their comparisons: whole frontiers, then with the first model at equal temperature."""
        places = [(place, model) for place, model in enumerate(self.models)]
        by_label = {model.name: (place, replace(model, label=model.name)) for place, model in reversed(places)}
        by_label |= {model.label: (place, model) for place, model in places}
        found: dict[tuple[str, str], list[Comparison]] = {}
        for one in self.between_models():
            found.setdefault((one.a, one.b), []).append(one)

        def rank(pair: tuple[str, str]) -> tuple[bool, bool, bool, int, int]:
            (first, a), (second, b) = by_label[pair[0]], by_label[pair[1]]
            return (
                a.label != a.name or b.label != b.name,
                a.name != b.name and a.temperature != b.temperature,
                self.models[0].name not in (a.name, b.name),
                first,
                second,
            )

        return [(by_label[a][1], by_label[b][1], found[a, b]) for a, b in sorted(found, key=rank)]

    @cached_property
    def copied(self) -> list[Copied]:
        """Copied spans, those of models first, the longest first."""
        models = {model.label for model in self.models}
        return sorted(self.findings.copied, key=lambda one: (one.system not in models, -one.tokens))

    def against_people(self, model: System) -> list[Comparison]:
        """A model's comparisons with people, the clearest difference first."""
        if self.human is None:
            return []
        ours = [one for one in self.findings.comparisons if {one.a, one.b} == {model.label, self.human.label}]
        return sorted(ours, key=lambda one: -clearness(one))


def clearness(comparison: Comparison) -> float:
    """The difference over its half interval."""
    low, high = comparison.difference.low, comparison.difference.high
    if low is None or high is None:
        return 0.0
    return abs(comparison.difference.value) / max((high - low) / 2, 1e-12)
