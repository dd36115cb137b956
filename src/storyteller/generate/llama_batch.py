"""Many sequences at once in llama.cpp: one context, one cache a row, one pass over the weights for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from storyteller.errors import GenerationError, ModelError
from storyteller.generate.engine import common_prefix, cores

if TYPE_CHECKING:
    from storyteller.generate.llama_library import LlamaLibrary

__all__ = ["LlamaBatch"]

#: Positions that are computed at once, over all rows.
CHUNK = 512


class LlamaBatch:
    """A context of its own over a loaded model; see `BatchEngine`."""

    name = "llama"

    def __init__(self, library: LlamaLibrary, model: Any, rows: int, context: int, vocabulary_size: int) -> None:
        """Make a cache for `rows` sequences of `context` positions; raises `ModelError` when memory is short."""
        self._library, self.rows, self.context, self.vocabulary_size = library, rows, context, vocabulary_size
        self._context = None
        settings = library.context_default_params()
        # Each row has a cache of its own: in one that all share, a token looks at the positions of every row.
        settings.n_ctx, settings.n_seq_max = rows * -(-context // 256) * 256, rows
        settings.n_batch = settings.n_ubatch = CHUNK
        settings.n_threads = settings.n_threads_batch = cores()
        self._context = library.init_from_model(model, settings)
        if not self._context or library.n_ctx_seq(self._context) < context:
            raise ModelError(
                f"no memory for {rows} stories of {context} positions at once ({library.last_error()}). Ask for fewer."
            )
        self._memory = library.get_memory(self._context)
        self._batch = library.batch_init(CHUNK, 0, 1)
        self._ids: dict[int, list[int]] = {row: [] for row in range(rows)}

    def feed_many(self, sequences: Mapping[int, Sequence[int]]) -> Sequence[NDArray[np.float32]]:
        """The logits after each sequence; see `BatchEngine.feed_many`. The arrays are llama.cpp's own memory."""
        new = [(row, place, ids) for row, given in sequences.items() for place, ids in [self._keep(row, list(given))]]
        logits: dict[int, NDArray[np.float32]] = {}
        for start in range(0, len(pending := _positions(new)), CHUNK):
            last = start + CHUNK >= len(pending)
            for row, view in self._decode(pending[start : start + CHUNK]).items():
                logits[row] = view if last else view.copy()  # the next pass overwrites it
        return [logits[row] for row in sequences]

    def copy_row(self, source: int, target: int) -> None:
        """Give one row what another has read; see `Copying`."""
        self._library.memory_seq_rm(self._memory, target, -1, -1)
        self._library.memory_seq_cp(self._memory, source, target, -1, -1)
        self._ids[target] = list(self._ids[source])

    def close(self) -> None:
        """Free the cache."""
        if self._context:
            self._library.batch_free(self._batch)
            self._library.free(self._context)
        self._context = None

    def __del__(self) -> None:
        if getattr(self, "_context", None):
            self.close()

    def _keep(self, row: int, ids: list[int]) -> tuple[int, list[int]]:
        """Cut the row's cache to what it shares with `ids`; that length, and `ids`."""
        kept, old = common_prefix(self._ids[row], ids), len(self._ids[row])
        if kept < old and not self._library.memory_seq_rm(self._memory, row, kept, -1):
            self._library.memory_seq_rm(self._memory, row, -1, -1)  # a cache that cannot be cut back is filled anew
            kept = 0
        self._ids[row] = ids
        return kept, ids

    def _decode(self, pending: Sequence[tuple[int, int, int, bool]]) -> dict[int, NDArray[np.float32]]:
        """Compute (row, position, id, whether its logits are wanted) in one pass: a row's logits, where wanted."""
        library, batch = self._library, self._batch
        batch.n_tokens = len(pending)
        for place, (row, position, token, wanted) in enumerate(pending):
            batch.token[place], batch.pos[place], batch.logits[place] = token, position, wanted
            batch.n_seq_id[place], batch.seq_id[place][0] = 1, row
        if library.decode(self._context, batch):
            library.memory_clear(self._memory, True)
            self._ids = {row: [] for row in range(self.rows)}
            raise GenerationError(f"llama.cpp cannot go on with {self.rows} stories ({library.last_error()}).")
        places = ((place, row) for place, (row, _, _, wanted) in enumerate(pending) if wanted)
        shape = (self.vocabulary_size,)
        return {
            row: np.ctypeslib.as_array(library.get_logits_ith(self._context, place), shape) for place, row in places
        }


def _positions(new: Sequence[tuple[int, int, Sequence[int]]]) -> list[tuple[int, int, int, bool]]:
    """Every (row, position, id, whether it is its row's last) that has to be computed."""
    return [(row, at, ids[at], at + 1 == len(ids)) for row, kept, ids in new for at in range(kept, len(ids))]
