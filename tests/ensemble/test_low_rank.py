from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from storyteller.ensemble.low_rank import Pair, compress, compress_dense, inner, join


def pair(seed: int, rank: int, out: int = 40, into: int = 30) -> Pair:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rank, into, generator=generator), torch.randn(out, rank, generator=generator)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 99))
def test_joined_factors_are_the_sum_and_their_inner_product_needs_no_delta(seed: int) -> None:
    first, second = pair(seed, 3), pair(seed + 1, 5)
    down, up = join([first, second], (0.25, -2.0))
    expected = 0.25 * first[1] @ first[0] - 2 * second[1] @ second[0]
    torch.testing.assert_close(up @ down, expected, rtol=1e-4, atol=1e-4)
    product = ((first[1] @ first[0]) * (second[1] @ second[0])).sum()
    assert inner(first, second) == pytest.approx(float(product), rel=1e-3, abs=1e-2)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 99), st.integers(1, 12))
def test_both_ways_of_compressing_lose_what_the_singular_values_say(seed: int, rank: int) -> None:
    down, up = pair(seed, 8)
    delta = up @ down
    values = torch.linalg.svdvals(delta.double())
    lost = float(values[rank:].square().sum())
    for (small_down, small_up), energy, gone in (compress((down, up), rank), compress_dense(delta, rank)):
        assert small_down.shape == (rank, 30)
        assert small_up.shape == (40, rank)
        assert energy == pytest.approx(float(delta.square().sum()), rel=1e-4)
        assert gone == pytest.approx(lost, rel=1e-3, abs=1e-3 * energy)
        error = float((small_up @ small_down - delta).double().square().sum())
        assert error == pytest.approx(lost, rel=1e-2, abs=1e-4 * energy)


def test_a_large_delta_of_full_rank_is_cut_nearly_as_well_as_can_be() -> None:
    delta = torch.randn(300, 200, generator=torch.Generator().manual_seed(0))  # a flat spectrum, the hardest
    best = float(torch.linalg.svdvals(delta.double())[16:].square().sum())
    for matrix in (delta, delta.T):
        (down, up), _, lost = compress_dense(matrix, 16)
        assert lost == pytest.approx(float((up @ down - matrix).double().square().sum()), rel=1e-4)
        assert best <= lost * 1.0001
        assert lost < best * 1.01
