"""Many sequences at once in a transformers model: each row keeps its own positions, so that none waits for another."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.cache_utils import Cache, DynamicLayer

from storyteller.generate.engine import common_prefix

__all__ = ["TorchBatch", "apart", "layer_masks"]

#: Ids, padding included, that one pass reads of new prompts.
CHUNK = 4096


class TorchBatch:
    """A cache of `rows` rows over a loaded causal model, on its device and in its precision; see `BatchEngine`.

    A row's keys and values lie at the positions of its ids, whatever the others do: no left padding, and a row that is
    cut back or begun anew costs nothing. The model may be one that is being trained; call `forget` after a change of its
    weights.
    """

    name = "torch"

    def __init__(self, model: Any, rows: int, context: int) -> None:
        """Make a cache for `rows` sequences of `context` positions each; it takes memory when it is first used."""
        self._model, self.rows, self.context = model, rows, context
        self.vocabulary_size: int = model.get_output_embeddings().weight.shape[0]
        self._ids: dict[int, list[int]] = {row: [] for row in range(rows)}
        self._place = _Place(rows, context)
        self._cache: Any = Cache(layer_class_to_replicate=functools.partial(_RowLayer, self._place))

    def feed_many(self, sequences: Mapping[int, Sequence[int]]) -> Sequence[NDArray[np.float32]]:
        """The logits after each sequence; see `BatchEngine.feed_many`."""
        return list(self.feed_tensor(sequences).float().cpu().numpy())

    @torch.inference_mode()
    def feed_tensor(self, sequences: Mapping[int, Sequence[int]]) -> torch.Tensor:
        """The logits `[sequences, vocabulary]` of `feed_many`, on the model's device and in its precision."""
        given = {row: list(ids) for row, ids in sequences.items()}
        kept = {row: common_prefix(self._ids[row], ids) for row, ids in given.items()}
        self._ids |= {row: ids[: kept[row]] for row, ids in given.items()}  # what is left if a pass fails
        # All but the last id of what is new is read first, padded; then every row reads its last one, without padding.
        new = sorted((len(ids) - 1 - kept[row], row) for row, ids in given.items() if len(ids) - 1 > kept[row])
        while new:
            longest = new[-1][0]
            several = max(1, CHUNK // longest)
            group, new = sorted(row for _, row in new[-several:]), new[:-several]
            pads = {row: [0] * (longest - len(given[row]) + 1 + kept[row]) for row in group}
            self._read(
                group,
                [given[row][kept[row] : -1] + pads[row] for row in group],
                [[*range(kept[row], len(given[row]) - 1), *(self.context for _ in pads[row])] for row in group],
            )
        rows = sorted(given)
        logits = self._read(rows, [given[row][-1:] for row in rows], [[len(given[row]) - 1] for row in rows])
        self._ids |= given
        if rows == list(sequences):
            return logits
        place = {row: number for number, row in enumerate(rows)}
        return logits[[place[row] for row in sequences]]

    def forget(self) -> None:
        """Forget what was read, because the weights have changed."""
        self._ids = {row: [] for row in range(self.rows)}

    def close(self) -> None:
        """Free the cache."""
        self._cache = self._model = None

    def _read(self, rows: list[int], ids: list[list[int]], positions: list[list[int]]) -> torch.Tensor:
        """Read `ids` [rows, new] at their `positions`, where `context` means padding: the logits [rows, vocabulary]."""
        device = self._model.device
        places = torch.tensor(positions, device=device)
        padding = places == self.context
        length = int(places.masked_fill(padding, 0).max()) + 1
        self._place.aim(rows, places, length)
        apart = places[:, None, :, None] - torch.arange(length, device=device)
        output = self._model(
            input_ids=torch.tensor(ids, device=device),
            position_ids=places.masked_fill(padding, 0),
            attention_mask=layer_masks(self._model.config, apart >= 0, apart),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits


def layer_masks(config: Any, visible: torch.Tensor, apart: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
    """What to give a model as its attention mask, so that layers with a sliding window keep to it.

    `visible` [rows, 1, queries, keys] says which positions may be seen, `apart` of the same shape how far back they are.
    """
    config = config.get_text_config()
    window, kinds = getattr(config, "sliding_window", None), getattr(config, "layer_types", None) or ()
    if not window or (kinds and "sliding_attention" not in kinds):
        return visible
    near = visible & (apart < window)
    return {"full_attention": visible, "sliding_attention": near} if kinds else near


def apart(places: torch.Tensor) -> torch.Tensor:
    """How far back each position of a row is seen from each other, [rows, 1, queries, keys], from `places` [rows, length]."""
    return (places.unsqueeze(2) - places.unsqueeze(1)).unsqueeze(1)


@dataclass
class _Place:
    """Where the next pass writes, the same for all layers: its rows, the position of each new id, the length read."""

    most_rows: int
    context: int
    rows: Any = None
    at: Any = None
    length: int = 0

    def aim(self, rows: list[int], at: torch.Tensor, length: int) -> None:
        """Set the next pass; the first rows, all together, are a view and need no copy."""
        first = rows == list(range(len(rows)))
        self.rows = slice(len(rows)) if first else torch.tensor(rows, device=at.device)
        self.at = (torch.tensor(rows, device=at.device)[:, None], at)
        self.length = length


class _RowLayer(DynamicLayer):  # type: ignore[misc]
    """The keys and values of one layer: [rows, heads, context + 1, size]; the last position takes the padding."""

    def __init__(self, place: _Place) -> None:
        super().__init__()
        self._place = place

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the new keys and values, and return those of the rows at hand."""
        place = self._place
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            # Zeros, because a weight of zero times what memory held before may be no number.
            self.keys, self.values = (
                states.new_zeros((place.most_rows, states.shape[1], place.context + 1, states.shape[3]))
                for states in (key_states, value_states)
            )
        rows, at = place.at
        self.keys[rows, :, at] = key_states.transpose(1, 2)
        self.values[rows, :, at] = value_states.transpose(1, 2)
        return self.keys[place.rows, :, : place.length], self.values[place.rows, :, : place.length]

    def get_seq_length(self) -> int:
        """The positions that the last pass read."""
        return self._place.length
