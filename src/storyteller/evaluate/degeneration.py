"""Degeneration: what goes wrong inside one text, as figures for each text, so that their means have intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus.language import count_words, ends_sentence
from storyteller.corpus.story import Language
from storyteller.evaluate.ngrams import NGrams, encode, ngrams
from storyteller.evaluate.ngrams import words as words_and_marks

__all__ = ["Degeneration", "degeneration", "longest_repeats", "loop_shares", "repeated_shares"]

_ROUNDS = 3  # times in a row
_LOOP = 12  # tokens that a loop has at least: "no, no, no!" is none
_PERIOD = 128  # tokens that the looping span has at most; a longer one shows as a longest repeat


@dataclass(frozen=True, slots=True)
class Degeneration:
    """One text's length and its faults.

    `words`: words or 字; `tokens`: words and marks. `rep_2` to `rep_4`: the share of n-grams that the text already had
    (Welleck et al. 2020), 0 where it has none. `longest_repeat`: tokens of the longest span that comes twice without
    overlap. `loop_share`: the share of tokens that stand in a loop, and `loops` is 1 where there is one. `finished`: 1
    where the text ends at the end of a sentence.
    """

    words: float
    tokens: float
    rep_2: float
    rep_3: float
    rep_4: float
    longest_repeat: float
    loop_share: float
    loops: float
    finished: float


def degeneration(texts: Sequence[str], language: Language) -> list[Degeneration]:
    """The record of each text; an empty text has zeros throughout."""
    tokens = [words_and_marks(text) for text in texts]
    rep = repeated_shares(tokens, (2, 3, 4))
    looped = loop_shares(tokens)
    columns = (
        np.array([count_words(text, language) for text in texts]),
        np.array([len(text) for text in tokens]),
        *rep,
        longest_repeats(tokens),
        looped,
        looped > 0,
        np.array([ends_sentence(text) for text in texts]),
    )
    return [Degeneration(*map(float, row)) for row in zip(*columns, strict=True)]


def repeated_shares(tokens: Sequence[Sequence[str]], lengths: Sequence[int]) -> list[NDArray[np.float64]]:
    """For each n of `lengths`, 1 - different n-grams / n-grams of each text [texts]; 0 where a text has none."""
    found = ngrams(tokens, max(lengths))
    return [_repeated(found[n - 1], len(tokens)) for n in lengths]


def _repeated(grams: NGrams, texts: int) -> NDArray[np.float64]:
    _, owners, counts = grams.counts()
    different = np.bincount(owners, minlength=texts)
    total = np.bincount(owners, counts, minlength=texts)
    return np.asarray(1 - different / np.maximum(total, 1) - (total == 0), np.float64)


def longest_repeats(tokens: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """The tokens of the longest span that each text has twice, not overlapping itself [texts].

    Spans grow by a token at a time, and only those go on that occur again: a text without repeats costs nothing more.
    """
    ids, texts = encode(tokens)
    longest = np.zeros(len(tokens), np.int64)
    starts, keys = np.arange(len(ids)), texts.copy()
    length = 0
    while len(starts):
        length += 1
        keep = starts + length <= len(ids)
        starts, keys = starts[keep], keys[keep]
        keep = texts[starts + length - 1] == texts[starts]
        starts, keys = starts[keep], keys[keep]
        _, keys = np.unique(keys * (ids.max() + 1) + ids[starts + length - 1], return_inverse=True)
        first, last = np.full(len(starts), len(ids)), np.zeros(len(starts), np.int64)
        np.minimum.at(first, keys, starts)
        np.maximum.at(last, keys, starts)
        again = (last - first >= length)[keys]
        starts, keys = starts[again], keys[again]
        longest[texts[starts]] = length
    return longest


def loop_shares(tokens: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """The share of each text's tokens that stand in a loop [texts].

    A loop is a span of up to 128 tokens that comes three times in a row or more, 12 tokens or more in all.
    """
    ids, texts = encode(tokens)
    inside = np.zeros(len(ids) + 1, np.int64)  # loops begun less loops ended
    lengths = np.array([len(text) for text in tokens], np.int64)
    for period in range(1, min(_PERIOD, int(lengths.max(initial=0)) // _ROUNDS) + 1):
        same = (ids[period:] == ids[:-period]) & (texts[period:] == texts[:-period])
        edges = np.flatnonzero(np.diff(same, prepend=False, append=False))
        begins, ends = edges[::2], edges[1::2] + period
        loop = ends - begins >= max(_ROUNDS * period, _LOOP)
        np.add.at(inside, begins[loop], 1)
        np.add.at(inside, ends[loop], -1)
    return np.bincount(texts, np.cumsum(inside[:-1]) > 0, len(tokens)) / np.maximum(lengths, 1)
