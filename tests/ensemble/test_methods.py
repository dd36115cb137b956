from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from storyteller.ensemble import methods
from storyteller.ensemble.methods import dare, linear, slerp, task_arithmetic, ties, trim


def tensor(seed: int, *shape: int) -> Tensor:
    return torch.randn(*(shape or (6, 5)), generator=torch.Generator().manual_seed(seed))


seeds = st.integers(0, 1000)


@settings(deadline=None, max_examples=30)
@given(seeds)
def test_merging_equal_tensors_gives_them_back(seed: int) -> None:
    one = tensor(seed)
    torch.testing.assert_close(linear([one, one, one], (0.2, 0.3, 0.5)), one)
    torch.testing.assert_close(slerp([one, one], (0.4, 0.6)), one)
    torch.testing.assert_close(task_arithmetic([one, one], (0.5, 0.5)), one)
    torch.testing.assert_close(ties([one, one], (0.3, 0.7), density=1), one)
    torch.testing.assert_close(dare([one, one], (0.5, 0.5), density=1), one)


@settings(deadline=None, max_examples=30)
@given(seeds)
def test_all_the_weight_on_the_first_gives_the_first(seed: int) -> None:
    pair = [tensor(seed), tensor(seed + 1)]
    for merged in (
        linear(pair, (1, 0)),
        slerp(pair, (1, 0)),
        task_arithmetic(pair, (1, 0)),
        ties(pair, (1, 0), density=1),
        dare(pair, (1, 0), density=1),
    ):
        torch.testing.assert_close(merged, pair[0])


@settings(deadline=None, max_examples=30)
@given(seeds, st.floats(0, 1))
def test_the_norm_of_slerp_runs_from_one_to_the_other(seed: int, share: float) -> None:
    first, second = tensor(seed), 3 * tensor(seed + 1)
    expected = (1 - share) * first.norm() + share * second.norm()
    torch.testing.assert_close(slerp([first, second], (1 - share, share)).norm(), expected, rtol=1e-4, atol=1e-5)


def test_slerp_by_hand_goes_along_the_arc_and_along_the_line_where_there_is_none() -> None:
    merged = slerp([torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])], (0.5, 0.5))
    torch.testing.assert_close(merged, torch.tensor([0.5**0.5, 0.5**0.5]))
    torch.testing.assert_close(slerp([torch.zeros(2), torch.ones(2)], (0.5, 0.5)), torch.full((2,), 0.5))
    opposite = slerp([torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 0.0])], (0.75, 0.25))
    torch.testing.assert_close(opposite, torch.tensor([0.5, 0.0]))


def test_ties_by_hand() -> None:
    deltas = [torch.tensor([3.0, -2.0, 0.1, 4.0]), torch.tensor([1.0, 5.0, 0.2, -1.0])]
    torch.testing.assert_close(trim(deltas[0], 0.5), torch.tensor([3.0, 0.0, 0.0, 4.0]))
    torch.testing.assert_close(trim(torch.tensor([1.0, -3.0, 2.0]), 2 / 3), torch.tensor([0.0, -3.0, 2.0]))
    # All kept: signs +, + (5 against 2), +, + (4 against 1); the mean of those that have it.
    torch.testing.assert_close(ties(deltas, (0.5, 0.5), density=1), torch.tensor([2.0, 5.0, 0.15, 4.0]))
    # The weights elect, too: 0.1 * 3 + 0.9 * -2 is negative.
    elected = ties([torch.tensor([3.0]), torch.tensor([-2.0])], (0.1, 0.9), density=1)
    torch.testing.assert_close(elected, torch.tensor([-2.0]))


def test_ties_by_pieces_is_ties_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    deltas = [tensor(0, 7, 9), tensor(1, 9, 7).T, tensor(2, 7, 9)]
    whole = ties(deltas, (0.5, 0.3, 0.2), density=0.4)
    monkeypatch.setattr(methods, "PIECE", 10)
    torch.testing.assert_close(ties(deltas, (0.5, 0.3, 0.2), density=0.4), whole)


def memory(name: str) -> int:
    """The bytes of a line of this process's status: `VmRSS` now, `VmHWM` at most since the last reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="the peak of memory is read as Linux tells it"
)
@pytest.mark.parametrize("method", [ties, dare])
def test_beside_the_deltas_memory_holds_two_more_tensors(method: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "PIECE", 1 << 16)
    # Of 36 MB each: what is over 32 MB goes back to the system as soon as it is freed.
    deltas = [tensor(seed, 3000, 3000) for seed in range(3)]
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    method(deltas, (0.5, 0.3, 0.2), density=0.5)  # type: ignore[operator]
    taken = (memory("VmHWM") - before) / (4 * deltas[0].numel())
    assert taken < 3


@settings(deadline=None, max_examples=30)
@given(seeds, st.sampled_from([0.1, 0.25, 0.5, 0.9]))
def test_trim_keeps_the_largest(seed: int, density: float) -> None:
    delta = tensor(seed, 20, 10)
    kept = trim(delta, density)
    assert int((kept != 0).sum()) == round(density * 200)
    assert kept[kept != 0].abs().min() >= delta[kept == 0].abs().max()


def test_trim_keeps_entries_of_equal_size() -> None:
    delta = torch.tensor([1.0, -1.0, 1.0, -1.0])
    torch.testing.assert_close(trim(delta, 0.5), delta)
    torch.testing.assert_close(ties([delta, delta], (0.5, 0.5), density=0.25), delta)
    torch.testing.assert_close(trim(torch.tensor([1.0, 2.0, -2.0, 3.0]), 0.5), torch.tensor([0.0, 2.0, -2.0, 3.0]))
    torch.testing.assert_close(trim(torch.tensor([0.0, 0.0, -2.0, 3.0]), 0.01), torch.tensor([0.0, 0.0, 0.0, 3.0]))


def test_dare_is_unbiased_and_its_seed_decides() -> None:
    delta = torch.full((200, 200), 2.0)
    merged = dare([delta, -delta], (1.0, 0.25), density=0.3, seed=1)
    # 40,000 entries of mean 1.5 and variance (2^2 + 0.5^2) * 0.7 / 0.3: a standard error of 0.016.
    assert float(merged.mean()) == pytest.approx(1.5, abs=0.06)
    assert float((dare([delta], (1.0,), density=0.3) != 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    torch.testing.assert_close(merged, dare([delta, -delta], (1.0, 0.25), density=0.3, seed=1))
    assert not torch.equal(merged, dare([delta, -delta], (1.0, 0.25), density=0.3, seed=2))
