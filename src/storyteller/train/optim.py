"""The optimizer: AdamW, with weight decay on matrices only."""

from __future__ import annotations

import torch
from torch import nn

from storyteller.errors import TrainingError
from storyteller.recipe import TrainRecipe

__all__ = ["build_optimizer", "trainable"]


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Name to parameter of everything that is trained, in the model's order."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def build_optimizer(model: nn.Module, recipe: TrainRecipe) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) over the trainable parameters.

    Biases and norms (one dimension) are not decayed: pulling a norm's gain to zero only weakens its layer.
    """
    parameters = list(trainable(model).values())
    if not parameters:
        raise TrainingError("the model has no trainable parameter; check model.method and its targets.")
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [g for g in groups if g["params"]], lr=recipe.lr, betas=recipe.betas, eps=1e-8, foreach=False
    )
