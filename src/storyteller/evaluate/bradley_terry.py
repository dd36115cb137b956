"""Who is preferred, and how sure that is: Bradley-Terry with ties, win rates, and the pairs that an effect takes.

The model is Davidson's: with strengths s, `P(a over b) = s_a / (s_a + s_b + v sqrt(s_a s_b))`, and a tie has the weight
`v sqrt(s_a s_b)`. Unlike Rao and Kupper's threshold it is an exponential family in which a tie counts as half a win for
each, so its order is that of the plain win rates when everybody meets everybody equally often, and the fit is convex.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import ceil
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from storyteller.errors import DataError
from storyteller.evaluate.bootstrap import Interval, cluster_weights

__all__ = ["Comparison", "Strengths", "detectable", "fewest", "fit", "meetings", "sample_size", "win_rate"]

Array = NDArray[np.float64]

#: A normal prior of standard deviation 10 on log strengths: nothing where there is evidence, finite where one always won.
_RIDGE = 0.01
_NO_TIES = -40.0
_MIN_RATERS = 3


@dataclass(frozen=True, slots=True)
class Comparison:
    """One verdict between two systems; `cluster` is what is drawn as one in the bootstrap (the prompt or its work)."""

    first: str
    second: str
    result: Literal["first", "second", "tie"]
    cluster: str
    rater: str = ""


@dataclass(frozen=True)
class Strengths:
    """A Bradley-Terry fit.

    `strengths` are natural logarithms with mean 0, strongest first; `probabilities[a, b]` is the chance that `a` is
    preferred to `b`, a tie counted as half, for every ordered pair; `ties` is Davidson's v (0: no ties; 2: two equals tie
    every second time); `raters_drawn` says whether the intervals are over raters as well as prompts.
    """

    strengths: dict[str, Interval]
    probabilities: dict[tuple[str, str], Interval]
    ties: float
    raters_drawn: bool


def fit(comparisons: Iterable[Comparison], resamples: int = 2000, seed: int = 1) -> Strengths:
    """Davidson's (1970) extension of Bradley and Terry (1952) by penalised maximum likelihood, for two systems or more.

    Intervals are 95 % percentiles of a bootstrap over clusters; with three raters or more these are drawn too (Owen's
    pigeonhole bootstrap, 2007), fewer are no sample of anybody. Raises `DataError` without comparisons, for a system
    compared with itself, and where two groups of systems never met.
    """
    verdicts = list(comparisons)
    systems = _connected(verdicts)
    counts, clusters, drawn = _resampled_counts(verdicts, systems, resamples, seed)
    parameters = _maximise(counts, len(systems))
    order = sorted(range(len(systems)), key=lambda k: -parameters[0, k])
    win = _win_probabilities(parameters)
    return Strengths(
        {systems[k]: _interval(parameters[:, k], clusters) for k in order},
        {(systems[i], systems[j]): _interval(win[:, i, j], clusters) for i in order for j in order if i != j},
        float(np.exp(parameters[0, -1])) if parameters[0, -1] > _NO_TIES else 0.0,
        drawn,
    )


def win_rate(comparisons: Iterable[Comparison], first: str, second: str, resamples: int = 2000) -> Interval:
    """How often `first` beat `second`, a tie counted as half, with the bootstrap of `fit` over the verdicts of these two.

    Raises `DataError` where the two never met.
    """
    met = [verdict for verdict in comparisons if {verdict.first, verdict.second} == {first, second}]
    if not met:
        raise DataError(f"{first} and {second} were never compared with one another.")
    pair = sorted((first, second))
    counts, clusters, _ = _resampled_counts(met, pair, resamples, seed=1)
    points = counts[:, 0, pair.index(first)] + counts[:, 0, 2] / 2
    # A resample may draw only raters that judged none of the works drawn; it says nothing.
    told = counts[:, 0].sum(axis=1)
    return _interval(points[told > 0] / told[told > 0], clusters)


def meetings(comparisons: Sequence[Comparison], found: Strengths, resamples: int = 2000) -> list[dict[str, Any]]:
    """Each two systems of a fit, the stronger one first, as JSON: wins, ties, losses, win rate, and the model's own.

    Systems that met only through others have no win rate (null).
    """
    rows = []
    for first, second in combinations(found.strengths, 2):
        met = [verdict for verdict in comparisons if {verdict.first, verdict.second} == {first, second}]
        won = [{"first": verdict.first, "second": verdict.second}.get(verdict.result) for verdict in met]
        counts = {"wins": won.count(first), "ties": won.count(None), "losses": won.count(second)}
        rate = asdict(win_rate(met, first, second, resamples)) if met else None
        model = asdict(found.probabilities[first, second])
        rows.append({"first": first, "second": second, **counts, "win_rate": rate, "model": model})
    return rows


def sample_size(effect: float, power: float = 0.8, alpha: float = 0.05, ties: float = 0.0) -> int:
    """The pairs needed to see that one system is preferred in the share `effect` of the pairs that are no tie.

    The two-sided normal approximation with the variance of a fair coin: 785 pairs for 55 %, 401 for 57 %, 197 for 60 %
    at power 0.8. `ties` is the share of pairs expected to say nothing. Raises `DataError` outside 0.5 < effect <= 1.
    """
    if not 0.5 < effect <= 1:
        raise DataError(f"an effect of {effect} cannot be planned for: name a share of wins above 0.5, such as 0.6.")
    return ceil((_reach(power, alpha) / (2 * (effect - 0.5))) ** 2 / _decided(ties))


def fewest(pairs: Iterable[tuple[str, str]]) -> int:
    """How often those two systems met that met least; what can be seen of every two is what these meetings can show."""
    return min(Counter(frozenset(pair) for pair in pairs).values(), default=0)


def detectable(pairs: int, power: float = 0.8, alpha: float = 0.05, ties: float = 0.0) -> float | None:
    """The smallest share of wins that so many pairs can see, the reverse of `sample_size`; None: not even 100 %."""
    if pairs < 1:
        return None
    effect = 0.5 + _reach(power, alpha) / (2 * (pairs * _decided(ties)) ** 0.5)
    return effect if effect <= 1 else None


def _reach(power: float, alpha: float) -> float:
    """How many standard errors away from chance the truth has to be."""
    if not (0 < power < 1 and 0 < alpha < 1):
        raise DataError(f"power {power} and alpha {alpha} are shares between 0 and 1.")
    return NormalDist().inv_cdf(1 - alpha / 2) + NormalDist().inv_cdf(power)


def _decided(ties: float) -> float:
    if not 0 <= ties < 1:
        raise DataError(f"the share of ties is {ties}; it lies between 0 and 1, and 1 leaves no pair to count.")
    return 1 - ties


def _connected(verdicts: Sequence[Comparison]) -> list[str]:
    """The systems by name, once it is sure that their strengths can be compared."""
    if not verdicts:
        raise DataError("there are no comparisons to fit; judge some pairs first.")
    group = {name: {name} for verdict in verdicts for name in (verdict.first, verdict.second)}
    for verdict in verdicts:
        if verdict.first == verdict.second:
            raise DataError(f"{verdict.first} is compared with itself; a comparison needs two systems.")
        if group[verdict.first] is not group[verdict.second]:
            merged = group[verdict.first] | group[verdict.second]
            group.update(dict.fromkeys(merged, merged))
    systems = sorted(group)
    apart = [name for name in systems if name not in group[systems[0]]]
    if apart:
        raise DataError(f"{', '.join(apart)} never met {systems[0]}, directly or through others: compare them first.")
    return systems


def _resampled_counts(
    verdicts: Sequence[Comparison], systems: Sequence[str], resamples: int, seed: int
) -> tuple[Array, int, bool]:
    """Wins of the first, of the second, and ties for each pair of systems: [1 + resamples, pairs, 3]; row 0 is the data."""
    column = {pair: index for index, pair in enumerate(combinations(systems, 2))}
    names, cluster = np.unique([verdict.cluster for verdict in verdicts], return_inverse=True)
    people, rater = np.unique([verdict.rater for verdict in verdicts], return_inverse=True)
    table = np.zeros((len(people), len(names), 3 * len(column)))
    for verdict, person, work in zip(verdicts, rater, cluster, strict=True):
        first, second = sorted((verdict.first, verdict.second))
        winner = {"first": verdict.first, "second": verdict.second}.get(verdict.result)
        outcome = 2 if winner is None else int(winner == second)
        table[person, work, 3 * column[first, second] + outcome] += 1
    drawn = len(people) >= _MIN_RATERS
    rows = [table.sum(axis=(0, 1))[None]]
    if len(names) > 1:
        works = cluster_weights(len(names), resamples, seed)
        rater_seed = seed + 1  # not the draws of the clusters once more
        raters = cluster_weights(len(people), resamples, rater_seed) if drawn else np.ones((resamples, len(people)))
        rows.append(np.einsum("br,bc,rcx->bx", raters, works, table, optimize=True))
    return np.concatenate(rows).reshape(-1, len(column), 3), len(names), drawn


def _maximise(counts: Array, systems: int, steps: int = 100) -> Array:
    """Newton's method on every resample at once: log strengths, then log v, as [resamples, systems + 1]."""
    design = np.zeros((counts.shape[1], 3, systems + 1))
    for index, (i, j) in enumerate(combinations(range(systems), 2)):
        design[index, 0, i] = design[index, 1, j] = design[index, 2, -1] = 1
        design[index, 2, [i, j]] = 0.5
    totals = counts.sum(axis=2)
    tieless = counts[:, :, 2].sum(axis=1) == 0
    parameters = np.zeros((len(counts), systems + 1))
    parameters[tieless, -1] = _NO_TIES
    ridge = _RIDGE * np.eye(systems + 1)
    for _ in range(steps):
        chance = _softmax(np.einsum("pok,bk->bpo", design, parameters))
        gradient = np.einsum("pok,bpo->bk", design, counts - totals[:, :, None] * chance) - _RIDGE * parameters
        mean = np.einsum("pok,bpo->bpk", design, chance)
        curvature = np.einsum("bp,bpo,pok,pol->bkl", totals, chance, design, design, optimize=True) + ridge
        curvature -= np.einsum("bp,bpk,bpl->bkl", totals, mean, mean, optimize=True)
        gradient[tieless, -1] = 0
        move = np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0]
        parameters += np.clip(move, -1, 1)  # a full step may overshoot where one system always won
        if np.abs(move).max() < 1e-9:
            break
    return parameters


def _softmax(logits: Array) -> Array:
    weights: Array = np.exp(logits - logits.max(axis=2, keepdims=True))
    chance: Array = weights / weights.sum(axis=2, keepdims=True)
    return chance


def _win_probabilities(parameters: Array) -> Array:
    """[resamples, systems, systems]: the chance that the row wins, with half of the chance of a tie."""
    strengths = parameters[:, :-1]
    ahead = np.exp((strengths[:, :, None] - strengths[:, None, :]) / 2)
    tie = np.exp(parameters[:, -1])[:, None, None]
    chance: Array = (ahead + tie / 2) / (ahead + 1 / ahead + tie)
    return chance


def _interval(values: Array, clusters: int) -> Interval:
    """The first value, with percentiles of the rest."""
    if len(values) == 1:
        return Interval(float(values[0]), None, None, clusters)
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return Interval(float(values[0]), float(low), float(high), clusters)
