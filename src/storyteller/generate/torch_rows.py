"""Several adapters of one base in torch: a batch with a row for each member, one pass over the base for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from storyteller.generate.engine import DEFAULT_CONTEXT, common_prefix
from storyteller.models.adapters.rows import AdapterRows

if TYPE_CHECKING:
    from storyteller.models import Located

__all__ = ["TorchRows", "open_rows"]


class TorchRows:
    """Some of the rows of `AdapterRows`, with a cache of their own; see `Group`."""

    name = "torch"

    def __init__(self, adapters: AdapterRows, rows: slice = slice(None), context: int | None = None) -> None:
        """Take the model with its adapters laid over it; `rows` are the members that this group reads with."""
        self._adapters, self._rows = adapters, rows
        self._model: Any = adapters.model.eval()
        self.size = len(range(adapters.size)[rows])
        positions = getattr(self._model.config.get_text_config(), "max_position_embeddings", None) or 1 << 20
        self.context = min(context or positions, positions)
        self.vocabulary_size: int = self._model.get_output_embeddings().weight.shape[0]
        self._ids: list[int] = []
        self._cache: Any = None

    @torch.inference_mode()
    def feed(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """The logits `[members, vocabulary]` of the id that follows `ids`; see `Engine.feed`."""
        from transformers import DynamicCache

        ids = list(ids)
        kept = common_prefix(self._ids, ids)
        if kept == 0 or self._cache is None:
            # Without the model's config every layer keeps all positions; see `TorchEngine`.
            self._cache, kept = DynamicCache(), 0
        elif kept < len(self._ids):
            self._cache.crop(kept - len(self._ids))
        self._ids = ids
        self._adapters.use(self._rows)
        device = self._model.device
        new = torch.tensor([ids[kept:]], device=device)
        output = self._model(
            input_ids=new.expand(self.size, -1),
            position_ids=torch.arange(kept, len(ids), device=device)[None],
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache = output.past_key_values
        logits: NDArray[np.float32] = output.logits[:, -1].float().cpu().numpy()
        return logits

    def close(self) -> None:
        """Forget the model and its cache."""
        self._model = self._cache = None
        self._ids = []


def open_rows(members: Sequence[Located], context: int | None = None, *, apart: bool = False) -> list[TorchRows]:
    """One group of all members of one base, or with `apart` the first member and then the others.

    In float32 on the CPU, in bfloat16 on the first GPU. Raises `ModelError` when an adapter does not fit.
    """
    from storyteller.models import load_model
    from storyteller.models.adapters.factors import read_factors

    gpu = torch.cuda.is_available()
    base = load_model(_bare(members[0]), dtype="bfloat16" if gpu else "float32")
    factors = [read_factors(member.adapter) if member.adapter else {} for member in members]
    adapters = AdapterRows(base.to("cuda") if gpu else base, factors)
    slices = [slice(0, 1), slice(1, None)] if apart and len(members) > 1 else [slice(None)]
    return [TorchRows(adapters, rows, context or DEFAULT_CONTEXT) for rows in slices]


def _bare(located: Located) -> Located:
    import dataclasses

    return dataclasses.replace(located, adapter=None)
