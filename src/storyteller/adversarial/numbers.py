"""The two numbers that a writer is shown of a text, and when there are none.

Human-likeness is a percentile among human texts of the same length, predicted coherence what people said of texts that the
critic found as coherent. They are two numbers because they are two things, and neither is quality. A text of a kind that
the critic has not seen gets none: it lies too far from the human texts that the numbers were calibrated on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from storyteller.adversarial.using import Judgement, Likeness
from storyteller.errors import DataError
from storyteller.runs import read_json, write_json
from storyteller.runs.files import write_atomic

__all__ = ["Domain", "Isotonic", "Shown", "WriterNumbers"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of a text: `likeness` from 0 to 100, `coherence` on the raters' scale, None where nothing can be said.

    `why` says so, `reason` for programs. `sentences` are (sentence, by how much the percentile is higher than that of a
    text of the same length band without it).
    """

    likeness: float | None
    coherence: float | None
    sentences: tuple[tuple[str, float], ...]
    why: str = ""
    reason: Literal["", "kind", "length"] = ""


@dataclass(frozen=True)
class Isotonic:
    """A rising step function from a score to a rating: `knots` are scores, `values` the mean ratings from there on."""

    knots: Floats
    values: Floats

    @classmethod
    def fit(cls, scores: Sequence[float], ratings: Sequence[float]) -> Isotonic:
        """The least-squares rising fit, by pooling what falls (Ayer et al. 1955); raises `DataError` for under 20 texts."""
        if len(scores) != len(ratings) or len(scores) < 20:
            raise DataError(f"{len(scores)} scores and {len(ratings)} ratings: 20 rated texts are the least.")
        knots, places = np.unique(np.asarray(scores, dtype=float), return_inverse=True)  # equal scores are one knot
        totals = np.bincount(places, weights=np.asarray(ratings, dtype=float))
        blocks: list[list[float]] = []  # [sum, count, first score]
        for block in zip(totals, np.bincount(places), knots, strict=True):
            blocks.append([float(number) for number in block])
            while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
                total, count, _ = blocks.pop()
                blocks[-1][0] += total
                blocks[-1][1] += count
        return cls(np.array([first for _, _, first in blocks]), np.array([total / count for total, count, _ in blocks]))

    def __call__(self, score: float) -> float:
        """The rating that a text with this score is expected to have."""
        return float(self.values[max(0, int(np.searchsorted(self.knots, score, side="right")) - 1)])


@dataclass(frozen=True)
class Domain:
    """Where the texts lie that the critic knows: their mean, the inverse of their covariance, and how far is too far.

    Mahalanobis distances in the critic's own features tell texts of another kind (Lee et al. 2018, arXiv 1807.03888).
    """

    mean: Floats
    precision: Floats
    limit: float

    @classmethod
    def of(cls, places: Sequence[Sequence[float]], share: float = 0.99) -> Domain:
        """Fitted on every other place, its limit the distance that `share` of the others do not exceed.

        The covariance is shrunk towards its diagonal, as far as there are few texts. Raises `DataError` for under 40.
        """
        if len(places) < 40:
            raise DataError(f"{len(places)} texts do not show what the critic knows; 40 are the least.")
        points = np.asarray(places, dtype=float)
        fitted, others = points[::2], points[1::2]
        mean = fitted.mean(0)
        spread = np.cov(fitted.T)
        shrink = max(0.1, float(fitted.shape[1]) / (fitted.shape[1] + len(fitted)))
        spread = (1 - shrink) * spread + shrink * np.diag(np.diag(spread) + 1e-9)
        domain = cls(mean, np.linalg.inv(spread), 0.0)
        distances = [domain.distance(place) for place in others]
        return cls(mean, domain.precision, float(np.quantile(distances, share)))

    def distance(self, place: Sequence[float]) -> float:
        """How far a place lies from what is known, in deviations."""
        away = np.asarray(place, dtype=float) - self.mean
        return float(np.sqrt(max(0.0, float(away @ self.precision @ away))))

    def knows(self, place: Sequence[float]) -> bool:
        """Whether a text there is of a known kind."""
        return self.distance(place) <= self.limit


@dataclass(frozen=True)
class WriterNumbers:
    """Calibrated on human texts, and on rated ones where there are some."""

    likeness: Likeness
    domain: Domain
    coherence: Isotonic | None = None

    @classmethod
    def fit(
        cls, human: Sequence[Judgement], rated: Sequence[Judgement] = (), ratings: Sequence[float] = ()
    ) -> WriterNumbers:
        """Calibrate on judgements of human texts, and of `rated` texts with people's `ratings` of their coherence.

        What is known are the kinds of both. Raises `DataError` for too few texts.
        """
        known = [one.place for one in (*human, *rated)]
        return cls(
            Likeness.of(human),
            Domain.of(known),
            Isotonic.fit([one.coherence for one in rated], ratings) if len(rated) else None,
        )

    def tell(self, judgement: Judgement) -> Shown:
        """The numbers of a text."""
        if not self.domain.knows(judgement.place):
            why = "the critic has not seen texts of this kind, and says nothing about it"
            return Shown(None, None, (), why, "kind")
        coherence = None if self.coherence is None else self.coherence(judgement.coherence)
        likeness = self.likeness.percentile(judgement)
        if likeness is None:
            why = "there were too few human texts of this length to compare with"
            return Shown(None, coherence, (), why, "length")
        return Shown(likeness, coherence, self._sentences(judgement, likeness))

    def _sentences(self, judgement: Judgement, likeness: float) -> tuple[tuple[str, float], ...]:
        """What each sentence adds. In the band of the whole text: another band would change the number by itself."""
        changes = []
        for (sentence, _), realism in zip(judgement.sentences, judgement.without, strict=True):
            rest = self.likeness.percentile(replace(judgement, realism=realism))
            changes.append((sentence, likeness - rest if rest is not None else 0.0))
        return tuple(changes)

    def save(self, folder: Path) -> None:
        """Write the calibration to `folder`: `numbers.json`, and the domain's arrays in `numbers.safetensors`."""
        from safetensors.numpy import save

        domain = {"mean": self.domain.mean, "precision": self.domain.precision}
        arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in domain.items()}
        write_atomic(folder / "numbers.safetensors", save(arrays))
        told: dict[str, Any] = {
            "bands": {str(band): [round(value, 4) for value in values] for band, values in self.likeness.bands.items()},
            "limit": self.domain.limit,
            "coherence": None
            if self.coherence is None
            else {"knots": self.coherence.knots.tolist(), "values": self.coherence.values.tolist()},
        }
        write_json(folder / "numbers.json", told)

    @classmethod
    def load(cls, folder: Path) -> WriterNumbers:
        """The calibration that `save` wrote; raises `DataError` when there is none."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            told, arrays = read_json(folder / "numbers.json"), load_file(folder / "numbers.safetensors")
            mean, precision = (arrays[name].astype(np.float64) for name in ("mean", "precision"))
            curve = told["coherence"]
            return cls(
                Likeness({int(band): values for band, values in told["bands"].items()}),
                Domain(mean, precision, float(told["limit"])),
                None if curve is None else Isotonic(np.array(curve["knots"]), np.array(curve["values"])),
            )
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder} holds no calibration of the critic ({error}); fit it again.") from error
