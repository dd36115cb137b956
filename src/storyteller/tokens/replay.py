"""Replay: the rows of old corpora among those of a new one, at a fixed share and as a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from storyteller.errors import DataError
from storyteller.tokens.batches import Batch
from storyteller.tokens.shards import Shards

__all__ = ["ReplayShards"]


class ReplayShards(Shards):
    """`new`, in whose training stream a `share` of the rows is taken from `old`, in turns; all else is that of `new`.

    Row g of the stream (counted over the whole run) is old when floor((g + 1) share) > floor(g share). So the share is
    kept to within one row at every moment, old rows are spread evenly, and neither accumulation nor the number of
    processes changes the stream. Raises `DataError` when the two were made by different tokenizers.
    """

    def __init__(self, new: Shards, old: Sequence[Shards], share: float) -> None:
        super().__init__(new.folder, new.meta)
        for one in old:
            if new.meta["tokenizer"] != one.meta["tokenizer"]:
                raise DataError(f"{one.folder} and {new.folder} were made by different tokenizers; tokenize one again.")
        self.new, self.old, self.share = new, old, Fraction(share).limit_denominator(10_000)

    def batch(
        self, seed: int, step: int, *, rows: int, context: int, rank: int = 0, world: int = 1, split: str = "train"
    ) -> Batch:
        """See `Shards.batch`."""
        if split != "train":
            return self.new.batch(seed, step, rows=rows, context=context, rank=rank, world=world, split=split)
        first = step * rows * world + rank
        return _joined([self._row(seed, first + world * i, context) for i in range(rows)])

    def steps_per_epoch(self, rows_per_step: int, context: int, seed: int, split: str = "train") -> int:
        """Steps that show every new example once; the old rows come on top."""
        if split != "train":
            return self.new.steps_per_epoch(rows_per_step, context, seed, split)
        rows = self.new.steps_per_epoch(1, context, seed, split)
        return max(1, math.ceil(rows / (1 - self.share) / rows_per_step))

    def _row(self, seed: int, number: int, context: int) -> Batch:
        """Row `number` of the stream: of rows so far, floor(number x share) were old."""
        before = math.floor(number * self.share)
        if math.floor((number + 1) * self.share) > before:
            turn, which = divmod(before, len(self.old))
            return self.old[which].batch(seed, turn, rows=1, context=context)
        return self.new.batch(seed, number - before, rows=1, context=context)


def _joined(batches: list[Batch]) -> Batch:
    def column(name: str) -> Any:
        return np.concatenate([getattr(batch, name) for batch in batches])

    return Batch(
        column("input_ids"),
        column("labels"),
        column("position_ids"),
        column("segment_ids"),
        sum(batch.target_bytes for batch in batches),
    )
