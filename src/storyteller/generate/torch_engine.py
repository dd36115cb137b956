"""The reference engine: any causal model of transformers, with a key-value cache that survives edits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from storyteller.generate.engine import common_prefix
from storyteller.generate.torch_batch import TorchBatch

if TYPE_CHECKING:
    from storyteller.models import Located

__all__ = ["TorchEngine"]


class TorchEngine:
    """Runs a transformers model in its own precision on its own device; see `Engine`."""

    name = "torch"

    def __init__(self, model: Any, context: int | None = None) -> None:
        """Take a loaded causal model; `context` is cut to the positions that the model was made for."""
        self._model = model.eval()
        positions = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 20
        self.context = min(context or positions, positions)
        self.vocabulary_size: int = model.get_output_embeddings().weight.shape[0]
        self._ids: list[int] = []
        self._cache: Any = None

    @classmethod
    def open(cls, located: Located, context: int | None = None) -> TorchEngine:
        """Load a located model in float32 with its adapter merged (on the first GPU in bfloat16, if there is one)."""
        from storyteller.models import load_model

        gpu = torch.cuda.is_available()
        # Never bfloat16 on a CPU: without its units a product is nine times slower than in float32.
        model = load_model(located, dtype="bfloat16" if gpu else "float32", merge=True)
        return cls(model.to("cuda") if gpu else model, context)

    @torch.inference_mode()
    def feed(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """The logits of the id that follows `ids`; see `Engine.feed`."""
        kept = self._keep(list(ids))
        device = self._model.device
        new = torch.tensor([self._ids[kept:]], device=device)
        output = self._model(
            input_ids=new,
            position_ids=torch.arange(kept, len(self._ids), device=device)[None],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache = output.past_key_values
        logits: NDArray[np.float32] = output.logits[0, -1].float().cpu().numpy()
        return logits

    def batch(self, rows: int, context: int) -> TorchBatch:
        """Read several sequences at once on the same weights; see `open_batch`."""
        return TorchBatch(self._model, rows, context)

    def close(self) -> None:
        """Forget the model and its cache."""
        self._model = self._cache = None
        self._ids = []

    def _keep(self, ids: list[int]) -> int:
        """Cut the cache to the prefix that it shares with `ids` and return that prefix's length."""
        from transformers import DynamicCache

        kept = common_prefix(self._ids, ids)
        if kept == 0 or self._cache is None:
            # Without the model's config every layer keeps all positions, also those with a sliding window,
            # which could not be cut back once the window has moved on.
            self._cache, kept = DynamicCache(), 0
        elif kept < len(self._ids):
            self._cache.crop(kept - len(self._ids))
        self._ids = ids
        return kept
