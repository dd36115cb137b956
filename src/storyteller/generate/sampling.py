"""Sampling in numpy, the same for every engine: repetition control, temperature, and the tail cut off."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from storyteller.errors import GenerationError
from storyteller.generate.mixing import Mixed

if TYPE_CHECKING:
    from storyteller.tokens import StoryTokenizer

__all__ = ["Draw", "Sampler", "SamplingSettings", "blank_ids", "breaker_ids", "dry_penalties", "name_ids"]

#: A repeat that runs over one of these starts afresh: lines of a scene and speeches begin alike with good reason.
BREAKERS = '\n:"*“”「」：。！？'


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How the next id is drawn; the defaults are those of stories.

    `min_p` drops what is less likely than that share of the likeliest (Nguyen et al. 2024, arXiv 2407.01082). The
    `dry` values lower an id that would extend a repeat of `dry_allowed` ids or more by
    `dry_multiplier * dry_base ** (length - dry_allowed)`, within the last `dry_range` ids (p-e-w, "DRY"). `None`
    switches `top_k` and `top_p` off, a multiplier of 0 DRY, a `repetition_penalty` of 1 that one (it divides the
    logits of the last `dry_range` ids, of a mixture on the scale of its members' logits).
    """

    temperature: float = 0.8
    min_p: float = 0.05
    top_k: int | None = None
    top_p: float | None = None
    dry_multiplier: float = 0.8
    dry_base: float = 1.75
    dry_allowed: int = 2
    dry_range: int = 2048
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        rules = (
            ("temperature", self.temperature >= 0, "0 or more"),
            ("min_p", 0 <= self.min_p <= 1, "from 0 to 1"),
            ("top_k", self.top_k is None or self.top_k >= 1, "1 or more"),
            ("top_p", self.top_p is None or 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("repetition_penalty", self.repetition_penalty > 0, "above 0"),
            ("dry_multiplier", self.dry_multiplier >= 0, "0 or more"),
        )
        for name, holds, wanted in rules:
            if not holds:
                raise GenerationError(f"{name} is {getattr(self, name)}; it must be {wanted}.")


@dataclass(frozen=True, slots=True)
class Draw:
    """One drawn id; `logprob` and the alternatives' probabilities are the model's own, before any setting."""

    id: int
    logprob: float
    alternatives: tuple[tuple[int, float], ...] = ()


@dataclass
class Sampler:
    """Draws ids by its settings; the same seed, logits and history give the same ids.

    `breakers` are ids at which a repeat ends (see `breaker_ids`), `banned` ids that are never drawn.
    """

    settings: SamplingSettings
    seed: int
    breakers: Collection[int] = ()
    banned: Collection[int] = ()
    alternatives: int = 0
    _random: np.random.Generator = field(init=False, repr=False)
    _banned: NDArray[np.int64] = field(init=False, repr=False)
    _breakers: frozenset[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = np.random.Generator(np.random.PCG64(self.seed))
        self._banned = np.array(sorted(self.banned), dtype=np.int64)
        self._breakers = frozenset(self.breakers)

    def draw(self, logits: NDArray[np.float32], history: Sequence[int], suppressed: Collection[int] = ()) -> Draw:
        """Draw the id after `history` from `logits` `[vocabulary]`, which are left as they are."""
        ids, probabilities = self.distribution(logits, history, suppressed)
        # One uniform number a draw, whatever the settings leave over: the stream of numbers depends on the seed alone.
        place = np.searchsorted(np.cumsum(probabilities), self._random.random(), side="right")
        chosen = int(ids[min(int(place), len(ids) - 1)])
        log_total = _log_sum(logits)
        return Draw(chosen, float(logits[chosen]) - log_total, _likeliest(logits, log_total, self.alternatives))

    def distribution(
        self, logits: NDArray[np.float32], history: Sequence[int], suppressed: Collection[int] = ()
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The ids that may be drawn, likeliest first, and their probabilities, which sum to one."""
        settings = self.settings
        scores = self._penalised(logits, history, suppressed)
        best = float(scores.max())
        if not math.isfinite(best):
            raise GenerationError("the model gives no finite logits. Its weights are damaged: fetch or train it again.")
        if settings.temperature < 1e-3:
            return np.array([int(scores.argmax())]), np.ones(1)
        # Everything below the threshold is dropped before the exponential: a few dozen of 49,152 are left.
        least = math.log(settings.min_p) * settings.temperature if settings.min_p > 0 else -math.inf
        ids = np.flatnonzero(scores >= best + max(least, -60.0 * settings.temperature))
        ids = ids[np.argsort(-scores[ids], kind="stable")][: settings.top_k]
        weights = np.exp((scores[ids].astype(np.float64) - best) / settings.temperature)
        if settings.top_p is not None and settings.top_p < 1:
            shares = np.cumsum(weights) / weights.sum()
            kept = int(np.searchsorted(shares, settings.top_p)) + 1
            ids, weights = ids[:kept], weights[:kept]
        return ids, weights / weights.sum()

    def _penalised(
        self, logits: NDArray[np.float32], history: Sequence[int], suppressed: Collection[int]
    ) -> NDArray[np.float32]:
        settings = self.settings
        scores = logits.copy()
        recent = np.array(history[-settings.dry_range :], dtype=np.int64)
        if settings.repetition_penalty != 1 and recent.size:
            seen, penalty = np.unique(recent), settings.repetition_penalty
            # The sign decides, and log-probabilities have but one: a mixture's are brought to the scale of logits.
            level = logits.level if isinstance(logits, Mixed) else 0.0
            raw = scores[seen] + level
            scores[seen] = np.where(raw > 0, raw / penalty, raw * penalty) - level
        if settings.dry_multiplier > 0:
            ids, lengths = dry_penalties(recent, self._breakers, settings.dry_allowed)
            penalties = settings.dry_multiplier * settings.dry_base ** (lengths - settings.dry_allowed)
            scores[ids] -= penalties.astype(np.float32)
        scores[self._banned] = -np.inf
        if suppressed:
            scores[list(suppressed)] = -np.inf
        return scores


def dry_penalties(
    history: NDArray[np.int64], breakers: frozenset[int], allowed: int, longest: int = 32
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The ids that would extend a repeat of the end of `history`, and the length of the longest such repeat of each.

    All earlier occurrences of the last id are followed backwards together, so a step costs one comparison of the
    history and a few of what is left. Repeats beyond `longest` count as that long: enough to rule any id out.
    """
    none = np.array([], dtype=np.int64), np.array([], dtype=np.float64)
    if len(history) <= allowed:
        return none
    places = np.flatnonzero(history[:-1] == history[-1])
    lengths = np.zeros(len(places), dtype=np.int64)
    alive = np.arange(len(places))
    for back in range(min(longest, len(history))):
        mark = int(history[-1 - back])
        if mark in breakers:
            break
        alive = alive[places[alive] >= back]
        alive = alive[history[places[alive] - back] == mark]
        if not alive.size:
            break
        lengths[alive] = back + 1
    repeats = lengths >= allowed
    if not repeats.any():
        return none
    ids, group = np.unique(history[places[repeats] + 1], return_inverse=True)
    longest_of = np.zeros(len(ids))
    np.maximum.at(longest_of, group, lengths[repeats])
    return ids, longest_of


def breaker_ids(tokenizer: StoryTokenizer) -> frozenset[int]:
    """The ids whose text holds a breaker, by the bytes of the whole vocabulary."""
    holds = re.compile(b"|".join(re.escape(mark.encode()) for mark in BREAKERS)).search
    return frozenset(index for index in range(tokenizer.vocabulary_size) if holds(tokenizer.token_bytes(index)))


@functools.lru_cache(maxsize=8)
def blank_ids(tokenizer: StoryTokenizer) -> frozenset[int]:
    """The ids whose text is nothing but white space."""
    return frozenset(
        index
        for index in range(tokenizer.vocabulary_size)
        if (text := tokenizer.token_bytes(index)) and not text.strip()
    )


def name_ids(tokenizer: StoryTokenizer, names: Iterable[str]) -> frozenset[int]:
    """The ids that spell `names`, at the start of a word or in it; a hero must be named again and again."""
    return frozenset(index for name in names for text in (name, f" {name}") for index in tokenizer.encode(text))


def _log_sum(logits: NDArray[np.float32]) -> float:
    best = float(logits.max())
    return best + math.log(float(np.exp(logits - best).sum()))


def _likeliest(logits: NDArray[np.float32], log_total: float, count: int) -> tuple[tuple[int, float], ...]:
    if not count:
        return ()
    ids = np.argpartition(logits, -count)[-count:]
    ids = ids[np.argsort(-logits[ids], kind="stable")]
    return tuple((int(index), math.exp(float(logits[index]) - log_total)) for index in ids)
