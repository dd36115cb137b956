"""Attention by segments: what each position sees, and a backward pass of our own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from storyteller.train import attention

Function = Any


def tensors(rows: int, heads: int, shared: int, new: int, total: int, seed: int = 1) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    shapes = ((rows, heads, new, 8), (rows, shared, total, 8), (rows, shared, total, 8))
    return [torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes]


def gradients(function: Function, values: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    own = [value.to(dtype).requires_grad_() for value in values]
    result = function(*own)
    weight = torch.randn(result.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype)
    return [result, *torch.autograd.grad((result * weight).sum(), own)]


@settings(max_examples=30)
@given(
    st.integers(1, 3), st.sampled_from([(2, 1), (3, 1), (6, 2), (4, 4)]), st.integers(1, 20), st.integers(0, 20),
    st.sampled_from([None, 0.3]),
)  # fmt: skip
def test_the_backward_pass_by_products_is_the_kernels(
    rows: int, heads: tuple[int, int], new: int, before: int, scale: float | None
) -> None:
    values = tensors(rows, *heads, new, new + before)
    visible = torch.ones(new, new + before, dtype=torch.bool).tril(before)

    def kernel(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return scaled_dot_product_attention(query, key, value, visible, scale=scale, enable_gqa=True)

    def ours(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        result: Tensor = attention._ShortAttention.apply(query, key, value, scale)  # type: ignore[no-untyped-call]
        return result

    for own, other in zip(
        gradients(ours, values, torch.float32), gradients(kernel, values, torch.float64), strict=True
    ):
        assert torch.allclose(own.double(), other, atol=1e-4)


@pytest.mark.parametrize("length", [attention._SHORT, attention._SHORT + 1])
def test_bfloat16_is_right_to_a_hundredth(length: int) -> None:
    """On both sides of the length at which the backward pass changes."""

    def ours(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return attention._causal(query, key, value, None, 0.0)

    values = [value.bfloat16().double() for value in tensors(1, 2, 1, length, length)]
    expected, found = gradients(ours, values, torch.float64), gradients(ours, values, torch.bfloat16)
    for right, own in zip(expected, found, strict=True):
        assert (own.double() - right).norm() < 0.01 * right.norm()


def test_segments_that_share_see_the_first_one_and_their_own_past() -> None:
    query, key, value = tensors(2, 4, 2, 12, 12)
    segments = torch.tensor([[1] * 4 + [2] * 3 + [3] * 5, [1] * 2 + [2] * 8 + [0] * 2])
    seen = (segments.unsqueeze(2).eq(segments.unsqueeze(1)) | segments.eq(1).unsqueeze(1)).tril().unsqueeze(1)
    expected = scaled_dot_product_attention(query, key, value, seen, enable_gqa=True).transpose(1, 2)
    bounds = attention.segment_bounds(segments)
    module = SimpleNamespace(is_causal=True)
    found, _ = attention._attention(module, query, key, value, None, segments=bounds, shared=True)
    real = segments != 0
    assert torch.allclose(found[real], expected[real])
    apart, _ = attention._attention(module, query, key, value, None, segments=bounds)
    assert not torch.allclose(apart[real], expected[real])
