"""Shards: a corpus's examples as memory-mapped arrays, made once for each tokenizer, template and setting."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storyteller.errors import DataError
from storyteller.runs.files import read_json
from storyteller.tokens.batches import Batch, Epochs, Packing, pack, stack

__all__ = ["INDEX", "META_FILE", "Shards", "Split", "token_type"]

META_FILE = "meta.json"

#: Puts the rows of a pass in order; another one would make the dev figures of earlier runs other figures.
_ORDER_SEED = 1

#: One record for each example. Its labels are its last `targets` tokens, so no mask needs to be stored beside them;
#: `bytes` counts the UTF-8 bytes of the completion; the rest are positions in TASKS, FORMS and LANGUAGES.
INDEX = np.dtype(
    [("offset", "<i8"), ("length", "<i4"), ("targets", "<i4"), ("bytes", "<i4"), ("task", "u1"), ("form", "u1"),
     ("language", "u1")]
)  # fmt: skip


def token_type(vocabulary_size: int) -> np.dtype[Any]:
    """Two bytes for a token where the vocabulary allows, else four."""
    return np.dtype("<u2" if vocabulary_size <= 1 << 16 else "<u4")


class Split:
    """The examples of one split, `train`, `dev` or `test`."""

    def __init__(self, folder: Path, name: str, meta: dict[str, Any]) -> None:
        """Map the split's files; raises `DataError` when they are not of the size that `meta.json` says."""
        tokens, index = folder / f"{name}.tokens.bin", folder / f"{name}.index.npy"
        kind, told = np.dtype(meta["token_type"]), meta["splits"][name]
        try:
            self.index: NDArray[Any] = np.load(index, mmap_mode="r") if told["examples"] else np.zeros(0, INDEX)
            size = tokens.stat().st_size
        except (OSError, ValueError) as error:
            raise _damaged(folder, f"{name} cannot be read ({error})") from error
        if len(self.index) != told["examples"] or size != told["tokens"] * kind.itemsize or self.index.dtype != INDEX:
            raise _damaged(folder, f"the files of {name} do not have the size that {META_FILE} says")
        self.tokens: NDArray[Any] = np.memmap(tokens, kind, "r") if size else np.zeros(0, kind)
        self._pad_id: int = meta["pad_id"]
        self._words = folder / f"{name}.words.bin"

    def __len__(self) -> int:
        """The number of examples."""
        return len(self.index)

    def example(self, number: int) -> tuple[NDArray[Any], int, int]:
        """An example's ids, how many of its last ids are labels, and the bytes of text that these spell."""
        record = self.index[number]
        start = int(record["offset"])
        return self.tokens[start : start + int(record["length"])], int(record["targets"]), int(record["bytes"])

    def word_starts(self, number: int) -> NDArray[np.bool_]:
        """Which of an example's ids begin a word; only documents for a masked model know."""
        record = self.index[number]
        start = int(record["offset"])
        return self._starts[start : start + int(record["length"])]

    @functools.cached_property
    def _starts(self) -> NDArray[np.bool_]:
        if not self._words.is_file() or self._words.stat().st_size != len(self.tokens):
            raise _damaged(self._words.parent, f"{self._words.name} is missing or cut")
        return np.memmap(self._words, np.bool_, "r")

    def stack(self, rows: list[list[int]], context: int) -> Batch:
        """The batch of rows that are given as lists of examples."""
        return stack(rows, context, self._pad_id, self.example)


class Shards:
    """A folder of tokenized splits, opened."""

    def __init__(self, folder: Path, meta: dict[str, Any]) -> None:
        """See `open`."""
        self.folder = folder
        #: The report: counts, length quantiles, shares, the settings and hashes that made the folder.
        self.meta = meta
        self.splits = {name: Split(folder, name, meta) for name in meta["splits"]}
        self._epochs = functools.lru_cache(maxsize=4)(self._make_epochs)

    @classmethod
    def open(cls, folder: Path) -> Shards:
        """Open what `tokenize` wrote; raises `DataError` when the folder is missing or damaged."""
        path = Path(folder) / META_FILE
        if not path.is_file():
            raise DataError(f"{folder}: no tokenized corpus. Make one with: storyteller tokenize CORPUS --model NAME")
        try:
            return cls(Path(folder), read_json(path))
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(Path(folder), f"{META_FILE} cannot be read ({error})") from error

    def batch(
        self, seed: int, step: int, *, rows: int, context: int, rank: int = 0, world: int = 1, split: str = "train"
    ) -> Batch:
        """The batch of a step: a pure function of its arguments, so a resumed run has nothing to fast-forward.

        Step s takes rows s * rows * world and on of an endless stream of epochs, each a permutation by (seed, epoch),
        packed; rank r takes every world-th of them from r. Neither more processes nor more rows in a step change the
        stream. Raises `DataError` when an example is longer than `context`.
        """
        epochs, first = self._epochs(seed, context, split), step * rows * world + rank
        numbers = range(first, first + world * rows, world)
        return self._stack(split, [epochs.row(n) for n in numbers], context, [(1, seed, n) for n in numbers])

    def steps_per_epoch(self, rows_per_step: int, context: int, seed: int, split: str = "train") -> int:
        """Steps that show every example once, when a step takes `rows_per_step` rows over all ranks; at least 1."""
        return max(1, -(-self._epochs(seed, context, split).rows_in(0) // rows_per_step))

    def rows(
        self, context: int, rows: int, *, split: str = "dev", limit: int | None = None, rank: int = 0, world: int = 1
    ) -> Iterator[Batch]:
        """One pass over a split in a fixed random order, the same for every run, so that the first rows speak for all.

        With `limit` over the first so many rows, in however many batches they come. The last batch may have fewer rows, and
        an empty split gives none.
        """
        packing = self._packing(split, context)
        # As packed, the longest come first, and of these the first sources': 64 of 1,068 rows were one work of 38.
        mine = np.random.default_rng(_ORDER_SEED).permutation(len(packing))[:limit][rank::world].tolist()
        for start in range(0, len(mine), rows):
            numbers = mine[start : start + rows]
            yield self._stack(split, [packing.row(n) for n in numbers], context, [(2, 0, n) for n in numbers])

    def _stack(self, split: str, rows: list[list[int]], context: int, keys: Sequence[tuple[int, ...]]) -> Batch:
        """The batch of rows of examples; `keys` name each row's place for whatever is drawn at random about it."""
        return self._split(split).stack(rows, context)

    def efficiency(self, context: int, split: str = "train") -> float:
        """The share of positions in packed rows that hold a token."""
        packing = self._packing(split, context)
        return float(self._split(split).index["length"].sum() / max(1, len(packing) * context))

    def _packing(self, split: str, context: int) -> Packing:
        self._check(split, context)
        lengths = self._split(split).index["length"]
        return pack(lengths, np.arange(len(lengths), dtype=np.int64), context)

    def _make_epochs(self, seed: int, context: int, split: str) -> Epochs:
        self._check(split, context)
        if not len(self._split(split)):
            raise DataError(f"{self.folder}: the split {split} has no example. Prepare a corpus with more stories.")
        return Epochs(np.asarray(self._split(split).index["length"]), seed, context)

    def _split(self, name: str) -> Split:
        if name not in self.splits:
            raise DataError(f"{self.folder}: no split {name}; there are {', '.join(self.splits)}")
        return self.splits[name]

    def _check(self, split: str, context: int) -> None:
        longest = int(self._split(split).index["length"].max(initial=0))
        if longest > context:
            raise DataError(
                f"{self.folder}: an example of {longest} tokens does not fit {context}; it was tokenized for a context "
                f"of {self.meta['settings']['context']}. Tokenize again with data.context={context}."
            )


def content_hash(parts: dict[str, Any]) -> str:
    """The SHA-256 of everything that decides what a shard holds."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _damaged(folder: Path, what: str) -> DataError:
    return DataError(f"{folder}: damaged: {what}. Delete the folder; it is made again from the corpus.")
