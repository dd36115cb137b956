"""Ranking candidates: scores made comparable, choices that stay varied. Pure functions on numbers and texts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus.language import count_words
from storyteller.errors import GenerationError
from storyteller.tokens import Request
from storyteller.tokens.names import mentions

__all__ = [
    "Scorer",
    "asked_keywords",
    "asked_length",
    "asked_people",
    "calibrate",
    "diverse",
    "overlap",
    "resample",
]

_WORD_BEGINS = r"(?<![A-Za-z0-9])"

Scorer = Callable[[Sequence[str], Request], Sequence[float]]
"""Scores for texts that answer one request; higher is better, and NaN means that it cannot tell."""

#: Candidates that a member's own mean and spread must stand for before they outweigh those of all members.
_PRIOR = 4.0


def calibrate(scores: Sequence[float], members: Sequence[str]) -> list[float]:
    """The scores as standard scores (z) within each member, so that no member wins by the scale that a scorer gives it.

    A member's mean and spread are drawn towards those of all candidates as if four of these were its own (an empirical
    Bayes estimate): with one candidate a member the scores are all but those of the pool, with many its own. A NaN is
    scored 0, as the mean.
    """
    values = np.asarray(scores, dtype=np.float64)
    known = np.isfinite(values)
    if known.sum() < 2 or values[known].std() == 0:
        return [0.0] * len(values)
    pool_mean, pool_variance = values[known].mean(), values[known].var()
    result = np.zeros(len(values))
    for member in set(members):
        mine = known & np.array([name == member for name in members])
        own, count = values[mine], int(mine.sum())
        if not count:
            continue
        mean = (own.sum() + _PRIOR * pool_mean) / (count + _PRIOR)
        variance = (count * own.var() + _PRIOR * pool_variance) / (count + _PRIOR)
        result[mine] = (own - mean) / math.sqrt(variance)
    return [float(value) for value in result]


def resample(scores: Sequence[float], count: int, temperature: float, seed: int) -> list[int]:
    """`count` places drawn without replacement in proportion to exp(score / temperature); at 0 the best, in order.

    The draw adds Gumbel noise and takes the largest (Kool et al. 2019, arXiv 1903.06059). At a temperature above 0 the
    first of n candidates is not always the same one, which keeps the variety that best-of-n loses.
    """
    if temperature < 0:
        raise GenerationError(f"the temperature of the choice is {temperature:g}; it must be 0 or more.")
    keys = np.asarray(scores, dtype=np.float64)
    if temperature > 0:
        keys = keys / temperature + np.random.default_rng(seed).gumbel(size=len(keys))
    return [int(place) for place in np.argsort(-keys, kind="stable")[:count]]


def diverse(
    scores: Sequence[float], similarity: NDArray[np.float64], count: int, balance: float = 0.7, first: int | None = None
) -> list[int]:
    """`count` places that score well and differ: maximal marginal relevance (Carbonell and Goldstein 1998).

    Next comes whatever has the largest `balance * score - (1 - balance) * similarity` to the nearest one chosen; scores
    are scaled to 0..1, `similarity` `[n, n]` lies in 0..1. `first` is chosen before all others.
    """
    values = np.asarray(scores, dtype=np.float64)
    spread = np.ptp(values) if len(values) else 0.0
    values = (values - values.min()) / spread if spread else np.ones(len(values))
    chosen = [int(values.argmax()) if first is None else first] if len(values) and count > 0 else []
    while len(chosen) < min(count, len(values)):
        gain = balance * values - (1 - balance) * similarity[:, chosen].max(axis=1)
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
    return chosen


def overlap(texts: Sequence[str]) -> NDArray[np.float64]:
    """How much each two texts share, `[n, n]` in 0..1: Jaccard's index of their runs of five characters.

    Of characters, so that it is the same in Chinese; a passed-in similarity of embeddings tells meaning, this wording.
    """
    grams = [{text[i : i + 5] for i in range(max(1, len(text) - 4))} for text in (" ".join(t.split()) for t in texts)]
    return np.array([[_jaccard(a, b) for b in grams] for a in grams])


def asked_people(texts: Sequence[str], request: Request) -> list[float]:
    """The share of the people asked for whom each text mentions; NaN where nobody was asked for."""
    names = [person.name for person in request.characters]
    return [sum(bool(mentions(name, text)) for name in names) / len(names) if names else math.nan for text in texts]


def asked_keywords(texts: Sequence[str], request: Request) -> list[float]:
    """The share of the keywords asked for that each text holds; NaN where none was asked for."""
    # Whole words, or the beginnings of their forms (lamp, lamps): "ice" is not in "voice". In Chinese nothing parts them.
    asked = [
        re.compile(rf"{_WORD_BEGINS if word[:1].isascii() else ''}{re.escape(word)}", re.I) for word in request.keywords
    ]
    return [sum(bool(one.search(text)) for one in asked) / len(asked) if asked else math.nan for text in texts]


def asked_length(texts: Sequence[str], request: Request) -> list[float]:
    """Minus the distance to the length asked for, as the logarithm of the ratio; NaN where none was asked for.

    Lengths within 10 % are all as good, since a story ends at the end of a sentence.
    """
    if not request.words:
        return [math.nan] * len(texts)
    lengths = [max(1, count_words(text, request.language)) for text in texts]
    return [-max(0.0, abs(math.log(length / request.words)) - math.log(1.1)) for length in lengths]


def _jaccard(first: Collection[str], second: Collection[str]) -> float:
    one, other = set(first), set(second)
    return len(one & other) / len(one | other)
