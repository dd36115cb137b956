"""Copying: the longest span that a text shares with a corpus, by a suffix array over the corpus's tokens.

The corpus is indexed once and lies on disk; the index is mapped into memory, not read. Tokens are those of
`ngrams.words`, so case, spacing and the kind of quotes do not hide a copy.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus.story import Story
from storyteller.errors import DataError
from storyteller.evaluate.ngrams import word_spans, words
from storyteller.runs.files import read_json, replacing_folder, write_json
from storyteller.runs.home import home

__all__ = ["CopyIndex", "Match", "suffix_array"]

_VERSION = 1  # rises whenever the same stories give another index
_UNKNOWN = -1  # the id of a token that the corpus lacks


@dataclass(frozen=True, slots=True)
class Match:
    """The longest span of a text that stands in the corpus, too, and how much of the text is copied.

    `tokens`: the span's length in words and marks, 0 where the corpus has none of the text's words; `span`: the span as
    the text has it, from character `start` on; `source`: the id of the first story of the corpus that has it, or `""`;
    `copied`: the share of the text's tokens that stand in spans of at least eight tokens that the corpus has.
    """

    tokens: int
    span: str
    start: int
    source: str
    copied: float


class CopyIndex:
    """The suffixes of a corpus in order, to be searched for the spans of other texts."""

    def __init__(self, ids: NDArray[np.int32], suffixes: NDArray[np.int32], stories: list[str], kinds: list[str]):
        """Take the tokens `ids` [tokens], the places of their `suffixes` in order [tokens], story ids and vocabulary.

        Each story ends with a token of its own, numbered from 0 on; the words come after these.
        """
        self._ids, self._suffixes, self._stories = np.asarray(ids), np.asarray(suffixes), stories
        self._number = {word: number for number, word in enumerate(kinds, len(stories))}
        # Where the suffixes of each first token begin.
        self._firsts = np.cumsum(np.bincount(ids + 1, minlength=len(stories) + len(kinds) + 1))
        self._ends = np.flatnonzero(ids < len(stories))

    @classmethod
    def build(cls, stories: Iterable[Story], cache: Path | None = None) -> CopyIndex:
        """The index of a corpus, made unless it lies in the folder `cache` already, under the hash of its texts.

        `cache` is by default `copying` in Storyteller's home; it can be deleted. Raises `DataError` for an empty corpus.
        """
        stories = list(stories)
        if not any(story.text.strip() for story in stories):
            raise DataError("there is no text to look for copies of; give the stories of the training corpus.")
        digest = hashlib.sha256(str(_VERSION).encode())
        for story in stories:
            digest.update(json.dumps([story.id, story.text]).encode())
        folder = (cache or home() / "copying") / digest.hexdigest()[:16]
        if not folder.is_dir():
            _make(stories, folder)
        try:
            named = read_json(folder / "index.json")
            ids, suffixes = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("ids", "suffixes"))
        except (OSError, ValueError) as error:
            raise DataError(
                f"the copy index {folder} is damaged ({error}); delete the folder and try again."
            ) from error
        return cls(ids, suffixes, named["stories"], named["vocabulary"])

    def longest_matches(self, texts: Sequence[str], least: int = 8) -> list[Match]:
        """The longest copied span of each text; of several as long the first, from the first story that has it.

        Spans of `least` tokens and up count as `copied`.
        """
        tokens = [words(text) for text in texts]
        ends = np.cumsum([len(text) for text in tokens], dtype=np.int64)
        ids = np.array([self._number.get(word, _UNKNOWN) for text in tokens for word in text], np.int64)
        found = self._search(ids, np.repeat(ends, np.diff(ends, prepend=0)))
        return [
            self._match(text, found[:, end - len(own) : end], least)
            for text, own, end in zip(texts, tokens, ends.tolist(), strict=True)
        ]

    def _search(self, ids: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each place of `ids` the longest span from there that the corpus has [3, places]: its tokens, its suffixes.

        The suffixes that begin with the span are those from the second row up to the third. `ends` is the end of the text
        that each place is in. All places go forward together, a token at a time, until the corpus has their span no more.
        """
        found = np.zeros((3, len(ids)), np.int64)
        alive = np.flatnonzero(ids != _UNKNOWN)
        low, high = self._firsts[ids[alive]], self._firsts[ids[alive] + 1]
        length = 0
        while len(alive):
            length += 1
            found[:, alive] = np.full(len(alive), length), low, high
            on = alive + length < ends[alive]
            alive, low, high = alive[on], low[on], high[on]
            wanted = ids[alive + length]
            low, high = (self._bound(low, high, length, wanted + after) for after in (0, 1))
            on = low < high
            alive, low, high = alive[on], low[on], high[on]
        return found

    def _bound(
        self, low: NDArray[np.int64], high: NDArray[np.int64], depth: int, token: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """For each range of suffixes the first one whose token at `depth` is not below `token`: a bisection of them all."""
        low, high = low.copy(), high.copy()
        open_ = np.flatnonzero(low < high)
        while len(open_):
            middle = (low[open_] + high[open_]) // 2
            below = self._ids[self._suffixes[middle] + depth] < token[open_]
            low[open_[below]] = middle[below] + 1
            high[open_[~below]] = middle[~below]
            open_ = open_[low[open_] < high[open_]]
        return low

    def _match(self, text: str, found: NDArray[np.int64], least: int) -> Match:
        """The match of one text from what was found for its places [3, tokens]."""
        lengths = found[0]
        longest, at = int(lengths.max(initial=0)), int(lengths.argmax()) if len(lengths) else 0
        if not longest:
            return Match(0, "", 0, "", 0.0)
        spans = list(itertools.islice(word_spans(text), at, at + longest))
        start, end = spans[0][0], spans[-1][1]
        first = self._suffixes[found[1, at] : found[2, at]].min()
        source = self._stories[int(np.searchsorted(self._ends, first))]
        places = np.arange(len(lengths))
        reach = np.maximum.accumulate(np.where(lengths >= least, places + lengths, 0))
        return Match(longest, text[start:end], start, source, float(np.mean(reach > places)))


def _make(stories: Sequence[Story], folder: Path) -> None:
    vocabulary = defaultdict[str, int](itertools.count(len(stories)).__next__)
    parts: list[NDArray[np.int32]] = []
    for number, story in enumerate(stories):
        own = words(story.text)
        parts += np.fromiter(map(vocabulary.__getitem__, own), np.int32, len(own)), np.array([number], np.int32)
    ids = np.concatenate(parts)
    with replacing_folder(folder) as temporary:
        np.save(temporary / "ids.npy", ids)
        np.save(temporary / "suffixes.npy", suffix_array(ids))
        write_json(temporary / "index.json", {"stories": [s.id for s in stories], "vocabulary": list(vocabulary)})


def suffix_array(ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """The places of all suffixes of `ids` in order, by prefix doubling (Manber and Myers 1993).

    The rank of a suffix is the number of those whose first `step` tokens are smaller; each round doubles `step` and sorts
    only those whose rank is shared (Larsson and Sadakane 2007).
    """
    size = len(ids)
    order = np.argsort(ids, kind="stable")
    rank = np.zeros(size + 1, np.int64)  # at the end the empty suffix, before all others
    shared, step = order, 0
    previous = np.zeros(size, np.int64)
    following = ids[order].astype(np.int64)
    while len(shared):
        places = np.arange(len(shared))
        changed = np.diff(previous, prepend=-1) != 0
        split = changed | (np.diff(following, prepend=-2) != 0)
        group = np.maximum.accumulate(np.where(changed, places, 0))
        part = np.maximum.accumulate(np.where(split, places, 0))
        rank[shared] = previous + part - group + (step == 0)
        alone = split & np.append(split[1:], True)
        shared = shared[~alone]
        step = max(1, 2 * step)
        previous, following = rank[shared], rank[np.minimum(shared + step, size)]
        packed = previous * (size + 1) + following
        resorted = np.argsort(packed)
        shared, previous, following = shared[resorted], previous[resorted], following[resorted]
    result = np.empty(size, np.int32)
    result[rank[:size] - 1] = np.arange(size)
    return result
