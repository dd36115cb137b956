from __future__ import annotations

import pytest
import torch
from torch import nn

from storyteller.errors import TrainingError
from storyteller.recipe import TrainRecipe
from storyteller.train.optim import build_optimizer, trainable


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


def test_frozen_weights_are_left_out() -> None:
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    assert list(trainable(model)) == ["weight"]
    assert len(build_optimizer(model, TrainRecipe()).param_groups) == 1
    with pytest.raises(TrainingError, match=r"no trainable parameter; check model\.method"):
        build_optimizer(model.requires_grad_(False), TrainRecipe())
