"""Mixing what several models say about the next token: pure functions on `[members, vocabulary]` log-probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FAR", "RARE", "Mixed", "arithmetic", "contrastive", "divergence", "geometric", "log_softmax", "shares"]

Matrix = NDArray[np.float32]
Vector = NDArray[np.float32]

#: Tokens less likely than this for every member count as one in `divergence`; they hold a thousandth of a bit.
RARE = 1e-3

#: How far below the rest an implausible token is put: never drawn unless all the others are forbidden.
FAR = 1e4


class Mixed(np.ndarray[tuple[int], np.dtype[np.float32]]):
    """Mixed log-probabilities `[vocabulary]` that remember what the members said, for whoever draws from them."""

    said: Mapping[int, Vector]
    weights: Sequence[float]
    level: float
    """What brings these to the scale of the members' logits: by how much those lie above their log-probabilities."""

    @classmethod
    def of(cls, values: Vector, said: Mapping[int, Vector], weights: Sequence[float], level: float = 0.0) -> Mixed:
        """`values` with the log-probabilities of the members that were asked, and the weights of all members."""
        mixed = values.view(cls)
        mixed.said, mixed.weights, mixed.level = said, weights, level
        return mixed

    def __array_finalize__(self, source: Any) -> None:
        self.said, self.weights, self.level = {}, (), 0.0

    def shares(self, index: int) -> tuple[float, ...]:
        """Who wanted the id `index`: see `shares`; 0 for a member that was not asked."""
        chances = [float(np.exp(self.said[m][index])) if m in self.said else 0.0 for m in range(len(self.weights))]
        return shares(chances, self.weights)


def log_softmax(logits: Matrix) -> Matrix:
    """The log-probabilities of each row of logits `[members, vocabulary]`."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    result: Matrix = shifted
    return result


def arithmetic(logs: Matrix, weights: Sequence[float]) -> Vector:
    """log of the weighted mean of the probabilities: a mixture of experts, which keeps what any member wants."""
    with np.errstate(divide="ignore"):
        mixed: Vector = np.log(np.asarray(weights, dtype=np.float32) @ np.exp(logs))
    return mixed


def geometric(logs: Matrix, weights: Sequence[float]) -> Vector:
    """The weighted mean of the log-probabilities, normalised: a product of experts, which keeps what all can live with."""
    mixed: Vector = log_softmax((np.asarray(weights, dtype=np.float32) @ np.maximum(logs, -FAR))[None])[0]
    return mixed


def contrastive(logs: Matrix, weights: Sequence[float], plausibility: float) -> Vector:
    """`geometric` with weights that may be negative, among the tokens that the first member finds plausible.

    A token is so when it has at least `plausibility` of the chance of that member's likeliest one (Li et al. 2023,
    arXiv 2210.15097; with weights (1 + b, -b) it is the form of O'Brien and Lewis 2023, arXiv 2309.09117).
    """
    expert = logs[0]
    plausible = expert >= expert.max() + np.log(np.float32(plausibility))
    mixed = np.asarray(weights, dtype=np.float32) @ np.maximum(logs, -FAR)
    # The rest keeps the expert's order, so that there is something to draw when every plausible token is forbidden.
    kept: Vector = log_softmax(np.where(plausible, mixed, np.maximum(expert, -FAR) - 100 * FAR)[None])[0]
    return kept


def divergence(logs: Matrix, weights: Sequence[float]) -> float:
    """The weighted Jensen-Shannon divergence of the members in bits, estimated on the tokens that matter.

    All tokens that every member finds rare are taken as one, so the estimate is never above the true value and costs a
    comparison of the vocabulary and a sum over a few dozen tokens. 0 where members agree, at most the entropy of the
    weights. Negative weights count by their size.
    """
    shares = np.abs(np.asarray(weights, dtype=np.float64))
    shares /= shares.sum()
    seen = logs[:, (logs > np.log(RARE)).any(axis=0)]
    chances = np.exp(seen.astype(np.float64))
    rest = np.maximum(1 - chances.sum(axis=1, keepdims=True), 0)
    chances = np.concatenate([chances, rest], axis=1)
    return max(0.0, _entropy(shares @ chances) - float(shares @ [_entropy(row) for row in chances]))


def shares(chances: Sequence[float], weights: Sequence[float]) -> tuple[float, ...]:
    """Who wanted a token: each member's part of the weighted sum of the members' probabilities for it; they sum to 1.

    A member that works against the others (a negative weight) wanted nothing; all are 0 where nobody wanted it.
    """
    parts = np.asarray(chances, dtype=np.float64) * np.maximum(np.asarray(weights, dtype=np.float64), 0)
    total = parts.sum()
    if total > 0:
        return tuple(float(part) for part in parts / total)
    return tuple(0.0 for _ in parts)


def _entropy(chances: NDArray[np.float64]) -> float:
    positive = chances[chances > 0]
    return float(-(positive * np.log2(positive)).sum())
