"""Rows of a batch as a memory of what was read: each scene finds its own text again after others were written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from storyteller.generate.engine import BatchEngine, Copying, Engine, common_prefix, open_batch

__all__ = ["CHUNK", "Read", "Rows"]

#: Positions that are read before anybody is asked whether to go on; 64 cost a tenth more time than 512 at once.
CHUNK = 64

#: Rows of an engine that shares its weights between them; a row of 2,048 positions of the bundled model takes 47 MB.
ROWS = {"llama": 8}
FEWER = 3

Read = Callable[[int, int], bool]
"""(positions read, positions in all): whether to go on."""


class Rows:
    """The rows of one model: which hold what, and which may be written over."""

    def __init__(self, engine: Engine) -> None:
        """Open the rows on an engine's weights; raises `ModelError` when memory is short."""
        self._batch: BatchEngine = open_batch(engine, ROWS.get(engine.name, FEWER))
        self.count = self._batch.rows
        self._ids: list[list[int]] = [[] for _ in range(self.count)]
        self._used = [0] * self.count
        self._clock = 0

    def take(self, prompt: Sequence[int], wanted: int) -> list[int]:
        """Rows side by side for as many texts that follow one prompt, the first with what is known of it already.

        A row that is mostly this prompt is used where it is. Otherwise those give way that rested longest, and take over
        the part of the prompt that another row has read. Call `share` when the prompt is read.
        """
        prompt, wanted = list(prompt), min(wanted, self.count)
        known = [common_prefix(ids, prompt) if ids else 0 for ids in self._ids]
        best = max(range(self.count), key=lambda row: (known[row], self._used[row]))
        blocks = [range(start, start + wanted) for start in range(self.count - wanted + 1)]
        mine = [block for block in blocks if block[0] == best]
        if not (mine and known[best] and 2 * known[best] >= len(self._ids[best])):
            mine = blocks
        block = min(mine, key=lambda rows: (max(self._used[row] for row in rows), rows[0]))
        if block[0] != best and known[best] > known[block[0]]:
            self._copy(best, block[0])
        self._clock += 1
        for row in block:
            self._used[row] = self._clock
        return list(block)

    def share(self, rows: Sequence[int]) -> None:
        """Give the other rows what the first has read."""
        for row in rows[1:]:
            self._copy(rows[0], row)

    def feed(
        self, sequences: Mapping[int, Sequence[int]], read: Read, chunk: int = CHUNK
    ) -> Sequence[NDArray[np.float32]] | None:
        """The logits that follow each sequence (see `BatchEngine.feed_many`); None when `read` says to stop.

        What is long is read in pieces of `chunk` positions.
        """
        for row, ids in sequences.items():
            known = common_prefix(self._ids[row], list(ids)) if self._ids[row] else 0
            for end in range(known + chunk, len(ids), chunk):
                if not read(end - chunk, len(ids)):
                    return None
                self._feed({row: ids[:end]})
        if not read(0, 0):
            return None
        return self._feed(sequences)

    def close(self) -> None:
        """Free the rows."""
        self._batch.close()

    def _feed(self, sequences: Mapping[int, Sequence[int]]) -> Sequence[NDArray[np.float32]]:
        try:
            logits = self._batch.feed_many(sequences)
        except BaseException:
            self._ids = [[] for _ in self._ids]
            raise
        for row, ids in sequences.items():
            self._ids[row] = list(ids)
        return logits

    def _copy(self, source: int, target: int) -> None:
        if isinstance(self._batch, Copying):
            self._batch.copy_row(source, target)
            self._ids[target] = list(self._ids[source])
