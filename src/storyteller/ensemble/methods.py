"""Merging in weight space: one method, one pure function on tensors.

Each takes one tensor of every member (of whole models the weights, of adapters or with a base the deltas: what
fine-tuning changed) and gives the merged one, of the same shape. Sums are in the tensors' own precision: give float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["dare", "drop", "linear", "slerp", "slerp_weights", "task_arithmetic", "ties", "trim"]

#: Entries that `ties` merges at once, 4 MB of each delta.
PIECE = 1 << 20


def linear(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The weighted mean (Wortsman et al. 2022, "Model soups", arXiv 2203.05482)."""
    merged = tensors[0] * weights[0]
    for tensor, weight in zip(tensors[1:], weights[1:], strict=True):
        merged.add_(tensor, alpha=weight)
    return merged


def slerp(tensors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The point at `weights[1]` of the way along the arc from the first tensor to the second (Shoemake 1985).

    Unlike the mean it keeps the size: the norm runs linearly from one to the other. WARP merges policies so (Ramé et
    al. 2024, arXiv 2406.16768).
    """
    first, second = (tensor.flatten() for tensor in tensors)
    along = slerp_weights(float(first.norm()), float(second.norm()), float(first @ second), weights[1])
    return linear(tensors, along)


def slerp_weights(first: float, second: float, inner: float, share: float) -> tuple[float, float]:
    """The weights that `slerp` gives two tensors of these norms and this inner product.

    Tensors that lie on one line, or of which one is zero, are averaged: there is no arc between them.
    """
    cosine = inner / (first * second) if first * second else 1.0
    angle = math.acos(min(1.0, max(-1.0, cosine)))
    if math.sin(angle) < 1e-4:
        return 1 - share, share
    size = (1 - share) * first + share * second
    return (
        math.sin((1 - share) * angle) / math.sin(angle) * size / first,
        math.sin(share * angle) / math.sin(angle) * size / second,
    )


def task_arithmetic(deltas: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The weighted sum of deltas; the weights are free, and negative ones unlearn (Ilharco et al. 2023, arXiv 2212.04089)."""
    return linear(deltas, weights)


def ties(deltas: Sequence[Tensor], weights: Sequence[float], density: float = 0.5) -> Tensor:
    """Trim, elect a sign, merge those that agree (Yadav et al. 2023, "TIES-Merging", arXiv 2306.01708).

    Of each delta the `density` largest entries are kept; of each entry the sign with the larger weighted sum is taken,
    and the weighted mean is over the members that have it.
    """
    least = [_least(delta, density) for delta in deltas]
    merged = deltas[0].new_empty(deltas[0].shape)
    # Piece by piece: what is made on the way takes no memory beside the deltas and the result.
    for piece, *parts in zip(*(torch.split(tensor.flatten(), PIECE) for tensor in (merged, *deltas)), strict=True):
        kept = [part.masked_fill(part.abs() < size, 0) for part, size in zip(parts, least, strict=True)]
        elected = linear(kept, weights).sign()
        agreeing = [part.masked_fill(part.sign() != elected, 0) for part in kept]
        total = linear([(part != 0).to(part.dtype) for part in agreeing], weights)
        torch.div(linear(agreeing, weights), total.where(total > 0, 1), out=piece)
    return merged


def dare(deltas: Sequence[Tensor], weights: Sequence[float], density: float = 0.5, seed: int = 0) -> Tensor:
    """Drop entries at random, scale the rest up, add (Yu et al. 2024, "DARE", arXiv 2311.03099).

    Each entry of each delta stays with probability `density`, divided by it, so that the expectation is that of
    `task_arithmetic`. The same seed drops the same entries, on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    merged = torch.zeros_like(deltas[0])
    for delta, weight in zip(deltas, weights, strict=True):
        merged.add_(drop(delta, density, generator), alpha=weight)
    return merged


def trim(delta: Tensor, density: float) -> Tensor:
    """The delta with all but the `density` share of its entries that are largest in size set to 0; equal ones all stay.

    Members in bfloat16 differ by few sizes, so many are equal: without them a trimmed delta could be empty.
    """
    return delta.masked_fill(delta.abs() < _least(delta, density), 0)


def _least(delta: Tensor, density: float) -> float:
    """The size from which on an entry is among the `density` share of the largest."""
    place = delta.numel() - max(1, round(density * delta.numel()))
    if place == 0:
        return 0.0
    # A selection, not a sort: of 900,000 entries it takes a tenth of the time of topk.
    sizes = delta.abs().flatten()
    if sizes.is_cuda:
        return float(sizes.kthvalue(place + 1).values)
    # In numpy it is done in place, where torch keeps a copy and an index of eight bytes for every entry.
    entries = sizes.numpy()
    entries.partition(place)
    return float(entries[place])


def drop(delta: Tensor, density: float, generator: torch.Generator) -> Tensor:
    """The delta with a random `1 - density` of its entries set to 0 and the others divided by `density`."""
    # Drawn on the CPU, for a GPU's generator gives other numbers: a search there is to find what is merged here.
    dropped = torch.rand(delta.shape, generator=generator) >= density
    return delta.masked_fill(dropped.to(delta.device), 0).div_(density)
