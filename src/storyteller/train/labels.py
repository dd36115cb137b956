"""Labels that nobody gave: stories that a scorer is sure of, checked for drift, and the stories that a person should label.

A scorer is any function from texts to the chance that the label is 1 (NaN where it cannot say); it is passed in, so a
critic, the coherence scorer or a rating model of your own serve alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storyteller.errors import DataError

__all__ = ["Drift", "PseudoLabels", "ScoreFunction", "propose", "pseudo_labels", "uncertainty"]

ScoreFunction = Callable[[Sequence[str]], Sequence[float]]
Floats = NDArray[np.float64]

_FEWEST = 20  # labelled texts from which something can be said about a scorer
_MOST_APART = 0.3  # of two distributions of lengths, Kolmogorov and Smirnov's distance
_SHARE_APART = 0.25  # of the share of label 1 among the accepted, from that among the labelled


@dataclass(frozen=True, slots=True)
class Drift:
    """Whether the pseudo-labels can be trusted; `reasons` is empty when nothing speaks against them.

    `right` is the share of labelled texts that the scorer labels rightly where it is sure, `sure` how many these are;
    `share` and `labelled_share` are the shares of label 1 among the accepted and the labelled; `length_distance` is the
    Kolmogorov-Smirnov distance of the accepted texts' lengths from the labelled ones'.
    """

    right: float
    sure: int
    share: float
    labelled_share: float
    length_distance: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PseudoLabels:
    """(index of the text, label, confidence) of each accepted text, how many were not accepted, and the drift check."""

    accepted: tuple[tuple[int, int, float], ...]
    left: int
    drift: Drift


def pseudo_labels(
    texts: Sequence[str],
    score: ScoreFunction,
    labelled: Sequence[tuple[str, int]],
    *,
    threshold: float = 0.95,
) -> PseudoLabels:
    """Label the texts that `score` is sure of: those whose likelier label has a chance of `threshold` or more.

    Confidence alone is no reason to believe (Arazo et al. 2020, arXiv 1908.02983): on the `labelled` texts (text, 0 or 1),
    which the scorer must not have been trained on, it has to be right where it is sure, and the accepted texts have to be
    like them in length and in their share of labels. Raises `DataError` for fewer than 20 labelled texts, for a threshold
    that is none, and for chances that are not between 0 and 1.
    """
    if not 0.5 < threshold < 1:
        raise DataError(f"threshold={threshold} must lie between 0.5 and 1.")
    if len(labelled) < _FEWEST:
        raise DataError(f"{len(labelled)} labelled texts are too few to check a scorer on; give {_FEWEST} or more.")
    chances, known = _chances(score, texts), _chances(score, [text for text, _ in labelled])
    sure = np.flatnonzero(_confidence(chances) >= threshold)
    accepted = tuple((int(i), int(chances[i] >= 0.5), float(_confidence(chances)[i])) for i in sure)
    truth = np.array([label for _, label in labelled])
    certain = _confidence(known) >= threshold
    drift = _drift(
        truth,
        (known >= 0.5).astype(int)[certain] == truth[certain],
        np.array([label for _, label, _ in accepted]),
        [len(texts[i]) for i, _, _ in accepted],
        [len(text) for text, _ in labelled],
        threshold,
    )
    return PseudoLabels(accepted, len(texts) - len(accepted), drift)


def _drift(
    truth: NDArray[np.int64],
    right: NDArray[np.bool_],
    labels: NDArray[np.int64],
    lengths: Sequence[int],
    labelled_lengths: Sequence[int],
    threshold: float,
) -> Drift:
    from scipy.stats import ks_2samp

    reasons = []
    share, known = float(labels.mean()) if len(labels) else math.nan, float(truth.mean())
    distance = float(ks_2samp(lengths, labelled_lengths).statistic) if lengths else math.nan
    if len(right) < _FEWEST // 2:
        reasons.append(f"the scorer is sure of {len(right)} labelled texts only, too few to tell whether it is right")
    elif (best := _upper(int(right.sum()), len(right))) < threshold:
        reasons.append(
            f"where it is sure, the scorer is right on {right.mean():.0%} of the labelled texts, {best:.0%} at best"
        )
    if abs(share - known) > _SHARE_APART:
        reasons.append(f"{share:.0%} of the accepted texts are labelled 1, and {known:.0%} of those labelled by people")
    if distance > _MOST_APART:
        reasons.append(f"the accepted texts are of other lengths than the labelled ones (distance {distance:.2f})")
    return Drift(float(right.mean()) if len(right) else math.nan, len(right), share, known, distance, tuple(reasons))


def _upper(successes: int, trials: int, z: float = 1.96) -> float:
    """The upper end of Wilson's 95 % interval (1927)."""
    share, rest = successes / trials, z * z / trials
    return (share + rest / 2 + z * math.sqrt(share * (1 - share) / trials + rest / (4 * trials))) / (1 + rest)


def uncertainty(chances: Sequence[float]) -> Floats:
    """The entropy of each chance in bits, from 0 (sure) to 1 (a coin); 1 where the scorer cannot say (NaN)."""
    values = np.asarray(chances, dtype=np.float64)
    inner = np.clip(np.nan_to_num(values, nan=0.5), 1e-12, 1 - 1e-12)
    entropy: Floats = -(inner * np.log2(inner) + (1 - inner) * np.log2(1 - inner))
    return entropy


def propose(
    vectors: NDArray[np.floating], chances: Sequence[float], count: int, known: Sequence[int] = ()
) -> list[int]:
    """The indices of the `count` stories whose labels would help most: doubtful ones, and each unlike those before it.

    Each next story has the largest product of uncertainty and distance (1 - cosine) from the nearest story that is chosen
    or labelled already (`known`): uncertainty sampling on the spread of a core-set (Sener and Savarese 2018, arXiv
    1708.00489). `vectors` [stories, dimensions] are any embedding. Raises `DataError` when the two do not belong together.
    """
    if vectors.ndim != 2 or len(vectors) != len(chances):
        raise DataError(
            f"{len(chances)} chances and vectors of the shape {vectors.shape}: every story needs one of each."
        )
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    doubt = uncertainty(chances)
    distance: Floats = np.ones(len(units))
    for index in known:
        distance = np.minimum(distance, 1 - units @ units[index])
    left = np.ones(len(units), bool)
    left[list(known)] = False
    chosen: list[int] = []
    while len(chosen) < count and left.any():
        gain = np.where(left, doubt * np.maximum(distance, 0), -1)
        best = int(gain.argmax())
        chosen.append(best)
        left[best] = False
        distance = np.minimum(distance, 1 - units @ units[best])
    return chosen


def _chances(score: ScoreFunction, texts: Sequence[str]) -> Floats:
    values: Floats = np.asarray(score(texts), dtype=np.float64)
    told = values[~np.isnan(values)]
    if values.shape != (len(texts),) or (told.size and (told.min() < 0 or told.max() > 1)):
        raise DataError("the scorer must give one chance between 0 and 1 for each text, NaN where it cannot say.")
    return values


def _confidence(chances: Floats) -> Floats:
    """The chance of the likelier label; 0 where the scorer cannot say."""
    confidence: Floats = np.nan_to_num(np.maximum(chances, 1 - chances), nan=0.0)
    return confidence
