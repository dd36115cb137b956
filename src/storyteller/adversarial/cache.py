"""A key-value cache with room for the whole story from the start: a new token is written in place, not concatenated.

It grows until it is `fixed`: then each layer writes at the place that a tensor names and gives back all of its room, so that
every token's pass is the same operations on the same memory, as recording a GPU's work wants it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

__all__ = ["GrowingCache"]


class _Layer(DynamicLayer):  # type: ignore[misc]
    """Keys and values [rows, heads, room, width], of which the first `used` positions are filled."""

    is_initialized: bool

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room, self.used = room, 0
        self.place: Tensor | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        rows, heads, new, width = key_states.shape
        if not self.is_initialized:
            self.dtype, self.device = key_states.dtype, key_states.device
            self.keys = key_states.new_empty(rows, heads, self.room, width)
            self.values = value_states.new_empty(rows, heads, self.room, value_states.shape[-1])
            self.is_initialized = True
        if self.place is not None:
            self.keys.index_copy_(2, self.place, key_states)
            self.values.index_copy_(2, self.place, value_states)
            return self.keys, self.values
        end = self.used + new
        self.keys[:, :, self.used : end] = key_states
        self.values[:, :, self.used : end] = value_states
        self.used = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        return self.used

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.used + query_length, 0

    def move(self, rows: Tensor) -> None:
        """Let row i become what row `rows[i]` was."""
        old = self.keys, self.values
        self.keys, self.values = (each.new_empty(len(rows), *each.shape[1:]) for each in old)
        for new, each in zip((self.keys, self.values), old, strict=True):
            new[:, :, : self.used] = each[:, :, : self.used][rows]


class GrowingCache(DynamicCache):  # type: ignore[misc]
    """A transformers cache with room for `room` positions, whose rows can be repeated and dropped."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> Any:
        """See transformers: what the attention of a layer reads, after `key_states` and `value_states` were added."""
        while len(self.layers) <= layer_idx:
            self.layers.append(_Layer(self.room))
        return self.layers[layer_idx].update(key_states, value_states)

    def repeat(self, times: int) -> None:
        """Follow each row by `times - 1` copies."""
        rows = len(self.layers[0].keys)
        self.keep(torch.arange(rows, device=self.layers[0].keys.device).repeat_interleave(times))

    def keep(self, rows: Tensor) -> None:
        """Let row i become what row `rows[i]` was, and drop all others."""
        for layer in self.layers:
            layer.move(rows)

    def fix(self, place: Tensor | None) -> None:
        """From now on write at the position `place` [1] and show all of the room; None: grow again."""
        for layer in self.layers:
            layer.place = place
            if place is not None:
                # What is not filled yet is masked, but it is multiplied by 0, and 0 x inf is no number.
                layer.keys[:, :, layer.used :] = 0
                layer.values[:, :, layer.used :] = 0
