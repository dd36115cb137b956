"""Findings in a language of the reader: the reading, its words, and how each system is called and drawn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from storyteller.evaluate.bootstrap import Interval
from storyteller.evaluate.findings import Comparison, Findings, Metric, System
from storyteller.evaluate.report.chinese import CHINESE
from storyteller.evaluate.report.english import ENGLISH
from storyteller.evaluate.report.numbers import number, range_of, with_interval
from storyteller.evaluate.report.plots import Labelled
from storyteller.evaluate.report.reading import Reading
from storyteller.evaluate.report.sentences import display, metric_name, winner
from storyteller.evaluate.report.wording import Wording

__all__ = ["ReportLanguage", "View"]

ReportLanguage = Literal["en", "zh"]


@dataclass(frozen=True)
class View:
    """What both renderers ask: names, values as text, readings of comparisons."""

    reading: Reading
    words: Wording

    @classmethod
    def of(cls, findings: Findings, language: ReportLanguage) -> View:
        """The findings, told in `language`."""
        return cls(Reading(findings), {"en": ENGLISH, "zh": CHINESE}[language])

    @property
    def findings(self) -> Findings:
        """The findings themselves."""
        return self.reading.findings

    def name(self, system: System | str) -> str:
        """The system's name for readers."""
        return display(system, self.reading, self.words)

    @cached_property
    def _drawn(self) -> dict[str, Labelled]:
        """One colour and shape a model, one dash a temperature, the same in every plot."""
        names: dict[str, list[str]] = {}
        for one in [one for one in self.reading.ordered if one.kind != "human"]:
            names.setdefault(one.name, []).append(one.label)
        return {
            label: Labelled(self.name(label), place, variant)
            for place, labels in enumerate(names.values())
            for variant, label in enumerate(labels)
        }

    def label(self, label: str) -> Labelled:
        """How a system is drawn."""
        if self.reading.human is not None and label == self.reading.human.label:
            return Labelled(self.words.people, 0, human=True)
        return self._drawn.get(label, Labelled(label, 0))

    def model_label(self, name: str) -> Labelled:
        """How all temperatures of a model are drawn as one line."""
        first = next((one.label for one in self.reading.models if one.name == name), "")
        return Labelled(name, self.label(first).place)

    def people(self, metric: Metric) -> Interval | None:
        """People's value of a metric."""
        figure = self.reading.figure(metric, self.reading.human) if self.reading.human else None
        return figure.interval if figure else None

    def value(self, metric: Metric, system: System) -> str:
        """`value [low, high]`, or a dash."""
        figure = self.reading.figure(metric, system)
        if figure is None or figure.interval is None:
            return "–"
        return with_interval(figure.interval, self.reading.decimals(metric.key))

    def split_value(self, metric: Metric, system: System) -> tuple[str, str]:
        """The value and its interval apart from one another."""
        figure = self.reading.figure(metric, system)
        if figure is None or figure.interval is None:
            return "–", ""
        places = self.reading.decimals(metric.key)
        return number(figure.interval.value, places), range_of(figure.interval, places)

    def outcome(self, comparison: Comparison) -> str:
        """What a comparison allows to be said, in words."""
        words, better = self.words, winner(self.reading, comparison)
        if self.reading.outcome(comparison) == "unseen":
            return words.verdict_none
        if better is None:
            people = self.reading.human and self.reading.human.label in (comparison.a, comparison.b)
            return words.verdict_unlike if people else words.verdict_differ
        nearer = self.reading.metric(comparison.metric).better == "human"
        return (words.verdict_nearer if nearer else words.verdict_better).format(self.name(better))

    def metric_name(self, key: str) -> str:
        """The name of a compared metric."""
        return metric_name(self.reading, self.words, key)
