"""Attention over packed rows, segment by segment: no mask to read, and no product that a mask would throw away.

On two cores a masked product over a row of 768 tokens that holds two stories took 31 % of a training step; over the
segments alone it takes a quarter of that. On a GPU one masked call is faster than many small ones, so it is used there.

Where segments `share` the first one of their row, as several answers to one prompt do, each sees that one and its own past.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from storyteller.models.adapters.virtual import with_virtual_tokens

__all__ = ["SegmentBounds", "segment_bounds", "use_packed_attention"]

NAME = "storyteller_packed"
_SHORT = 384
"""Keys up to which `_ShortAttention` is the faster one."""

SegmentBounds = list[list[tuple[int, int]]]
"""For each row, the (start, end) of each of its segments; padding counts as one."""


def use_packed_attention(model: Any) -> bool:
    """Let `model` take `segments=` in its forward pass; False (and nothing changed) where it cannot."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if getattr(model.config.get_text_config(), "attn_logit_softcapping", None):
        return False  # Gemma 2 caps what these products keep to themselves
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    try:
        model.set_attn_implementation(NAME)
    except (ValueError, AttributeError):
        return False
    return bool(model.config._attn_implementation == NAME)


def segment_bounds(segment_ids: Tensor) -> SegmentBounds:
    """The runs of equal ids in each row of `segment_ids` [rows, context]."""
    bounds = []
    for row in segment_ids:
        _, lengths = torch.unique_consecutive(row, return_counts=True)
        ends = lengths.cumsum(0).tolist()
        bounds.append(list(zip([0, *ends[:-1]], ends, strict=True)))
    return bounds


def _attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    segments: SegmentBounds | None = None,
    shared: bool = False,
    **options: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: query [rows, heads, context, width] in, [rows, context, heads, width] out."""
    if segments is None:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        key, value, attention_mask = with_virtual_tokens(module, query, key, value, attention_mask)
        result: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
        return result
    both_ways = not getattr(module, "is_causal", True)  # a masked model; its layers say so
    rows = []
    # Neighbours of one layout, such as the full rows of pretraining, are one product.
    for bounds, alike in itertools.groupby(range(len(segments)), key=segments.__getitem__):
        together = list(alike)
        part = slice(together[0], together[-1] + 1)
        q, k, v = query[part], key[part], value[part]
        parts = []
        for start, end in bounds:
            own = slice(start, end)
            keys, values = k[:, :, own], v[:, :, own]
            if shared and start:
                first = slice(0, bounds[0][1])
                keys, values = torch.cat([k[:, :, first], keys], dim=2), torch.cat([v[:, :, first], values], dim=2)
            windowed = sliding_window is not None and not both_ways and keys.shape[2] > sliding_window
            mask = _visible(q[:, :, own], keys, sliding_window)[None, None] if windowed else None
            # Every segment has the virtual tokens, if there are any, and its own past, as far as the layer's window goes.
            keys, values, mask = with_virtual_tokens(module, q[:, :, own], keys, values, mask)
            if mask is None and not both_ways:
                parts.append(_causal(q[:, :, own], keys, values, scaling, dropout))
            else:
                grouped = key.shape[1] != query.shape[1]
                parts.append(
                    scaled_dot_product_attention(
                        q[:, :, own], keys, values, mask, dropout_p=dropout, scale=scaling, enable_gqa=grouped
                    )
                )
        rows.append(torch.cat(parts, dim=2))
    return torch.cat(rows).transpose(1, 2).contiguous(), None


def _causal(query: Tensor, key: Tensor, value: Tensor, scale: float | None, dropout: float) -> Tensor:
    """Attention in which the last query sees all keys, and each one before it one fewer."""
    if (
        query.dtype == torch.bfloat16 and query.device.type == "cpu" and query.requires_grad
        and key.shape[2] <= _SHORT and not dropout
    ):  # fmt: skip
        result: Tensor = _ShortAttention.apply(query, key, value, scale)  # type: ignore[no-untyped-call]
        return result
    return _product(query, key, value, scale, dropout)


def _product(query: Tensor, key: Tensor, value: Tensor, scale: float | None, dropout: float = 0.0) -> Tensor:
    alone = query.shape[2] == key.shape[2]
    return scaled_dot_product_attention(
        query, key, value, None if alone else _visible(query, key), dropout_p=dropout, is_causal=alone, scale=scale,
        enable_gqa=key.shape[1] != query.shape[1],
    )  # fmt: skip


def _visible(query: Tensor, key: Tensor, window: int | None = None) -> Tensor:
    """Which keys each query sees, [queries, keys]: itself and those before it, `window` in all."""
    new, total = query.shape[2], key.shape[2]
    seen = torch.ones(new, total, dtype=torch.bool, device=query.device).tril(total - new)
    return seen if window is None else seen.triu(total - new - window + 1)


class _ShortAttention(torch.autograd.Function):
    """`_product` with a backward pass by plain products.

    That of torch's own kernel is made for long texts: in bfloat16 on a processor it takes two to four times as long for a
    hundred tokens, as long for 512, and less beyond.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        result = _product(query, key, value, scale)
        ctx.save_for_backward(query, key, value, result)
        ctx.scale = query.shape[-1] ** -0.5 if scale is None else scale
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, result = ctx.saved_tensors
        (by_result,) = gradients
        rows, heads, new, width = query.shape
        shared, total = key.shape[1], key.shape[2]  # heads that share their keys are one head with more queries

        def joined(tensor: Tensor) -> Tensor:
            return tensor.reshape(rows * shared, -1, width)

        q, k, v, g = joined(query * ctx.scale), joined(key), joined(value), joined(by_result)
        scores = (q @ k.mT).view(rows, heads, new, total)
        share = scores.masked_fill_(~_visible(query, key), -torch.inf).softmax(-1).view(rows * shared, -1, total)
        drop = (by_result * result).sum(-1, dtype=torch.float32).to(share.dtype).view(rows * shared, -1, 1)
        slope = (g @ v.mT).sub_(drop).mul_(share)
        return (
            (slope @ k).mul_(ctx.scale).view_as(query), (slope.mT @ q).view_as(key), (share.mT @ g).view_as(value), None
        )  # fmt: skip
