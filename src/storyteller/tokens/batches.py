"""Packing: examples into rows of one length, and rows into batches, as a pure function of seed and step."""

from __future__ import annotations

import functools
from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NO_LABEL", "Batch", "Epochs", "Packing", "pack", "stack"]

#: The label of a position without loss.
NO_LABEL = -100

#: Examples are packed in windows of so many: enough to fill rows, few enough to keep an epoch's order random.
_WINDOW = 8192

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Batch:
    """Packed rows; every array is int64 [rows, context].

    `labels[r, t]` is the id to be predicted from position t, already shifted, or -100 where there is no loss: in
    prompts, padding, and at the last position of each segment, so that no example predicts another. `segment_ids` is
    0 in padding and 1, 2, ... for the examples of a row; `position_ids` restart at 0 in each. `target_bytes` counts
    the UTF-8 bytes of the text that is predicted, for bits per byte.
    """

    input_ids: IntArray
    labels: IntArray
    position_ids: IntArray
    segment_ids: IntArray
    target_bytes: int

    @property
    def targets(self) -> int:
        """How many positions have a label."""
        return int((self.labels != NO_LABEL).sum())


@dataclass(frozen=True, slots=True)
class Packing:
    """Rows of packed examples: row r holds the examples `order[bounds[r]:bounds[r + 1]]`."""

    order: IntArray
    bounds: IntArray

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.bounds) - 1

    def row(self, index: int) -> list[int]:
        """The examples of one row."""
        return [int(i) for i in self.order[self.bounds[index] : self.bounds[index + 1]]]


def pack(lengths: NDArray[np.integer], order: IntArray, context: int) -> Packing:
    """Pack examples into rows of at most `context` tokens by best fit, longest first, within windows of `order`.

    Best fit decreasing (Johnson 1973) leaves at most a fraction of the waste of taking examples as they come.
    O(n log window).
    """
    rows: list[list[int]] = []
    for start in range(0, len(order), _WINDOW):
        window = order[start : start + _WINDOW]
        window = window[np.argsort(-lengths[window].astype(np.int64), kind="stable")]
        space: list[tuple[int, int]] = []  # (room left, row), sorted: the tightest row that fits is found by bisection
        for example, length in zip(window.tolist(), lengths[window].tolist(), strict=True):
            place = bisect_left(space, (length, -1))
            if place < len(space):
                room, row = space.pop(place)
                rows[row].append(example)
            else:
                room, row = context, len(rows)
                rows.append([example])
            if room > length:
                insort(space, (room - length, row))
    return _packing(rows)


def _packing(rows: list[list[int]]) -> Packing:
    bounds = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return Packing(np.array([example for row in rows for example in row], dtype=np.int64), bounds)


class Epochs:
    """The endless stream of rows that a seed makes: epoch after epoch, each a new permutation, packed and shuffled."""

    def __init__(self, lengths: NDArray[np.integer], seed: int, context: int) -> None:
        """Stream over examples of these lengths; none may be longer than `context`."""
        self._lengths, self._seed, self._context = lengths, seed, context
        self._ends: list[int] = []  # the stream's row at which each epoch so far ends
        self._epoch = functools.lru_cache(maxsize=2)(self._make)

    def _make(self, epoch: int) -> Packing:
        chance = np.random.default_rng([self._seed, epoch])
        packing = pack(self._lengths, chance.permutation(len(self._lengths)), self._context)
        # Rows come out of a window by falling length; a batch should see all lengths.
        return _packing([packing.row(int(row)) for row in chance.permutation(len(packing))])

    def rows_in(self, epoch: int) -> int:
        """The number of rows of an epoch; packings differ a little from one to the next."""
        while len(self._ends) <= epoch:
            self._ends.append((self._ends[-1] if self._ends else 0) + len(self._epoch(len(self._ends))))
        return self._ends[epoch] - (self._ends[epoch - 1] if epoch else 0)

    def row(self, index: int) -> list[int]:
        """The examples of a row of the stream."""
        while not self._ends or self._ends[-1] <= index:
            self.rows_in(len(self._ends))
        epoch = int(np.searchsorted(self._ends, index, side="right"))
        return self._epoch(epoch).row(index - (self._ends[epoch - 1] if epoch else 0))


def stack(
    rows: list[list[int]],
    context: int,
    pad_id: int,
    example: Callable[[int], tuple[NDArray[np.integer], int, int]],
) -> Batch:
    """The batch of some rows; `example(i)` gives its ids, its number of targets (its last ids), and their bytes."""
    shape = (len(rows), context)
    input_ids = np.full(shape, pad_id, dtype=np.int64)
    labels = np.full(shape, NO_LABEL, dtype=np.int64)
    positions, segments = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    target_bytes = 0
    for r, row in enumerate(rows):
        start = 0
        for segment, index in enumerate(row, start=1):
            ids, targets, size = example(index)
            end = start + len(ids)
            input_ids[r, start:end] = ids
            # The label of position t is token t + 1: targets shift one to the left, and never over the segment's end.
            labels[r, end - 1 - targets : end - 1] = ids[len(ids) - targets :]
            positions[r, start:end] = np.arange(len(ids))
            segments[r, start:end] = segment
            start, target_bytes = end, target_bytes + size
    return Batch(input_ids, labels, positions, segments, target_bytes)
