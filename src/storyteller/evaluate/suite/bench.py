"""The bench: the texts of all systems side by side, on the same prompts, with one bootstrap for all of them."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storyteller.corpus.language import count_words, identify_language
from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.evaluate.bootstrap import Interval
from storyteller.evaluate.findings import Copied, Curve, Figure, Frontier, Gate, HeatMap, Metric, Phrase, System
from storyteller.evaluate.statistics import Bootstrap, Resampled, mean
from storyteller.evaluate.texts import HUMAN, Text

__all__ = ["Bench", "Part", "Value", "lay_out"]

Value = Resampled | Interval | str
"""A figure: a statistic that can be paired with others, an interval alone, or why there is neither."""

#: A text of fewer words (字) than this is no story; a system with more than one such text in ten is refused.
LEAST_WORDS = 5

#: Draws for each pair of systems that is compared. The least p value is 2 / draws and Holm's correction multiplies it by
#: all comparisons of a group, up to ten for each pair, so 2,000 draws could name nothing from six pairs on.
DRAWS_A_PAIR = 1000
LEAST_DRAWS = 2000


@dataclass(frozen=True)
class Bench:
    """Texts by system, each system's in the order of the same prompts and seeds; people's texts first where there are.

    `clusters[label]` names the work of each text: what the `bootstrap` draws.
    """

    language: Language
    systems: tuple[System, ...]
    answers: dict[str, tuple[Text, ...]]
    bootstrap: Bootstrap
    notes: tuple[str, ...] = ()

    @property
    def labels(self) -> list[str]:
        """The labels of all systems."""
        return [system.label for system in self.systems]

    @property
    def models(self) -> list[str]:
        """The labels of the systems that are models."""
        return [system.label for system in self.systems if system.kind == "model"]

    @property
    def human(self) -> str | None:
        """The label of people's texts, where there are any."""
        return next((system.label for system in self.systems if system.kind == "human"), None)

    def texts(self, label: str) -> list[str]:
        """The texts of a system."""
        return [answer.text for answer in self.answers[label]]

    def clusters(self, label: str) -> list[str]:
        """The work of each text of a system."""
        return [answer.cluster for answer in self.answers[label]]

    def prompts(self, label: str) -> list[str]:
        """The prompt of each text of a system."""
        return [answer.prompt_id for answer in self.answers[label]]

    def mean(self, label: str, values: ArrayLike) -> Resampled:
        """The mean of one value a text, resampled over works; texts whose value is nan are left out."""
        numbers = np.asarray(values, np.float64)
        known = np.isfinite(numbers)
        if not known.any():
            raise DataError("no text of this system has a value")
        return mean(
            self.bootstrap, numbers[known], [c for c, ok in zip(self.clusters(label), known, strict=True) if ok]
        )

    def first_answers(self, label: str) -> NDArray[np.int64]:
        """The indices of the first text of each prompt: one a prompt, however many seeds there are."""
        return np.unique(self.prompts(label), return_index=True)[1]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The systems that are compared: every two models at one temperature, in their order, and each with people."""
        return _pairs(self.systems)

    @cached_property
    def human_texts(self) -> list[str]:
        """People's texts on the prompts; empty where there are none."""
        return self.texts(self.human) if self.human else []


@dataclass
class Part:
    """What one part of the suite found.

    `values` maps (metric, system) to a statistic, to an interval that cannot be paired, or to why there is no figure.
    `people` maps (metric, model) to people's own statistic where each model is measured by a yardstick of its own.
    """

    metrics: list[Metric] = field(default_factory=list)
    values: dict[tuple[str, str], Value] = field(default_factory=dict)
    people: dict[tuple[str, str], Resampled] = field(default_factory=dict)
    gates: list[Gate] = field(default_factory=list)
    frontier: list[Frontier] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    heat_maps: list[HeatMap] = field(default_factory=list)
    phrases: list[Phrase] = field(default_factory=list)
    copied: list[Copied] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, metric: Metric, systems: Iterable[str], measure: Callable[[str], Value]) -> None:
        """Measure a metric for each system; a `DataError` becomes the reason why a figure is missing."""
        for label in systems:
            try:
                self.put(metric, label, measure(label))
            except DataError as why:
                self.put(metric, label, str(why))

    def put(self, metric: Metric, label: str, value: Value) -> None:
        """Keep a figure of a system, or the reason why there is none."""
        if metric not in self.metrics:
            self.metrics.append(metric)
        self.values[metric.key, label] = value

    def drop_empty(self) -> None:
        """Forget the metrics that no system has a figure for: what they measure was not asked for."""
        empty = {
            m.key for m in self.metrics if all(isinstance(v, str) for (k, _), v in self.values.items() if k == m.key)
        }
        self.metrics = [metric for metric in self.metrics if metric.key not in empty]
        self.values = {key: value for key, value in self.values.items() if key[0] not in empty}

    def figures(self) -> list[Figure]:
        """The values as figures with intervals."""
        return [_figure(metric, system, value) for (metric, system), value in self.values.items()]


def _figure(metric: str, system: str, value: Value) -> Figure:
    if isinstance(value, str):
        return Figure(metric, system, None, value)
    return Figure(metric, system, value if isinstance(value, Interval) else value.interval())


def lay_out(
    texts: Sequence[Text], language: Language, faults: Sequence[Text] = (), compared: int | None = None
) -> Bench:
    """Arrange texts on a bench: only prompts that every system answered in words, each system once a prompt and seed.

    `compared` is the number of pairs of systems that will be compared, where they are not `Bench.pairs`: the bootstrap
    draws as often as Holm's correction over them needs. A text that names no work is of the work that another text to its
    prompt names. Raises `DataError` when there are no texts, no common prompts, two works for one prompt, systems with
    different numbers of texts a prompt, empty or one-word stories in number, or texts in another language than the one
    that was asked for.
    """
    groups: dict[str, list[Text]] = defaultdict(list)
    for text in _with_works([text for text in [*texts, *faults] if text.language == language]):
        groups[_label(text)].append(text)
    if not groups:
        raise DataError(f"there is no text in {language!r} to evaluate.")
    common = set.intersection(*({text.prompt_id for text in group} for group in groups.values()))
    asked = set.union(*({text.prompt_id for text in group} for group in groups.values()))
    if not common:
        raise DataError("no prompt was answered by every system: they cannot be compared. Use the same prompts.")
    notes = [f"{len(asked - common)} of {len(asked)} prompts were left out: not every system answered them."]
    faulty = {_label(text) for text in faults}
    answers = {}
    for label, group in sorted(groups.items(), key=lambda item: (item[0] != HUMAN, item[0] in faulty)):
        kept = sorted((text for text in group if text.prompt_id in common), key=lambda t: (t.seed or 0, t.prompt_id))
        _check(label, kept, language, len(common))
        answers[label] = tuple(kept)
    # A text without a word has no meaning to embed. It was counted as short above; here its prompt goes, for all alike.
    silent = {t.prompt_id: label for label, kept in answers.items() for t in kept if not count_words(t.text, language)}
    if len(silent) == len(common):
        raise DataError("on every prompt some system wrote no word: there is nothing to evaluate.")
    answers = {label: tuple(t for t in kept if t.prompt_id not in silent) for label, kept in answers.items()}
    by = ", ".join(sorted(set(silent.values())))
    notes.append(f"{len(silent)} of {len(common)} prompts were left out: an answer has no word in it ({by}).")
    systems = tuple(_system(label, kept, fault=label in faulty) for label, kept in answers.items())
    draws = DRAWS_A_PAIR * (len(_pairs(systems)) if compared is None else compared)
    return Bench(
        language,
        systems,
        answers,
        Bootstrap([text.cluster for kept in answers.values() for text in kept], max(LEAST_DRAWS, draws)),
        tuple(note for note, of in zip(notes, (asked - common, silent), strict=True) if of),
    )


def _with_works(texts: Sequence[Text]) -> list[Text]:
    """The texts, each with the work of its prompt: answers from elsewhere often name none, and people's text does.

    Left to their prompts, passages of one book would be learned from and tested on, and the two of a pair drawn apart.
    """
    works: dict[str, str] = {}
    for text in texts:
        if text.work and works.setdefault(text.prompt_id, text.work) != text.work:
            raise DataError(
                f"the texts to the prompt {text.prompt_id} name two works, {works[text.prompt_id]!r} and {text.work!r}. "
                "A prompt is of one work: give each its own prompt_id, or name the work of one of them."
            )
    return [replace(text, work=works.get(text.prompt_id, "")) for text in texts]


def _label(text: Text) -> str:
    return text.system if text.temperature is None else f"{text.system} @{text.temperature:g}"


def _system(label: str, texts: Sequence[Text], fault: bool) -> System:
    lengths = [count_words(text.text, text.language) for text in texts]
    kind: Literal["human", "fault", "model"] = "human" if label == HUMAN else "fault" if fault else "model"
    return System(label, kind, texts[0].system, texts[0].temperature, len(texts), float(np.median(lengths)))


def _pairs(systems: Sequence[System]) -> list[tuple[str, str]]:
    """Texts from elsewhere that name no temperature are compared with every model."""
    models = [system for system in systems if system.kind == "model"]
    human = next((system.label for system in systems if system.kind == "human"), None)
    pairs = [(a.label, b.label) for a, b in itertools.combinations(models, 2) if _comparable(a, b)]
    return pairs + [(human, model.label) for model in models if human]


def _comparable(a: System, b: System) -> bool:
    return a.temperature == b.temperature or None in (a.temperature, b.temperature)


def _check(label: str, texts: Sequence[Text], language: Language, prompts: int) -> None:
    """Refuse what would make figures meaningless, with the reason."""
    seeds = {text.seed for text in texts}
    if len(texts) != prompts * len(seeds) or len({(text.prompt_id, text.seed) for text in texts}) < len(texts):
        raise DataError(
            f"{label} has {len(texts)} texts on {prompts} prompts and {len(seeds)} seeds: each prompt needs one text a "
            "seed. Collect the missing ones, or remove what stands there twice."
        )
    short = [text for text in texts if count_words(text.text, language) < LEAST_WORDS]
    if 10 * len(short) > len(texts):
        raise DataError(
            f"{label}: {len(short)} of {len(texts)} texts have fewer than {LEAST_WORDS} words, such as "
            f"{short[0].text[:40]!r} on prompt {short[0].prompt_id}. There is nothing to evaluate in them."
        )
    other = [text for text in texts if identify_language(text.text) not in (language, None)]
    if 10 * len(other) > len(texts):
        raise DataError(
            f"{label}: {len(other)} of {len(texts)} texts are not in {language!r}, such as the one on prompt "
            f"{other[0].prompt_id}. Evaluate a model on the language that it writes, or mark the texts' language."
        )
