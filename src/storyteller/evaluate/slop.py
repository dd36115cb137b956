"""Slop: phrases that a system uses far more often than people do, learned from the two and not from a list.

A phrase is one to three words, in English of a text, in Chinese those of rjieba. It counts once a text, so one story full
of a name makes no phrase.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus.language import HAN, words_of
from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.evaluate.ngrams import group_numbers, ngrams, within_budget

__all__ = ["Phrase", "Slop", "overused", "phrase_words", "slop"]

_LONGEST = 3  # words
_LEAST_TEXTS = 40  # of each side, to learn from
_LEAST_SHARE, _LEAST_COUNT = 0.01, 5  # of all texts that a phrase must be in; whose they are is left open
_RATIO = 2.0  # times as often as people, at least
_PRIOR = 10.0  # texts' worth of prior: a phrase that people never use once is not infinitely typical
_DISCOVERIES = 0.05  # the share of phrases that may be there by chance
_HAN_WORD = re.compile(f"[{HAN}]+")


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase that a system over-uses: the share of its texts and of people's that have it.

    `z` is the log-odds ratio with an informative Dirichlet prior, in standard errors (Monroe et al. 2008); `example` is
    a place where the system has it.
    """

    phrase: str
    system: float
    human: float
    z: float
    example: str


@dataclass(frozen=True, slots=True)
class Slop:
    """What a system over-uses, and how much of each text it is.

    `phrases` are learned from all texts, the most typical first. The scores are the share of a text's words that belong to
    over-used phrases learned from the other half of the prompts: of each text of the system, and of people's as the
    baseline.
    """

    phrases: list[Phrase]
    system: NDArray[np.float64]
    human: NDArray[np.float64]


def slop(
    system: Sequence[str],
    system_prompts: Sequence[Hashable],
    human: Sequence[str],
    human_prompts: Sequence[Hashable],
    language: Language,
    seed: int = 1,
) -> Slop:
    """The phrases that `system` over-uses beside people, and the scores of both, cross-fitted over halves of the prompts.

    Raises `DataError` when a half has fewer than 40 texts of either.
    """
    numbers = group_numbers([*system_prompts, *human_prompts])
    half = np.random.default_rng(seed).permutation(numbers.max(initial=-1) + 1)[numbers] % 2 == 0
    words = [[phrase_words(text, language) for text in texts] for texts in (system, human)]
    halves = (half[: len(system)], half[len(system) :])
    scores = tuple(np.zeros(len(texts)) for texts in words)
    for learned in (False, True):
        found = _learn(*([words[side][i] for i in np.flatnonzero(halves[side] == learned)] for side in (0, 1)))
        phrases = {one.words for one in found}
        for side in (0, 1):
            for i in np.flatnonzero(halves[side] != learned):
                scores[side][i] = _covered(words[side][i], phrases)
    return Slop(_phrases(_learn(*words), system, language), *scores)


def overused(system: Sequence[str], human: Sequence[str], language: Language) -> list[Phrase]:
    """The phrases that a system uses in at least twice as many texts as people, the most typical first.

    Both sides are cut to one mean length. Looked at are phrases in 1 % of all texts and in five, and kept at a false
    discovery rate of 5 % (Benjamini and Hochberg 1995); of two that are one in the other, one. Raises `DataError`
    for fewer than 40 texts of either side.
    """
    words = [[phrase_words(text, language) for text in texts] for texts in (system, human)]
    return _phrases(_learn(*words), system, language)


def phrase_words(text: str, language: Language) -> list[str]:
    """The words of a text with `""` where a mark stands between them, which no phrase crosses."""
    if language == "zh":
        import rjieba

        return [word if _HAN_WORD.fullmatch(word) else "" for word in rjieba.cut(text)]
    pieces = re.split(r"[^\w\s'’‐-]+|\n", text.lower().replace("’", "'"))
    return [word for piece in pieces for word in ([*words_of(piece), ""] if piece else [])]


@dataclass(frozen=True, slots=True)
class _Found:
    """A phrase with the number of a text that has it, the shares of either side's texts, and z."""

    words: tuple[str, ...]
    text: int
    system: float
    human: float
    z: float


def _learn(system: Sequence[Sequence[str]], human: Sequence[Sequence[str]]) -> list[_Found]:
    """All over-used phrases, those that lie in longer ones too, the most typical first."""
    from scipy.stats import false_discovery_control, norm

    sizes = len(system), len(human)
    if min(sizes) < _LEAST_TEXTS:
        raise DataError(
            f"over-used phrases cannot be learned from {sizes[0]} texts of the system and {sizes[1]} of people: "
            f"it takes {_LEAST_TEXTS} of each, and as many in each half of the prompts."
        )
    mean = min(sum(map(len, side)) / len(side) for side in (system, human))
    texts = [text for side in (system, human) for text in within_budget(side, int(mean * len(side)))]
    phrases, owners, counts = _candidates(texts, len(system))
    if not phrases:
        return []
    z = _log_odds(counts, np.array(sizes))
    shares = counts / np.array(sizes)[:, None]
    kept = (false_discovery_control(norm.sf(z)) <= _DISCOVERIES) & (shares[0] >= _RATIO * shares[1])
    best = sorted(np.flatnonzero(kept), key=lambda i: (-z[i], phrases[i]))
    return [_Found(phrases[i], int(owners[i]), float(shares[0, i]), float(shares[1, i]), float(z[i])) for i in best]


def _candidates(
    texts: Sequence[Sequence[str]], first: int
) -> tuple[list[tuple[str, ...]], NDArray[np.int64], NDArray[np.int64]]:
    """Phrases that are frequent enough, a text that has each, and how many of the `first` and other texts do [2, phrases]."""
    flat = [word for text in texts for word in text]
    mark = np.array([not word for word in flat], bool)
    phrases: list[tuple[str, ...]] = []
    owners, counts = [np.empty(0, np.int64)], [np.empty((2, 0), np.int64)]
    for n, grams in enumerate(ngrams(texts, _LONGEST), 1):
        keys, having, _ = grams.counts()
        by = np.stack([np.bincount(keys[side], minlength=grams.kinds) for side in (having < first, having >= first)])
        start = np.zeros(grams.kinds, np.int64)
        start[grams.keys[::-1]] = grams.starts[::-1]  # the first place, so a text of the system if there is one
        spoken = ~np.any([mark[start + i] for i in range(n)], axis=0)
        frequent = np.flatnonzero(spoken & (by.sum(axis=0) >= max(_LEAST_COUNT, _LEAST_SHARE * len(texts))))
        phrases += [tuple(flat[at : at + n]) for at in start[frequent].tolist()]
        owners.append(having[np.searchsorted(keys, frequent)])
        counts.append(by[:, frequent])
    return phrases, np.concatenate(owners), np.concatenate(counts, axis=1)


def _log_odds(counts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """The z of each phrase [phrases] from the texts that have it [2, phrases], of so many texts [2].

    Monroe et al. (2008), eq. 16 to 22, on texts that have a phrase instead of its tokens; the prior is the pooled share.
    """
    share = (counts.sum(axis=0) + 0.5) / (sizes.sum() + 1)  # below 1, for `the` is in all of them
    have = counts + _PRIOR * share
    lack = sizes[:, None] - counts + _PRIOR * (1 - share)
    odds = np.log(have) - np.log(lack)
    return np.asarray((odds[0] - odds[1]) / np.sqrt((1 / have + 1 / lack).sum(axis=0)), np.float64)


def _phrases(found: Sequence[_Found], system: Sequence[str], language: Language) -> list[Phrase]:
    """Those to be shown, each with an example."""
    joint, between = ("", "") if language == "zh" else (" ", r"\s+")
    return [
        Phrase(joint.join(one.words), one.system, one.human, one.z, _example(one.words, system[one.text], between))
        for one in _apart(found)
    ]


def _apart(found: Sequence[_Found]) -> list[_Found]:
    """Of a phrase and a longer one with it, the longer if it accounts for two thirds of the texts, else the shorter."""
    known = {one.words: one for one in found}
    dropped: set[tuple[str, ...]] = set()
    for one in found:
        size = len(one.words)
        parts = {one.words[start:end] for start in range(size) for end in range(start + 1, size + 1)} - {one.words}
        for shorter in parts & known.keys():
            dropped.add(shorter if one.system >= known[shorter].system * 2 / 3 else one.words)
    return [one for one in found if one.words not in dropped]


def _covered(words: Sequence[str], phrases: set[tuple[str, ...]]) -> float:
    """The share of words that belong to one of the phrases."""
    inside = np.zeros(len(words), bool)
    for n in range(1, _LONGEST + 1):
        for start in range(len(words) - n + 1):
            if tuple(words[start : start + n]) in phrases:
                inside[start : start + n] = True
    return float(inside.sum() / max(1, sum(map(bool, words))))


def _example(words: Sequence[str], text: str, between: str) -> str:
    """The phrase in its surroundings, on one line."""
    pattern = between.join(re.escape(word).replace("'", "['’]") for word in words)
    match = re.search(rf"\b{pattern}\b" if between else pattern, text, re.I)
    place = match.start() if match else 0
    return " ".join(text[max(0, place - 40) : place + 60].split())
