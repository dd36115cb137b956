"""Statistics that compare systems: paired bootstrap over works, rank correlations, Holm's correction, power.

Every statistic here is a `Resampled`: its value and what it becomes in each resample. Two statistics that rest on the
same `Bootstrap` saw the same works drawn, so their difference is paired: `(auc_of_a - auc_of_b).interval()`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from storyteller.errors import DataError
from storyteller.evaluate.bootstrap import Interval, cluster_weights

__all__ = [
    "Bootstrap",
    "Resampled",
    "auc",
    "average",
    "d_prime",
    "detectable_difference",
    "holm",
    "kendall",
    "mean",
    "ratio",
    "spearman",
]

Floats = NDArray[np.float64]

_BLOCK = 256
"""Resamples (or rows of a pair matrix) worked on at once: 256 x 4,000 texts are 8 MB, which stays near the processor."""


@dataclass(frozen=True, slots=True)
class Resampled:
    """A statistic: its `value` on the data, its `draws` [resamples] under the bootstrap, `n` clusters behind it.

    `key` says which draw of which clusters it rests on; only statistics with the same key can be subtracted.
    """

    value: float
    draws: Floats
    n: int
    key: int

    def __sub__(self, other: Resampled) -> Resampled:
        """The paired difference; raises `DataError` when the two do not rest on the same bootstrap."""
        return self._with(other, np.subtract)

    def __add__(self, other: Resampled) -> Resampled:
        """The paired sum; raises `DataError` when the two do not rest on the same bootstrap."""
        return self._with(other, np.add)

    def apply(self, function: Callable[[Any], Any]) -> Resampled:
        """A function such as `np.log` of the statistic, resample by resample."""
        return replace(self, value=float(function(self.value)), draws=function(self.draws))

    def interval(self, level: float = 0.95) -> Interval:
        """The value with its percentile interval (Efron and Tibshirani 1993); a single cluster has none."""
        if self.n < 2:
            return Interval(self.value, None, None, self.n)
        tail = 50 * (1 - level)
        low, high = np.percentile(self.draws, [tail, 100 - tail])
        return Interval(self.value, float(low), float(high), self.n)

    def p_value(self, null: float = 0.0) -> float:
        """The two-sided bootstrap p value of the statistic being `null`, at least 2 / (resamples + 1).

        1 for one cluster and for a statistic that is not defined: neither shows anything.
        """
        if self.n < 2 or math.isnan(self.value):
            return 1.0
        beyond = min(np.sum(self.draws <= null), np.sum(self.draws >= null))
        return float(min(1.0, 2 * (beyond + 1) / (len(self.draws) + 1)))

    def _with(self, other: Resampled, operation: Callable[[Any, Any], Any]) -> Resampled:
        if self.key != other.key:
            raise DataError(
                "two statistics are paired only when both come from the same Bootstrap over the same works."
            )
        return replace(self, value=float(operation(self.value, other.value)), draws=operation(self.draws, other.draws))


class Bootstrap:
    """Draws clusters (works or prompts) with replacement: one draw for everything that is compared."""

    def __init__(self, clusters: Iterable[str], resamples: int = 2000, seed: int = 1) -> None:
        """`clusters` are the names of all the clusters, in any order and as often as one likes."""
        self.names = sorted(set(clusters))
        if not self.names:
            raise DataError("there is nothing to resample: no text has a prompt or a work.")
        self._column = {name: number for number, name in enumerate(self.names)}
        self._draws = cluster_weights(len(self.names), resamples, seed)
        self.resamples = resamples
        self.key = hash((tuple(self.names), resamples, seed))

    def columns(self, labels: Sequence[str]) -> NDArray[np.int64]:
        """The number of each label's cluster."""
        try:
            return np.array([self._column[label] for label in labels], np.int64)
        except KeyError as error:
            raise DataError(f"{error.args[0]!r} is none of the clusters that are resampled.") from None

    def statistic(self, function: Callable[[Floats], Floats], labels: Sequence[str]) -> Resampled:
        """Any statistic of weighted items: `function` takes weights [m, items] and returns [m] values.

        `labels` names the cluster of each item. A resample where the statistic is not defined (0 / 0, when no item was
        drawn) is left out.
        """
        columns = self.columns(labels)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = float(function(np.ones((1, len(columns))))[0])
            draws = np.concatenate([function(block[:, columns]) for block in self._blocks()])
        # Undefined resamples become the value itself, so that pairing stays; they are rarer than 1 in 1,000 from 10 texts.
        draws = np.where(np.isfinite(draws), draws, value)
        return Resampled(value, draws, len(np.unique(columns)), self.key)

    def _blocks(self) -> Iterator[Floats]:
        for start in range(0, self.resamples, _BLOCK):
            yield self._draws[start : start + _BLOCK]


def mean(bootstrap: Bootstrap, values: ArrayLike, labels: Sequence[str]) -> Resampled:
    """The mean of one value an item."""
    return ratio(bootstrap, values, np.ones(len(labels)), labels)


def ratio(bootstrap: Bootstrap, above: ArrayLike, below: ArrayLike, labels: Sequence[str]) -> Resampled:
    """The ratio of two sums, such as nats and tokens."""
    top, bottom = np.asarray(above, np.float64), np.asarray(below, np.float64)
    _check_lengths(labels, top, bottom)
    return bootstrap.statistic(lambda weights: (weights @ top) / (weights @ bottom), labels)


def auc(
    bootstrap: Bootstrap, human: ArrayLike, system: ArrayLike, human_labels: Sequence[str], system_labels: Sequence[str]
) -> Resampled:
    """The chance that a human text gets the higher score of the two, ties counting half: the area under the ROC curve.

    It is the Mann-Whitney statistic with each text weighted by how often its cluster was drawn, so the texts of both
    classes and of all systems on one prompt are drawn together.
    """
    first, second = np.asarray(human, np.float64), np.asarray(system, np.float64)
    _check_lengths(human_labels, first)
    _check_lengths(system_labels, second)
    below = _MassBelow(np.concatenate([first, second]))
    split = len(first)

    def area(weights: Floats) -> Floats:
        ours, theirs = weights.copy(), weights.copy()
        ours[:, split:] = 0
        theirs[:, :split] = 0
        return np.asarray((ours * below(theirs)).sum(1) / (ours.sum(1) * theirs.sum(1)))

    return bootstrap.statistic(area, [*human_labels, *system_labels])


def average(statistics: Sequence[Resampled], redraw: bool = False, seed: int = 1) -> Resampled:
    """The mean of one statistic over training or sampling seeds, paired resample by resample.

    With `redraw` the seeds are drawn with replacement too, which makes the interval speak of other seeds as well as of
    other works; three seeds say little about that. The same `seed` pairs two averages.
    """
    first, *rest = statistics
    for other in rest:
        first - other  # the same bootstrap, or an error
    draws = np.array([one.draws for one in statistics])
    weights = np.full((draws.shape[1], len(draws)), 1 / len(draws))
    if redraw:
        weights = cluster_weights(len(draws), draws.shape[1], seed) / len(draws)
    value = float(np.mean([one.value for one in statistics]))
    return replace(first, value=value, draws=np.einsum("sr,rs->r", draws, weights), n=min(one.n for one in statistics))


def kendall(
    bootstrap: Bootstrap,
    first: ArrayLike,
    second: ArrayLike,
    labels: Sequence[str],
    given: ArrayLike | None = None,
) -> Resampled:
    """Kendall's tau-b of two values an item; with `given` (such as length) the partial tau (Kendall 1942).

    An item drawn twice is not compared with itself. Memory and time grow with the square of the items: 4,000 take seconds.
    """
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    _check_lengths(labels, x, y)
    if given is None:
        return bootstrap.statistic(lambda weights: _tau(weights, x, y), labels)
    z = np.asarray(given, np.float64)
    _check_lengths(labels, z)

    def partial(weights: Floats) -> Floats:
        xy, xz, yz = _tau(weights, x, y), _tau(weights, x, z), _tau(weights, y, z)
        return np.asarray((xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2)))

    return bootstrap.statistic(partial, labels)


def spearman(bootstrap: Bootstrap, first: ArrayLike, second: ArrayLike, labels: Sequence[str]) -> Resampled:
    """Spearman's correlation of two values an item, ranks taken anew in each resample."""
    x, y = np.asarray(first, np.float64), np.asarray(second, np.float64)
    _check_lengths(labels, x, y)
    below_x, below_y = _MassBelow(x), _MassBelow(y)

    def correlation(weights: Floats) -> Floats:
        total = weights.sum(1, keepdims=True)
        ranks = [below(weights) for below in (below_x, below_y)]
        a, b = (rank - (weights * rank).sum(1, keepdims=True) / total for rank in ranks)
        return np.asarray((weights * a * b).sum(1) / np.sqrt((weights * a * a).sum(1) * (weights * b * b).sum(1)))

    return bootstrap.statistic(correlation, labels)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """The p values of a family of comparisons, adjusted so that one false alarm in the family has the stated chance.

    Step-down (Holm 1979): the smallest times their number, the next times one less, never falling.
    """
    adjusted: dict[str, float] = {}
    highest = 0.0
    for place, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


def d_prime(area: Resampled) -> Resampled:
    """The distance in standard deviations between two normal score distributions with this AUC: sqrt(2) probit(AUC).

    It does not flatten near 1 as the AUC does. An AUC of 0 or 1 is taken half a pair of clusters away from there.
    """
    from scipy.special import ndtri

    edge = 0.5 / max(area.n, 1) ** 2
    return area.apply(lambda value: math.sqrt(2) * ndtri(np.clip(value, edge, 1 - edge)))


def detectable_difference(difference: Resampled, power: float = 0.8, level: float = 0.05, family: int = 1) -> float:
    """The smallest true difference that a comparison with this spread finds with the given power.

    `family` comparisons share the `level` (Bonferroni, a bound for Holm's first step).
    """
    from scipy.special import ndtri

    return float((ndtri(1 - level / (2 * family)) + ndtri(power)) * difference.draws.std())


class _MassBelow:
    """For every item the weight of the items with a lower value, and half the weight of those with the same one."""

    def __init__(self, values: Floats) -> None:
        if not np.all(np.isfinite(values)):
            raise DataError("a score is not a finite number; leave out the texts that have none.")
        self._order = np.argsort(values, kind="stable")
        ordered = values[self._order]
        self._first = np.searchsorted(ordered, ordered, "left")
        self._last = np.searchsorted(ordered, ordered, "right")

    def __call__(self, weights: Floats) -> Floats:
        sums = np.zeros((len(weights), weights.shape[1] + 1))
        np.cumsum(weights[:, self._order], axis=1, out=sums[:, 1:])
        masses = np.empty_like(weights)
        masses[:, self._order] = 0.5 * (sums[:, self._first] + sums[:, self._last])
        return masses


def _tau(weights: Floats, x: Floats, y: Floats) -> Floats:
    """Tau-b for each row of `weights` [m, items], by blocks of rows of the pair matrix."""
    agree, differ_x, differ_y = (np.zeros(len(weights)) for _ in range(3))
    narrow = weights.astype(np.float32)
    for start in range(0, len(x), _BLOCK):
        rows = slice(start, start + _BLOCK)
        signs_x = np.sign(x[rows, None] - x).astype(np.float32)
        signs_y = np.sign(y[rows, None] - y).astype(np.float32)
        for total, matrix in ((agree, signs_x * signs_y), (differ_x, abs(signs_x)), (differ_y, abs(signs_y))):
            total += np.einsum("mr,mr->m", narrow[:, rows], narrow @ matrix.T, dtype=np.float64)
    return np.asarray(agree / np.sqrt(differ_x * differ_y))


def _check_lengths(labels: Sequence[str], *values: Floats) -> None:
    if any(value.shape != (len(labels),) for value in values):
        raise DataError(
            f"{len(labels)} labels for values of shape {', '.join(str(v.shape) for v in values)}: one value an item."
        )
