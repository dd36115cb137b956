"""Several adapters at once over one base: each row of a batch goes through an adapter of its own."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from storyteller.errors import ModelError
from storyteller.models.adapters.factors import Factors

if TYPE_CHECKING:
    from transformers.pytorch_utils import Conv1D

__all__ = ["AdapterRows"]


#: Rows up to which a product may go another way than `x W^T`.
FEW = 16


class AdapterRows:
    """Lays the factors of K adapters over a model, so that row k of a batch of K is read with adapter k.

    One pass over the base's weights serves all rows, which is what a small batch costs on any machine; the deltas add
    rank / width of that each (Sheng et al. 2023, "S-LoRA", arXiv 2311.03285). An empty dictionary is the base itself.
    """

    def __init__(self, model: Any, adapters: Sequence[Factors]) -> None:
        """Change `model` in place; raises `ModelError` when an adapter does not fit its layers."""
        self.model, self.size = model, len(adapters)
        self._layers: list[_RowLinear] = []
        for name in sorted({name for factors in adapters for name in factors}):
            try:
                linear = model.get_submodule(name)
                layer = _RowLinear(linear, [factors.get(name) for factors in adapters])
            except (AttributeError, RuntimeError) as error:
                raise ModelError(
                    f"an adapter does not fit the base at {name} ({error}); is it of another base?"
                ) from None
            parent, _, own = name.rpartition(".")
            setattr(model.get_submodule(parent), own, layer)
            self._layers.append(layer)
        model.set_output_embeddings(_Head(model.get_output_embeddings()))

    def use(self, rows: slice | list[int]) -> None:
        """Let the rows of the next batch be these of the adapters; of n times as many rows, the first n the first one."""
        for layer in self._layers:
            layer.rows = rows


class _RowLinear(nn.Module):
    """`linear(x)[k] + x[k] @ down[k] @ up[k]`; shapes: x `[K * n, tokens, in]`, down `[K, r, in]`, up `[K, r, out]`."""

    def __init__(self, linear: nn.Linear | Conv1D, factors: Sequence[tuple[Tensor, Tensor] | None]) -> None:
        super().__init__()
        self.linear = linear
        self.rows: slice | list[int] = slice(None)
        known = [pair for pair in factors if pair is not None]
        rank = max(down.shape[0] for down, _ in known)
        inner, outer = known[0][0].shape[1], known[0][1].shape[0]
        like: dict[str, Any] = {"dtype": linear.weight.dtype, "device": linear.weight.device}
        # A lower rank, or none at all, is filled up with zeros.
        self.down = torch.zeros(len(factors), rank, inner, **like)
        self.up = torch.zeros(len(factors), rank, outer, **like)
        for row, pair in enumerate(factors):
            if pair is not None:
                self.down[row, : pair[0].shape[0]] = pair[0]
                self.up[row, : pair[0].shape[0]] = pair[1].T
        linear(torch.zeros(1, inner, **like)).expand(1, outer)

    def forward(self, x: Tensor) -> Tensor:
        down, up = self.down[self.rows], self.up[self.rows]
        # Several rows of one adapter are one longer row to it: no factor is copied for them.
        inner = torch.bmm(x.reshape(len(down), -1, x.shape[-1]), down.transpose(1, 2))
        product = _product(self.linear, x)
        return torch.baddbmm(product.reshape(len(up), -1, product.shape[-1]), inner, up).reshape(product.shape)


class _Head(nn.Module):
    """The output layer, with the product of few rows in the way that is fastest."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    @property
    def weight(self) -> Tensor:
        """The output layer's weights, which may be the embedding's."""
        return self.linear.weight

    def forward(self, x: Tensor) -> Tensor:
        return _product(self.linear, x)


def _product(linear: Any, x: Tensor) -> Tensor:
    """`linear(x)`; for a few rows on a CPU in the way that is fastest on this machine."""
    rows = x.numel() // x.shape[-1]
    few = 1 < rows <= FEW and x.device.type == "cpu" and isinstance(linear, nn.Linear)
    if not few or (way := best_way()) == "plain":
        product: Tensor = linear(x)
        return product
    turned = WAYS[way](linear.weight, x.reshape(rows, -1)).reshape(*x.shape[:-1], -1)
    return turned if linear.bias is None else turned + linear.bias


def _turned(weight: Tensor, x: Tensor) -> Tensor:
    return (weight @ x.T).T


def _padded(weight: Tensor, x: Tensor) -> Tensor:
    """`_turned`, three rows as four: vectors have room for as many, and what is odd goes another, slower way."""
    if len(x) != 3:
        return _turned(weight, x)
    wide = x.new_zeros(4, x.shape[1])
    wide[:3] = x
    return (weight @ wide.T)[:, :3].T


WAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "plain": lambda weight, x: x @ weight.T, "turned": _turned, "padded": _padded,
}  # fmt: skip
"""How `x W^T` can be had of a weight [outer, inner] and rows [rows, inner]."""


@functools.cache
def best_way() -> str:
    """Which of `WAYS` is fastest here for three rows; measured once, in a tenth of a second.

    Of `x W^T` at 3 rows some libraries make a product for many rows: SmolLM2's output layer took 38 ms so and 8 ms turned
    round on an AMD EPYC (Zen 4), but 13 ms so and 29 ms turned round on an Intel Xeon with AMX. The weights are more than a
    processor's cache holds, since those of a model are read from memory for each token, which is what takes the time.
    """
    weights, x = [torch.ones(1536, 576) for _ in range(16)], torch.ones(3, 576)

    def seconds(way: str) -> float:
        times = []
        for _ in range(4):  # the least of them, since a busy machine only adds
            started = time.perf_counter()
            for weight in weights:
                WAYS[way](weight, x)
            times.append(time.perf_counter() - started)
        return min(times)

    with torch.inference_mode():
        return min(WAYS, key=seconds)
