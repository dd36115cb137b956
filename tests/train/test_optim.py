from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import nn

from storyteller.errors import TrainingError
from storyteller.models import adapt, load_model, locate
from storyteller.models.adapters.bottleneck import apply_bottleneck
from storyteller.recipe import LoraRecipe, ModelRecipe, TrainRecipe
from storyteller.recipe.methods import BottleneckRecipe
from storyteller.train.optim import build_optimizer, layer_shares, trainable


def test_only_matrices_decay() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Embedding(5, 3))
    optimizer = build_optimizer(model, TrainRecipe(weight_decay=0.3, lr=0.1))
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] == 0.3 for p in group["params"]}
    kept = {id(p) for group in optimizer.param_groups if group["weight_decay"] == 0 for p in group["params"]}
    assert decayed == {id(model[0].weight), id(model[2].weight)}
    assert kept == {id(model[0].bias), id(model[1].weight), id(model[1].bias)}
    for parameter in model.parameters():
        parameter.data.fill_(1.0)
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert torch.allclose(model[0].weight, torch.tensor(0.97))
    assert torch.equal(model[1].weight, torch.ones(4))


@pytest.mark.parametrize(("method", "decays"), [("ia3", False), ("lora", True)])
def test_a_factor_of_one_is_not_pulled_to_zero(tiny_llama: Path, method: Literal["ia3", "lora"], decays: bool) -> None:
    model = adapt(load_model(locate(tiny_llama)), ModelRecipe(method=method, lora=LoraRecipe(rank=1)), 1)
    optimizer = build_optimizer(model, TrainRecipe(weight_decay=0.3, lr=0.1))
    assert {group["weight_decay"] == 0.3 for group in optimizer.param_groups} == {decays}


def test_frozen_weights_are_left_out() -> None:
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    assert list(trainable(model)) == ["weight"]
    assert len(build_optimizer(model, TrainRecipe()).param_groups) == 1
    with pytest.raises(TrainingError, match=r"no trainable parameter; check model\.method"):
        build_optimizer(model.requires_grad_(False), TrainRecipe())


def test_lower_layers_learn_more_slowly() -> None:
    names = [
        "model.model.embed_tokens.weight", "model.transformer.wte.weight", "model.model.layers.0.mlp.up_proj.weight",
        "model.base_model.model.model.layers.3.self_attn.q_proj.lora_A.default.weight", "model.transformer.h.2.ln_1.bias",
        "model.model.norm.weight", "model.lm_head.weight",
    ]  # fmt: skip
    assert list(layer_shares(names, 0.5).values()) == [1 / 16, 1 / 16, 1 / 8, 1, 1 / 2, 1, 1]
    assert set(layer_shares(names, 1.0).values()) == {1.0}


@pytest.mark.parametrize("kind", ["pfeiffer", "houlsby"])
def test_a_bottleneck_learns_as_fast_as_its_layer(tiny_llama: Path, kind: Literal["pfeiffer", "houlsby"]) -> None:
    """Its networks are numbered through, which is not the number of the layer."""
    model = apply_bottleneck(load_model(locate(tiny_llama)), BottleneckRecipe(kind=kind))
    optimizer = build_optimizer(model, TrainRecipe(layer_decay=0.5))
    shares = {id(p): group["share"] for group in optimizer.param_groups for p in group["params"]}
    for place, network in model.own_adapter.placed():
        wanted = {"0": 0.5, "1": 1.0}[place.split(".")[2]]
        assert {shares[id(parameter)] for parameter in network.parameters()} == {wanted}


def test_the_share_is_one_of_the_scheduled_rate(tiny_llama: Path) -> None:
    model = load_model(locate(tiny_llama)).requires_grad_(True)
    optimizer = build_optimizer(model, TrainRecipe(layer_decay=0.5))
    shares = {id(p): group["share"] for group in optimizer.param_groups for p in group["params"]}
    assert len(shares) == len(list(model.parameters()))
    assert shares[id(model.model.layers[1].mlp.up_proj.weight)] == 1
    assert shares[id(model.model.layers[0].mlp.up_proj.weight)] == 0.5
    assert shares[id(model.model.embed_tokens.weight)] == 0.25
    decayed = {group["share"] for group in optimizer.param_groups if group["weight_decay"] > 0}
    assert decayed == {1.0, 0.5, 0.25}
