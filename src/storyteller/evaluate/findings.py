"""What an evaluation found: plain records between the suite that measures and the reports that tell."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from storyteller.errors import DataError
from storyteller.evaluate.bootstrap import Interval
from storyteller.runs.files import read_json

__all__ = [
    "Comparison",
    "Copied",
    "Curve",
    "Figure",
    "Findings",
    "Frontier",
    "Gate",
    "Group",
    "HeatMap",
    "Metric",
    "Phrase",
    "Sample",
    "System",
    "read_findings",
]

Group = Literal["realism", "diversity", "degeneration", "coherence", "relevance", "reading"]


@dataclass(frozen=True, slots=True)
class Metric:
    """What a figure measures.

    `better` says which way is good; `human` means the nearer to people's texts the better, `None` that there is no
    good way. `meaning` is one sentence for a writer, `blind_spot` what the metric cannot see.
    """

    key: str
    name: str
    group: Group
    better: Literal["lower", "higher", "human"] | None
    meaning: str
    blind_spot: str


@dataclass(frozen=True, slots=True)
class System:
    """One source of texts: a model at one temperature, people, or people's texts with a fault."""

    label: str
    kind: Literal["model", "human", "fault"]
    name: str
    temperature: float | None
    texts: int
    median_words: float


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric of one system; without an `interval` it was not computed, and `why` says why."""

    metric: str
    system: str
    interval: Interval | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """System `b` minus system `a` on the same prompts: paired bootstrap, `p` after Holm's correction in `p_holm`."""

    metric: str
    a: str
    b: str
    difference: Interval
    p: float
    p_holm: float


@dataclass(frozen=True, slots=True)
class Gate:
    """How well a judge that sees only a short cut (length, punctuation) tells a system from people.

    Above the bound a judgement of realism is refused, unless the user overrode it.
    """

    system: str
    probe: str
    auc: Interval
    bound: float
    passed: bool
    overridden: bool = False


@dataclass(frozen=True, slots=True)
class Frontier:
    """A point of the quality-diversity plane: one model at one temperature."""

    name: str
    temperature: float | None
    diversity_metric: str
    diversity: float
    quality_metric: str
    quality: Interval


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric by the position in the story: `values[i]` for the i-th of equal parts of every text."""

    metric: str
    system: str
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """One metric for prompts x systems: `values[i][j]` is prompt `prompts[i]` of system `systems[j]`, or None."""

    metric: str
    prompts: tuple[str, ...]
    systems: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase that a system uses far more often than people: the share of texts that have it in each."""

    system: str
    phrase: str
    share: float
    human_share: float
    z: float


@dataclass(frozen=True, slots=True)
class Copied:
    """The longest span that a text of a system shares with the training corpus."""

    system: str
    prompt_id: str
    tokens: int
    source: str
    span: str


@dataclass(frozen=True, slots=True)
class Sample:
    """The answers of all systems to one prompt, to be read."""

    prompt: str
    answers: dict[str, str]


@dataclass(frozen=True)
class Findings:
    """Everything that one evaluation of stories found, in one language.

    `settings` holds what was asked for (models, prompts, temperatures, seeds, command) and the versions used,
    `notes` the sentences that a reader must know before the figures, `seconds` the time of each part.
    """

    language: str
    settings: dict[str, Any]
    systems: tuple[System, ...]
    metrics: tuple[Metric, ...]
    figures: tuple[Figure, ...]
    comparisons: tuple[Comparison, ...] = ()
    gates: tuple[Gate, ...] = ()
    frontier: tuple[Frontier, ...] = ()
    curves: tuple[Curve, ...] = ()
    heat_maps: tuple[HeatMap, ...] = ()
    phrases: tuple[Phrase, ...] = ()
    copied: tuple[Copied, ...] = ()
    samples: tuple[Sample, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    def figure(self, metric: str, system: str) -> Figure | None:
        """The figure of a metric for a system, or None."""
        return next((one for one in self.figures if (one.metric, one.system) == (metric, system)), None)

    def to_json(self) -> dict[str, Any]:
        """Everything as one JSON object."""
        return asdict(self)


def read_findings(path: Path) -> list[Findings]:
    """The findings of a `report.json`, one for each language; raises `DataError` for a file that is none."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(list[Findings]).validate_python(read_json(path))
    except (OSError, ValueError, ValidationError) as error:
        raise DataError(
            f"{path}: not a report of stories ({error}). Make one: storyteller evaluate ... --suite stories --out DIR"
        ) from error
