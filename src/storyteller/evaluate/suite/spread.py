"""Intervals for figures about a whole set of texts, which a bootstrap would spoil: a text drawn twice is a repetition."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storyteller.evaluate.statistics import Bootstrap, Resampled

__all__ = ["drawn", "half_samples", "spread"]

#: Half samples that the spread of a figure is estimated from.
HALVES = 40


def half_samples(bootstrap: Bootstrap, clusters: Sequence[str]) -> list[NDArray[np.int64]]:
    """The texts of a random half of all works, many times over: the same halves for every system."""
    names = np.array(sorted(bootstrap.names))
    generator = np.random.default_rng(1)
    column = bootstrap.columns(clusters)
    halves = []
    for _ in range(HALVES):
        chosen = np.zeros(len(names), bool)
        chosen[generator.permutation(len(names))[: max(1, len(names) // 2)]] = True
        halves.append(np.flatnonzero(chosen[column]))
    return halves


def spread(
    bootstrap: Bootstrap, clusters: Sequence[str], value: float, measure: Callable[[NDArray[np.int64]], float]
) -> Resampled:
    """A figure with the spread that its value has over half samples, by the delete-half jackknife (Shao and Wu 1989).

    `measure` takes the indices of the texts of a half. Deleting d = n / 2 of n works, the variance of the figure is
    (n - d) / d = 1 times that of its half samples, taken relative to their mean, since half the texts have another
    level. The draws are normal with the halves' covariance, so that those of two systems stay paired.
    """
    found = [measure(half) for half in half_samples(bootstrap, clusters)]
    return drawn(bootstrap, clusters, value, found)


def drawn(bootstrap: Bootstrap, clusters: Sequence[str], value: float, halves: ArrayLike) -> Resampled:
    """The figure `value` whose half samples are `halves` [HALVES], as draws that can be paired with other systems'."""
    found = np.asarray(halves, np.float64)
    centred = value * (found / found.mean() - 1) if found.any() else np.zeros(len(found))
    weights = np.random.default_rng(2).normal(size=(bootstrap.resamples, len(centred))) / np.sqrt(len(centred))
    key = int.from_bytes(hashlib.sha256(f"halves {bootstrap.key}".encode()).digest()[:8], "big")
    return Resampled(value, value + weights @ centred, len(set(clusters)), key)
