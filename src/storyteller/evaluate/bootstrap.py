"""Intervals: the bootstrap over works, because pages of one book are not independent observations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus.authors import author_key
from storyteller.corpus.story import Story

__all__ = ["Interval", "cluster_weights", "ratio_interval", "work_of"]


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval; `n` is the number of works (clusters) that it rests on.

    One work alone has no interval: `low` and `high` are None then.
    """

    value: float
    low: float | None
    high: float | None
    n: int

    def __str__(self) -> str:
        interval = "no interval" if self.low is None else f"{self.low:.4f}, {self.high:.4f}"
        return f"{self.value:.4f} [{interval}]"


def work_of(story: Story) -> str:
    """What is drawn as one in the bootstrap: the work, or the author's share of it where it collects several authors.

    A story without a work is drawn with its author's others; one that nobody signed, or a model, stands for itself.
    """
    author = story.author if author_key(story.author) else None
    return " / ".join(part for part in (author, story.work) if part) or story.title or story.id


def cluster_weights(clusters: int, resamples: int = 2000, seed: int = 1) -> NDArray[np.float64]:
    """How often each cluster is drawn in each resample: [resamples, clusters]; the same for every system compared."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples).astype(np.float64)


def ratio_interval(
    numerators: Sequence[float],
    denominators: Sequence[float],
    clusters: Sequence[str],
    resamples: int = 2000,
    seed: int = 1,
) -> Interval:
    """The ratio of two sums (such as bits and bytes) with a percentile bootstrap over clusters (Efron and Tibshirani 1993).

    One value an item; `clusters` names the work of each. With a single cluster there is no interval.
    """
    names, index = np.unique(np.asarray(clusters, dtype=str), return_inverse=True)
    above = np.bincount(index, weights=np.asarray(numerators, dtype=np.float64), minlength=len(names))
    below = np.bincount(index, weights=np.asarray(denominators, dtype=np.float64), minlength=len(names))
    value = float(above.sum() / below.sum())
    if len(names) < 2:
        return Interval(value, None, None, len(names))
    weights = cluster_weights(len(names), resamples, seed)
    ratios = (weights @ above) / (weights @ below)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Interval(value, float(low), float(high), len(names))
