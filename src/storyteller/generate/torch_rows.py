"""Several adapters of one base in torch: a batch with a row for each member, one pass over the base for all.

`TorchRows` reads one sequence with every member, `TorchRowsBatch` several, each with the members that have a say in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from storyteller.generate.engine import DEFAULT_CONTEXT, BatchEngine, common_prefix
from storyteller.generate.torch_batch import TorchBatch
from storyteller.models.adapters.rows import AdapterRows

if TYPE_CHECKING:
    from storyteller.models import Located

__all__ = ["TorchRows", "TorchRowsBatch", "open_rows"]


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

    def batch(self, rows: int, context: int) -> TorchRowsBatch:
        """Several sequences at once, each with all of these members; see `GroupBatch`."""
        return TorchRowsBatch(self._adapters, range(self._adapters.size)[self._rows], rows, min(context, self.context))

    def alone(self, places: Sequence[int], context: int) -> BatchEngine:
        """A batch whose row r is read with the member at `places[r]` alone; see `Apart`."""
        members = range(self._adapters.size)[self._rows]
        return _Wearing(self._adapters, [members[place] for place in places], min(context, self.context))

    def close(self) -> None:
        """Forget the model and its cache."""
        self._model = self._cache = None
        self._ids = []


class TorchRowsBatch:
    """`rows` sequences, each read with every member that has a say: their product is one batch; see `GroupBatch`.

    Row r of the member at place p is row `p * rows + r` of the batch, so that an adapter's rows lie side by side.
    """

    def __init__(self, adapters: AdapterRows, members: Sequence[int], rows: int, context: int) -> None:
        """Take the model with its adapters laid over it; `members` are the adapters that this batch reads with."""
        self.rows, self.context = rows, context
        self._members = members
        self._batch = _Wearing(adapters, [member for member in members for _ in range(rows)], context)

    def feed_many(self, sequences: Mapping[int, Sequence[int]], places: Sequence[int]) -> list[NDArray[np.float32]]:
        """The logits `[members, vocabulary]` after each sequence; rows of members that are not at `places` are zero."""
        read = self.feed_tensors(sequences, places).float().cpu().numpy()
        found = np.zeros((len(sequences), len(self._members), self._batch.vocabulary_size), np.float32)
        found[:, list(places)] = read.swapaxes(0, 1)
        return list(found)

    def feed_tensors(self, sequences: Mapping[int, Sequence[int]], places: Sequence[int]) -> torch.Tensor:
        """The logits `[places, sequences, vocabulary]` of the members at `places`, on the model's device."""
        wide = {place * self.rows + row: ids for place in places for row, ids in sequences.items()}
        return self._batch.feed_tensor(wide).reshape(len(places), len(sequences), -1)

    def close(self) -> None:
        """Free the cache."""
        self._batch.close()


class _Wearing(TorchBatch):
    """A batch over a model whose row r wears the adapter `worn[r]`."""

    def __init__(self, adapters: AdapterRows, worn: Sequence[int], context: int) -> None:
        super().__init__(adapters.model.eval(), len(worn), context)
        self._adapters, self._worn = adapters, worn

    def _read(self, rows: list[int], ids: list[list[int]], positions: list[list[int]]) -> torch.Tensor:
        worn = [self._worn[row] for row in rows]
        once = list(dict.fromkeys(worn))
        # As many rows of each adapter, side by side, as in nearly every pass: then none of its factors is copied.
        alike = worn == [one for one in once for _ in range(len(worn) // len(once))]
        self._adapters.use(once if alike else worn)
        return super()._read(rows, ids, positions)


def open_rows(members: Sequence[Located], context: int | None = None, *, apart: bool = False) -> list[TorchRows]:
    """One group of all members of one base, or with `apart` the first member and then the others.

    In float32 on the CPU, in bfloat16 on the first GPU. Raises `ModelError` when an adapter does not fit.
    """
    from storyteller.models import load_model
    from storyteller.models.adapters.factors import read_factors
    from storyteller.models.load import on_gpu

    base = on_gpu(load_model(_bare(members[0]), dtype="bfloat16" if torch.cuda.is_available() else "float32"))
    factors = [read_factors(member.adapter) if member.adapter else {} for member in members]
    adapters = AdapterRows(base, factors)
    slices = [slice(0, 1), slice(1, None)] if apart and len(members) > 1 else [slice(None)]
    return [TorchRows(adapters, rows, context or DEFAULT_CONTEXT) for rows in slices]


def _bare(located: Located) -> Located:
    import dataclasses

    return dataclasses.replace(located, adapter=None)
