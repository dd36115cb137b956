"""Where the scorer has something to say: texts that look, to the model, like those it was fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storyteller.evaluate.scorer.states import WindowStates

__all__ = ["Domain", "fit_domain"]

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Domain:
    """A Gaussian around the training windows in a few principal components of their states (Lee et al. 2018).

    `mean` and `scale` are [width], `components` [components, width], `spread` [components] and `limit` a distance. What
    lies outside of the components counts as one more of them (`rest` is its usual size).
    """

    mean: Floats
    scale: Floats
    components: Floats
    spread: Floats
    rest: float
    limit: float

    def distance(self, window: WindowStates) -> float:
        """The Mahalanobis distance of a window, divided so that 1 is usual."""
        return float(self._distances(_average(window)[None])[0])

    def _distances(self, averages: Floats) -> Floats:
        centred = (averages - self.mean) / self.scale
        inside = centred @ self.components.T
        outside = np.linalg.norm(centred - inside @ self.components, axis=1) / self.rest
        squares = ((inside / self.spread) ** 2).sum(1) + len(self.components) * outside**4
        distances: Floats = np.sqrt(squares / (2 * len(self.components))).astype(np.float32)
        return distances


def fit_domain(
    windows: list[WindowStates], held_out: list[WindowStates], components: int = 48, share: float = 0.995
) -> Domain:
    """Fit on the windows of the training stories, whole and faulty; `share` of the held-out ones lie inside."""
    averages = np.stack([_average(window) for window in windows])
    mean, scale = averages.mean(0), averages.std(0) + 1e-3
    centred = (averages - mean) / scale
    values, vectors = np.linalg.eigh(np.cov(centred, rowvar=False))
    chosen = np.argsort(values)[::-1][:components]
    basis = vectors[:, chosen].T.astype(np.float32)
    rest = float(np.mean(np.linalg.norm(centred - centred @ basis.T @ basis, axis=1)))
    domain = Domain(mean, scale, basis, np.sqrt(values[chosen]).astype(np.float32), rest, 0.0)
    far = domain._distances(np.stack([_average(window) for window in held_out]))
    return Domain(mean, scale, basis, domain.spread, rest, float(np.quantile(far, share)))


def _average(window: WindowStates) -> Floats:
    average: Floats = window.states.astype(np.float32).mean(0)
    return average
