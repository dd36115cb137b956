"""Perturbed embeddings: of the right length, uphill, story by story, and gone afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.train.conftest import MakeRecipe
from tests.train.test_objectives import batch

from storyteller.models import apply_lora, load_model, locate
from storyteller.recipe import LoraRecipe
from storyteller.recipe.robustness import PerturbRecipe
from storyteller.train import finetune
from storyteller.train.adapting import adapted_model
from storyteller.train.dropout import apply_dropout
from storyteller.train.objectives import CausalObjective
from storyteller.train.perturb import Perturbation, _norms, passes_in_step

_LENGTHS = (5, 21, 1, 13)
_METHODS = ("neftune", "fgm", "freelb")


@pytest.fixture(params=["llama", "gpt2", "llama with lora"])
def model(request: pytest.FixtureRequest, tiny_llama: Path, tiny_gpt2: Path) -> Any:
    loaded = load_model(locate(tiny_gpt2 if request.param == "gpt2" else tiny_llama))
    if request.param == "gpt2":
        apply_dropout(loaded, 0.0)  # GPT-2 has its own
    return apply_lora(loaded, LoraRecipe()) if "lora" in request.param else loaded.requires_grad_(True)


def run(objective: CausalObjective, perturbation: Perturbation, tensors: dict[str, torch.Tensor]) -> list[float]:
    losses = []
    for share, _ in perturbation.passes(tensors["segment_ids"]):
        loss = objective(**tensors)
        (loss * share).backward()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("method", _METHODS)
def test_the_embeddings_are_what_they_were_afterwards(model: Any, method: str) -> None:
    objective, tensors = CausalObjective(model).train(), batch(_LENGTHS, 48)
    embeddings = model.get_input_embeddings()
    weight, before = embeddings.weight.detach().clone(), float(objective(**tensors).detach())
    perturbation = Perturbation(model, PerturbRecipe(method=method, noise=50, radius=0.5))
    losses = run(objective, perturbation, tensors)
    assert any(abs(loss - before) > 1e-3 for loss in losses), "nothing was perturbed"
    assert torch.equal(embeddings.weight, weight)
    assert float(objective(**tensors).detach()) == before
    perturbation.close()
    assert not embeddings._forward_hooks


def test_fgm_goes_uphill(model: Any) -> None:
    objective, tensors = CausalObjective(model).train(), batch(_LENGTHS, 48)
    calm = float(objective(**tensors).detach())
    losses = run(objective, Perturbation(model, PerturbRecipe(method="fgm", radius=0.05)), tensors)
    assert losses[0] == pytest.approx(calm)
    assert losses[1] > losses[0]


def test_freelb_climbs(model: Any) -> None:
    torch.manual_seed(1)
    objective, tensors = CausalObjective(model).train(), batch(_LENGTHS, 48)
    recipe = PerturbRecipe(method="freelb", radius=0.05, ascent=4)
    losses = run(objective, Perturbation(model, recipe), tensors)
    assert len(losses) == 4
    assert losses == sorted(losses)


@pytest.mark.parametrize("method", _METHODS)
def test_the_shares_of_the_passes_make_one(model: Any, method: str) -> None:
    recipe = PerturbRecipe(method=method)
    passes = list(Perturbation(model, recipe).passes(torch.ones(1, 4, dtype=torch.int64)))
    assert sum(share for share, _ in passes) == pytest.approx(1)
    assert [last for _, last in passes] == [False] * (len(passes) - 1) + [True]
    assert len(passes) == passes_in_step(recipe)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(_METHODS), st.floats(0.01, 1), st.integers(0, 99))
def test_no_story_is_moved_further_than_allowed(tiny_llama: Path, method: str, radius: float, seed: int) -> None:
    torch.manual_seed(seed)
    segments = batch(_LENGTHS, 48)["segment_ids"]
    embedded = torch.randn(1, 48, 6)
    module = torch.nn.Embedding(4, 6)
    perturbation = Perturbation(_Holder(module), PerturbRecipe(method=method, radius=radius, noise=1.0))
    for _ in perturbation.passes(segments):
        moved = perturbation._add(module, None, embedded)
        delta = moved.detach() - embedded
        assert not delta[segments == 0].any(), "padding is never moved"
        allowed = radius * _norms(embedded, segments) if method != "neftune" else torch.tensor(1.0)
        assert bool((_norms(delta, segments) <= allowed * 1.0001 + 1e-6).all())
        if perturbation._delta is not None and method != "neftune":
            perturbation._delta.grad = torch.randn(1, 48, 6)


class _Holder:
    def __init__(self, module: torch.nn.Module) -> None:
        self.module = module

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.module


def test_norms_are_those_of_each_story() -> None:
    segments = torch.tensor([[1, 1, 2, 0]])
    values = torch.tensor([[[3.0], [4.0], [7.0], [9.0]]])
    assert torch.allclose(_norms(values, segments)[0, :, 0], torch.tensor([5.0, 5.0, 7.0, 9.0]))
    assert torch.allclose(_norms(values * 1e-30, segments)[0, 0, 0], torch.tensor(5e-30), rtol=1e-4)


@pytest.mark.parametrize("override", ["{method: neftune}", "{method: fgm}", "{method: freelb, ascent: 2}"])
def test_a_run_is_changed_and_repeats_itself(small: MakeRecipe, tmp_path: Path, override: str) -> None:
    losses = []
    for number, more in enumerate(([], [f"train.perturb={override}"], [f"train.perturb={override}"])):
        made = finetune(small("train.steps=3", *more), tmp_path / str(number))
        losses.append([line["loss"] for line in made.metrics()])
    assert losses[1] == losses[2] != losses[0]


def test_dropout_is_on_in_training_only(model: Any) -> None:
    objective, tensors = CausalObjective(model), batch(_LENGTHS, 48)
    with torch.no_grad():
        calm = float(objective.eval()(**tensors))
        apply_dropout(model, 0.3)
        assert float(objective.eval()(**tensors)) == calm
        torch.manual_seed(0)
        first = float(objective.train()(**tensors))
        torch.manual_seed(0)
        assert first == float(objective(**tensors)) != calm
        assert first != float(objective(**tensors))


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_model_with_dropout_of_its_own_has_what_the_recipe_says(
    small: MakeRecipe, tiny_gpt2: Path, share: float
) -> None:
    recipe = small(f"model.base={tiny_gpt2}", f"train.dropout={share}")
    adapted = adapted_model(recipe, locate(tiny_gpt2))
    assert {module.p for module in adapted.modules() if isinstance(module, torch.nn.Dropout)} == {share}


def test_dropout_is_no_part_of_what_is_saved(small: MakeRecipe, tmp_path: Path) -> None:
    made = finetune(small("train.steps=2", "train.dropout=0.2", "model.method=full"), tmp_path / "run")
    assert load_model(locate(made.final)).config.attention_dropout == 0.0
