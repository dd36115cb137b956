"""Exact and near duplicates, from rows and sketches that lie on disk.

A sketch is a MinHash (Broder 1997) of word 3-grams in English and character 5-grams in Chinese. Two stories are
candidates when they agree in one of 32 bands of 4 values (locality-sensitive hashing; Leskovec et al., Mining of
Massive Datasets, §3.4), and are compared by their whole sketches then. Bands are sorted one at a time: memory is some
50 bytes a story, whatever the texts are.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from storyteller.corpus.language import words_of
from storyteller.corpus.story import Language

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KIN", "Sketches", "components", "near_duplicates", "similar", "sketch"]

SKETCH = 128  # values of 16 bits: 256 bytes a story; the standard error of a similarity of 0.8 is 0.035
KIN = 0.5  # from this similarity on stories are kept in one split, even when both are kept
_BANDS = 32  # of 4 values each, which read as one 64-bit key
_SEED = 1
_CHUNK = 1 << 16


def sketch(text: str, language: Language) -> NDArray[np.uint16]:
    """The MinHash sketch [128] of `text`."""
    from rensa import RMinHash

    if language == "zh":
        solid = "".join(words_of(text))
        shingles = [solid[start : start + 5] for start in range(max(1, len(solid) - 4))]
    else:
        words = words_of(text.lower())
        shingles = [" ".join(triple) for triple in zip(words, words[1:], words[2:], strict=False)] or [" ".join(words)]
    minhash = RMinHash(num_perm=SKETCH, seed=_SEED)
    minhash.update(shingles)
    # The low half of a 32-bit minimum still tells two sets apart; chance agreement is 1 in 65,536.
    return np.array(minhash.digest(), np.uint32).astype(np.uint16)


class Sketches:
    """The sketches of `size` stories in a file: read by band, piece by piece, or by story."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size = path, size

    def band(self, number: int) -> NDArray[np.uint64]:
        """One band of every story as keys [size]; the file passes through a buffer of 16 MiB."""
        keys = np.empty(self.size, np.uint64)
        with self.path.open("rb") as file:
            for start in range(0, self.size, _CHUNK):
                block = np.fromfile(file, np.uint64, _CHUNK * _BANDS).reshape(-1, _BANDS)
                keys[start : start + len(block)] = block[:, number]
        return keys

    def rows(self, stories: NDArray[np.int64]) -> NDArray[np.uint16]:
        """The sketches [len(stories), 128] of some stories."""
        mapped = np.memmap(self.path, np.uint16, "r", shape=(self.size, SKETCH))
        return np.array(mapped[stories])


def similar(left: NDArray[np.uint16], right: NDArray[np.uint16]) -> NDArray[np.float64]:
    """The estimated Jaccard similarity of each row of `left` with the same row of `right`."""
    return np.asarray(np.mean(left == right, axis=1), np.float64)


def near_duplicates(sketches: Sketches, threshold: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels of two kinds for each story: of its duplicates (`threshold` and over), of its kin (`KIN` and over).

    A label is the index of the first story of the cluster.
    """
    twins = np.arange(sketches.size)
    kin = np.arange(sketches.size)
    for band in range(_BANDS):
        left, right = _candidates(sketches.band(band))
        unknown = twins[left] != twins[right]
        left, right = left[unknown], right[unknown]
        for start in range(0, len(left), _CHUNK):
            a, b = left[start : start + _CHUNK], right[start : start + _CHUNK]
            close = similar(sketches.rows(a), sketches.rows(b))
            twins = components(twins, a[close >= threshold], b[close >= threshold])
            kin = components(kin, a[close >= min(KIN, threshold)], b[close >= min(KIN, threshold)])
    return twins, kin


def components(labels: NDArray[np.int64], left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.int64]:
    """Labels after joining each `left` story's cluster with its `right` one; a label is its cluster's first index."""
    labels = labels.copy()
    while len(left):
        a, b = labels[left], labels[right]
        apart = a != b
        left, right, a, b = left[apart], right[apart], a[apart], b[apart]
        np.minimum.at(labels, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(labels, shorter := labels[labels]):
            labels = shorter
    return labels


def _candidates(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of equal keys: each with the first of its bucket and with the one before it, never all with all."""
    order = np.argsort(keys, kind="stable")
    same = keys[order][1:] == keys[order][:-1]
    positions = np.arange(len(keys))
    first = np.maximum.accumulate(np.where(np.concatenate(([True], ~same)), positions, 0))
    later = np.flatnonzero(np.concatenate(([False], same)))
    left = np.concatenate((order[first[later]], order[later - 1][first[later] != later - 1]))
    right = np.concatenate((order[later], order[later][first[later] != later - 1]))
    return left, right
