"""The learned part: one direction in the model's states that points from faulty stories to whole ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storyteller.evaluate.scorer.states import WindowStates

__all__ = ["Head", "fit_head", "prefix_features"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Head:
    """A linear head on standardised features; `mean`, `scale` and `weights` are [2 * layers * width]."""

    mean: Floats
    scale: Floats
    weights: Floats

    def __call__(self, window: WindowStates) -> Floats:
        """The score of the window up to the end of each sentence [sentences]; the last one is that of the window."""
        standard = (prefix_features(window) - self.mean) / self.scale
        return np.asarray(standard @ self.weights, np.float32)


def prefix_features(window: WindowStates) -> Floats:
    """For each sentence its end's state beside the mean of all ends so far: [sentences, 2 * layers * width].

    On the development halves the last state did better for stories with foreign sentences, the mean for disorder.
    """
    states = window.states.astype(np.float32)
    counts = np.arange(1, len(states) + 1, dtype=np.float32)[:, None]
    return np.concatenate([states, np.cumsum(states, 0) / counts], 1)


def fit_head(
    features: Floats, faulty: Sequence[bool], groups: Sequence[int], strength: float, bags: int = 8, seed: int = 0
) -> Head:
    """Logistic regression of whole stories against faulty versions of them, both classes of the same weight.

    `features` [texts, width]; a story and its versions share one of `groups`. `strength` is the inverse of the L2
    penalty. The weights are averaged over `bags` bootstrap samples of groups: for a linear head, an ensemble of heads.
    """
    from sklearn.linear_model import LogisticRegression

    mean, scale = features.mean(0), features.std(0) + 1e-3
    inputs, whole = (features - mean) / scale, ~np.asarray(faulty, dtype=bool)
    balance = np.where(whole, 1.0, whole.sum() / (~whole).sum())
    names, owner = np.unique(np.asarray(groups), return_inverse=True)
    generator = np.random.default_rng(seed)
    weights = np.zeros(features.shape[1], dtype=np.float64)
    for _ in range(bags):
        drawn = np.bincount(generator.integers(len(names), size=len(names)), minlength=len(names))[owner]
        model = LogisticRegression(C=strength, max_iter=200).fit(inputs, whole, sample_weight=drawn * balance)
        weights += model.coef_[0] / bags
    return Head(mean, scale, weights.astype(np.float32))
