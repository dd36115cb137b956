from __future__ import annotations

from math import nan
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters import damage, tiny_adapter

from storyteller.ensemble.merging import Recipe
from storyteller.ensemble.searching import (
    Trial,
    best_of,
    greedy_soup,
    merged_into,
    mixture_weights,
    search,
    simplex_search,
)
from storyteller.errors import ModelError
from storyteller.models import load_model, locate
from storyteller.models.adapters.factors import read_factors
from storyteller.runs import read_json


def test_a_greedy_soup_stirs_in_what_helps() -> None:
    # Members 2 and 0 go well together, and member 1 spoils everything.
    def score(weights: tuple[float, ...]) -> float:
        return weights[2] + weights[0] * 0.9 + (0.5 if weights[0] and weights[2] else 0) - weights[1]

    trials = greedy_soup(score, 3)
    assert best_of(trials).weights == pytest.approx((0.5, 0.0, 0.5))
    assert len(trials) == 5  # three alone, the pair, the three


def test_the_simplex_is_searched_near_the_best_and_the_seed_decides() -> None:
    target = (0.6, 0.3, 0.1)

    def score(weights: tuple[float, ...]) -> float:
        assert sum(weights) == pytest.approx(1, abs=1e-3)
        assert min(weights) >= 0
        return -sum((a - b) ** 2 for a, b in zip(weights, target, strict=True))

    trials = simplex_search(score, 3, trials=60, seed=1)
    assert len(trials) == 60
    assert best_of(trials).score > -0.01
    assert trials == simplex_search(score, 3, trials=60, seed=1)
    assert len(simplex_search(score, 3, trials=2)) == 2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 8))
def test_no_weight_is_negative_for_its_rounding(seed: int, members: int) -> None:
    trials = simplex_search(lambda weights: weights[0], members, members + 10, seed)
    logs = np.random.default_rng(seed).normal(-3, 1, size=(members, 500)).astype(np.float32)
    logs[0] -= 3  # the first member has hardly a say
    for weights in [*(trial.weights for trial in trials), mixture_weights(logs)]:
        Recipe("linear", weights)
        assert sum(weights) == pytest.approx(1, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_no_other_weights_of_a_mixture_find_the_tokens_likelier(seed: int, members: int) -> None:
    random = np.random.default_rng(seed)
    logs = np.log(random.dirichlet(np.ones(5), size=(members, 60))[:, :, 0]).astype(np.float32) - 300  # far from 0

    def likelihood(weights: np.ndarray) -> float:
        return float(np.log(weights @ np.exp(logs.astype(np.float64) + 300)).mean())

    found = mixture_weights(logs)
    assert sum(found) == pytest.approx(1, abs=1e-3)
    for other in [*np.eye(members) * 0.999 + 0.001 / members, *random.dirichlet(np.ones(members), 20)]:
        assert likelihood(np.array(found)) >= likelihood(other) - 1e-4


def test_the_merged_delta_is_there_within_the_block_and_gone_after(tiny_llama: Path, tmp_path: Path) -> None:
    folder = tiny_adapter(tiny_llama, tmp_path / "a")
    ids = torch.tensor([[1, 5, 9]])
    model = load_model(locate(tiny_llama))
    with torch.inference_mode():
        before = model(ids).logits
        with merged_into(model, [read_factors(folder)], Recipe("linear", (1.0,))):
            inside = model(ids).logits
        torch.testing.assert_close(inside, load_model(locate(folder))(ids).logits, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(model(ids).logits, before)


@pytest.mark.parametrize("method", ["linear", "soup"])
def test_a_search_ends_in_an_adapter_with_the_best_weights(tiny_llama: Path, tmp_path: Path, method: str) -> None:
    sources = [tiny_adapter(tiny_llama, tmp_path / name, seed=seed) for seed, name in enumerate("ab")]
    ids = torch.tensor([[1, 5, 9, 40, 41]])
    wanted = load_model(locate(sources[1]))(ids).logits.detach()

    @torch.inference_mode()
    def score(model: torch.nn.Module) -> float:
        return -float((model(ids).logits - wanted).square().mean())

    report = search(sources, tmp_path / "out", score, method, trials=6, scales=(1.0, 0.5), rank=8)  # type: ignore[arg-type]
    assert report["search"]["best"]["weights"] == (0.0, 1.0)
    assert report["search"]["best"]["scale"] == 1.0
    assert [row["scale"] for row in report["search"]["scales"]] == [1.0, 0.5]
    kept = read_json(tmp_path / "out" / "merge.json")
    assert len(kept["search"]["trials"]) == (3 if method == "soup" else 6)
    torch.testing.assert_close(load_model(locate(tmp_path / "out"))(ids).logits, wanted, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("method", ["linear", "dare"])
def test_the_score_of_what_is_written_is_told_beside_that_of_the_trial(
    tiny_llama: Path, tmp_path: Path, method: str
) -> None:
    sources = [tiny_adapter(tiny_llama, tmp_path / name, seed=seed) for seed, name in enumerate("abc")]
    ids = torch.tensor([[1, 5, 9, 40, 41]])
    wanted = sum(load_model(locate(source))(ids).logits.detach() for source in sources) / 3

    @torch.inference_mode()
    def score(model: torch.nn.Module) -> float:
        return -float((model(ids).logits - wanted).square().mean())

    report = search(sources, tmp_path / "out", score, method, trials=4, rank=2)  # type: ignore[arg-type]
    best = read_json(tmp_path / "out" / "merge.json")["search"]["best"]
    assert best["written"] == pytest.approx(score(load_model(locate(tmp_path / "out"))), rel=1e-3)
    assert abs(best["written"] - best["score"]) > 0.05 * abs(best["score"])  # the cut to rank 2
    assert best["written"] == report["search"]["best"]["written"]


@pytest.mark.parametrize("method", ["linear", "task-arithmetic", "soup"])
def test_whole_models_are_searched(tmp_path: Path, method: str) -> None:
    from tests.tiny import tiny_model

    sources = [tiny_model(tmp_path / name, seed=seed) for seed, name in enumerate("ab")]
    base = str(tiny_model(tmp_path / "base", seed=7)) if method == "task-arithmetic" else None
    ids = torch.tensor([[1, 5, 9, 40, 41]])
    wanted = load_model(locate(sources[1]))(ids).logits.detach()
    seen = []

    @torch.inference_mode()
    def score(model: torch.nn.Module) -> float:
        seen.append(model(ids).logits)
        return -float((seen[-1] - wanted).square().mean())

    report = search(sources, tmp_path / "out", score, method, trials=4, base=base)  # type: ignore[arg-type]
    assert report["search"]["best"]["weights"] == (0.0, 1.0)
    torch.testing.assert_close(seen[0], load_model(locate(sources[0]))(ids).logits)
    torch.testing.assert_close(load_model(locate(tmp_path / "out"))(ids).logits, wanted, atol=1e-4, rtol=1e-4)
    assert report["search"]["best"]["written"] == pytest.approx(report["search"]["best"]["score"], abs=1e-6)
    if base is None:
        with pytest.raises(ModelError, match="--base"):
            search(sources, tmp_path / "other", score, scales=(1.0, 0.5))


def test_what_cannot_be_merged_is_refused_before_anything_is_scored(tiny_llama: Path, tmp_path: Path) -> None:
    def score(model: torch.nn.Module) -> float:
        raise AssertionError

    with pytest.raises(ModelError, match="two models or more"):
        search([tiny_llama], tmp_path / "out", score)
    with pytest.raises(ModelError, match="leave out --rank 4"):
        search([tiny_llama, tiny_llama], tmp_path / "out", score, rank=4)
    with pytest.raises(ModelError, match="the scale must be numbers"):
        search([tiny_llama, tiny_llama], tmp_path / "out", score, scales=(1.0, 0.8, nan), base=str(tiny_llama))


def test_slerp_is_searched_between_two_and_refuses_three(tiny_llama: Path, tmp_path: Path) -> None:
    sources = [tiny_adapter(tiny_llama, tmp_path / name, seed=seed) for seed, name in enumerate("abc")]
    report = search(sources[:2], tmp_path / "out", lambda model: 0.0, "slerp", trials=4)
    assert len(report["search"]["trials"]) == 4
    with pytest.raises(ModelError, match="slerp goes from one model to another"):
        search(sources, tmp_path / "other", lambda model: 0.0, "slerp")


def test_a_score_that_is_no_number_never_wins() -> None:
    assert best_of([Trial((1, 0), nan), Trial((0, 1), -2.0), Trial((0.5, 0.5), nan)]).weights == (0, 1)
    with pytest.raises(ModelError, match="none of 2 trials has a score"):
        best_of([Trial((1, 0), nan), Trial((0, 1), nan)])
    # The member without a score is the last that is tried, and is not stirred in.
    trials = greedy_soup(lambda weights: nan if weights[0] else weights[2], 3)
    assert [trial.weights for trial in trials[3:]] == [(0, 0.5, 0.5), (0.5, 0, 0.5)]
    assert best_of(trials).weights == (0, 0, 1)


def test_a_member_that_gives_no_numbers_has_no_weight_in_a_mixture() -> None:
    logs = np.log(np.random.default_rng(0).dirichlet(np.ones(5), size=(2, 60))[:, :, 0]).astype(np.float32)
    broken = np.full(60, np.nan, np.float32)
    first, second = mixture_weights(logs)
    assert mixture_weights(np.stack([logs[0], broken, logs[1]])) == (first, 0.0, second)
    with pytest.raises(ModelError, match="no member"):
        mixture_weights(broken[None])


def test_damaged_members_are_refused_before_anything_is_scored(tiny_llama: Path, tmp_path: Path) -> None:
    sources = [tiny_adapter(tiny_llama, tmp_path / name, seed=seed) for seed, name in enumerate("ab")]
    damage(sources[0] / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="not finite"):
        search(sources, tmp_path / "out", lambda model: 0.0)
    assert not (tmp_path / "out").exists()
