"""The fast engine: llama.cpp on the CPU, with the logits of the whole vocabulary read in place."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from storyteller.errors import GenerationError, ModelError
from storyteller.generate.engine import common_prefix, cores
from storyteller.generate.llama_batch import LlamaBatch
from storyteller.generate.llama_library import llama_library

if TYPE_CHECKING:
    from storyteller.models import Located

__all__ = ["LlamaEngine"]

#: Positions that are computed at once when a prompt is read.
CHUNK = 512


class LlamaEngine:
    """Runs a GGUF file; see `Engine`."""

    name = "llama"

    def __init__(self, path: Path, context: int | None = None) -> None:
        """Load a file; `context` is cut to what the model was trained for. Raises `ModelError`."""
        self._library = library = llama_library()
        self._context = self._model = None
        params = library.model_default_params()
        params.n_gpu_layers = 0
        self._model = library.model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise ModelError(f"{path}: llama.cpp cannot load it ({library.last_error()}). Fetch or convert it again.")
        self._open_context(path, context)

    def _open_context(self, path: Path, context: int | None) -> None:
        library = self._library
        trained = library.model_n_ctx_train(self._model)
        self.context: int = min(context or trained, trained)
        self.vocabulary_size: int = library.vocab_n_tokens(library.model_get_vocab(self._model))
        settings = library.context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch = self.context, CHUNK, CHUNK
        settings.n_threads = settings.n_threads_batch = cores()
        self._context = library.init_from_model(self._model, settings)
        if not self._context or library.n_ctx(self._context) < self.context:
            raise ModelError(f"{path}: no context of {self.context} positions ({library.last_error()}).")
        self._memory: int = library.get_memory(self._context)
        self._ids: list[int] = []

    @classmethod
    def open(cls, located: Located, context: int | None = None) -> LlamaEngine:
        """Open a located model: its own GGUF, or one made of its base and adapter once and kept in the cache."""
        llama_library()  # fail before anything is converted
        if located.gguf is not None and located.adapter is None:
            return cls(located.gguf, context)
        from storyteller.generate.llama_file import llama_file

        return cls(llama_file(located), context)

    def feed(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """The logits of the id that follows `ids`; see `Engine.feed`. The array is llama.cpp's own memory."""
        library, ids = self._library, list(ids)
        kept = common_prefix(self._ids, ids)
        if kept < len(self._ids) and not library.memory_seq_rm(self._memory, 0, kept, -1):
            # A cache that cannot be cut back, as that of recurrent models, is filled anew.
            library.memory_clear(self._memory, True)
            kept = 0
        self._ids = ids[:kept]
        for start in range(kept, len(ids), CHUNK):
            piece = ids[start : start + CHUNK]
            tokens = (ctypes.c_int32 * len(piece))(*piece)  # a name of its own: the batch holds only its address
            if library.decode(self._context, library.batch_get_one(tokens, len(piece))):
                library.memory_clear(self._memory, True)
                self._ids = []
                raise GenerationError(f"llama.cpp cannot go on at position {start} ({library.last_error()}).")
            self._ids += piece
        pointer = library.get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(pointer, (self.vocabulary_size,))

    def batch(self, rows: int, context: int) -> LlamaBatch:
        """Read several sequences at once on the same weights; see `open_batch`."""
        return LlamaBatch(self._library, self._model, rows, context, self.vocabulary_size)

    def close(self) -> None:
        """Free the model and its cache."""
        if self._context:
            self._library.free(self._context)
        if self._model:
            self._library.model_free(self._model)
        self._context = self._model = None

    def __del__(self) -> None:
        if getattr(self, "_library", None) is not None:
            self.close()
