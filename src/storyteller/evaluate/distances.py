"""Distances between the distributions of human and of generated texts, on story embeddings: MAUVE and KID.

Both need many texts, and both are nearly meaningless alone: each comes with its human-vs-human value on as many texts.
They see what the embedder sees. MAUVE has contradicted people (Su and Xu 2022), so neither decides anything by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storyteller.errors import DataError
from storyteller.evaluate.bootstrap import Interval
from storyteller.evaluate.statistics import Bootstrap, Resampled

__all__ = ["KID_MINIMUM", "MAUVE_MINIMUM", "Mauve", "kid", "kid_floor", "mauve"]

Floats = NDArray[Any]

MAUVE_MINIMUM = 250
"""Fewer texts a side are refused: with ten texts a cluster, under 25 clusters describe no distribution of stories."""

KID_MINIMUM = 50
"""Fewer texts a side are refused, as for the judges."""


@dataclass(frozen=True, slots=True)
class Mauve:
    """MAUVE from 0 to 1 (higher: closer to human), mean and spread over k-means seeds, with its ceiling beside it.

    `ceiling` is human against human on `ceiling_n` texts a side (half of the human texts). Fewer texts a cluster lower
    MAUVE, so it is measured with the same number of texts a cluster as `value`.
    """

    value: float
    spread: float
    n: int
    clusters: int
    ceiling: float
    ceiling_n: int


def mauve(human: Floats, system: Floats, *, seeds: int = 5, seed: int = 1) -> Mauve:
    """MAUVE* (Pillutla et al. 2021, 2023) of story embeddings [texts, dimensions], as its authors' `mauve-text` has it.

    Embeddings are scaled to length 1, reduced by PCA to 90 % of their variance, quantised together by k-means into a
    tenth as many clusters as there are texts a side, and compared by the area under the divergence curve with scaling 5.
    Both sides are cut to the same number. Raises `DataError` for fewer than 250 texts a side: the paper used 5,000, and
    from a few hundred only differences from the ceiling mean something.
    """
    n = min(len(human), len(system))
    if n < MAUVE_MINIMUM:
        raise DataError(f"{n} texts a side are too few for MAUVE; {MAUVE_MINIMUM} are the least, thousands are useful.")
    chance = np.random.default_rng(seed)
    ours, theirs = (side[chance.permutation(len(side))[:n]] for side in (human, system))
    values = [_mauve(ours, theirs, max(2, n // 10), seed + number) for number in range(seeds)]
    halves = np.array_split(chance.permutation(len(human)), 2)
    half = min(n, *map(len, halves))
    ceilings = [
        _mauve(human[halves[0][:half]], human[halves[1][:half]], max(2, half // 10), seed + number)
        for number in range(seeds)
    ]
    return Mauve(float(np.mean(values)), float(np.std(values)), n, max(2, n // 10), float(np.mean(ceilings)), half)


def kid(
    human: Floats,
    system: Floats,
    human_labels: Sequence[str],
    system_labels: Sequence[str],
    bootstrap: Bootstrap | None = None,
) -> Resampled:
    """The kernel distance (Binkowski et al. 2018): unbiased squared MMD (Gretton et al. 2012) with kernel (x.y / d + 1)^3.

    0 is the same distribution; an unbiased estimate falls below 0 half of the time there. `labels` name the work (or
    prompt) of each text. Resamples draw works; pairs of texts of one work are left out within a class, also in the
    value, so that a work drawn twice is not compared with itself; so are a person's text and a system's on one work, which
    are alike in their subject. Two systems with the same `bootstrap` can be subtracted.
    Vectors are scaled to length sqrt(d), as embeddings of length 1 would make the kernel nearly linear. Raises
    `DataError` for fewer than 50 texts a side, and for a side of one work.
    """
    if (n := min(len(human), len(system))) < KID_MINIMUM:
        raise DataError(f"{n} texts a side are too few for KID; {KID_MINIMUM} are the least.")
    bootstrap = bootstrap or Bootstrap([*human_labels, *system_labels])
    ours, theirs = bootstrap.columns(human_labels), bootstrap.columns(system_labels)
    if min(len(np.unique(ours)), len(np.unique(theirs))) < 2:
        raise DataError("all texts of a side are of one work, which is not compared with itself: KID needs two works.")
    x, y = _scaled(human), _scaled(system)
    size = len(bootstrap.names)
    labels = bootstrap.names
    within = [_summed(_kernel(v, v), index, index, size) for v, index in ((x, ours), (y, theirs))]
    between = _summed(_kernel(x, y), ours, theirs, size)
    counts = [np.bincount(index, minlength=size).astype(np.float64) for index in (ours, theirs)]

    def squared(weights: Floats) -> Floats:
        inside = [_off_diagonal(weights, matrix, count, count) for matrix, count in zip(within, counts, strict=True)]
        return np.asarray(inside[0] + inside[1] - 2 * _off_diagonal(weights, between, *counts))

    return bootstrap.statistic(squared, labels)


def kid_floor(human: Floats, labels: Sequence[str], *, splits: int = 20, seed: int = 1) -> Interval:
    """KID of human against human: the mean and 95 % range over random halves of the works.

    A system whose KID lies within this range is not told from people by it. Halves are smaller than the whole, so the
    range is on the wide side.
    """
    names = np.unique(np.asarray(labels, str))
    chance = np.random.default_rng(seed)
    values = []
    for _ in range(splits):
        first = np.isin(np.asarray(labels, str), chance.permutation(names)[: len(names) // 2])
        parts = [human[first], human[~first]]
        named = [[name for name, chosen in zip(labels, first, strict=True) if chosen == side] for side in (True, False)]
        bootstrap = Bootstrap(labels, resamples=2)
        values.append(kid(parts[0], parts[1], named[0], named[1], bootstrap).value)
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(np.mean(values)), float(low), float(high), len(names))


def _mauve(human: Floats, system: Floats, clusters: int, seed: int) -> float:
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    both = np.concatenate([human, system]).astype(np.float32)
    both /= np.maximum(np.linalg.norm(both, axis=1, keepdims=True), 1e-9)
    reduced = PCA(n_components=0.9, svd_solver="full").fit_transform(both)
    labels = KMeans(clusters, n_init=5, max_iter=100, random_state=seed).fit_predict(reduced)
    sides = (labels[: len(human)], labels[len(human) :])
    # Half a text more in every cluster (Krichevsky and Trofimov) keeps an empty one from deciding: this is MAUVE*.
    p, q = ((np.bincount(side, minlength=clusters) + 0.5) / (len(side) + 0.5 * clusters) for side in sides)
    return _area(p, q)


def _area(p: Floats, q: Floats, scaling: float = 5.0) -> float:
    """The area under the divergence curve of two histograms without zeros, averaged over both directions of integration."""
    weights = np.linspace(1e-6, 1 - 1e-6, 25)[:, None]
    mixed = weights * p + (1 - weights) * q
    curve = np.exp(-scaling * np.stack([_divergence(q, mixed), _divergence(p, mixed)]))
    x, y = np.concatenate([[[1.0], [0.0]], curve, [[0.0], [1.0]]], axis=1)
    return 0.5 * (_integral(x, y) + _integral(y, x))


def _divergence(p: Floats, mixed: Floats) -> Floats:
    return np.asarray((p * np.log(p / mixed)).sum(1))


def _integral(x: Floats, y: Floats) -> float:
    order = np.argsort(x, kind="stable")
    return float(np.trapezoid(y[order], x[order]))


def _scaled(vectors: Floats) -> Floats:
    wide = np.asarray(vectors, np.float64)
    return np.asarray(wide * np.sqrt(wide.shape[1]) / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-9))


def _kernel(x: Floats, y: Floats) -> Floats:
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def _summed(matrix: Floats, rows: NDArray[np.int64], columns: NDArray[np.int64], size: int) -> Floats:
    """The matrix summed over the works of rows and columns [works, works]."""
    by_row = np.zeros((size, matrix.shape[1]))
    np.add.at(by_row, rows, matrix)
    both = np.zeros((size, size))
    np.add.at(both.T, columns, by_row.T)
    return both


def _off_diagonal(weights: Floats, matrix: Floats, rows: Floats, columns: Floats) -> Floats:
    """The weighted mean of the kernel over pairs of different works, of which there are `rows` and `columns` texts."""
    outside = matrix - np.diag(np.diag(matrix))
    total = np.einsum("mi,mi->m", weights @ outside, weights)
    first, second = weights * rows, weights * columns
    return np.asarray(total / (first.sum(1) * second.sum(1) - (first * second).sum(1)))
