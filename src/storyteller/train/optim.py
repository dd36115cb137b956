"""The optimizer: AdamW, with weight decay on matrices only."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import nn

from storyteller.errors import TrainingError
from storyteller.recipe import TrainRecipe

__all__ = ["build_optimizer", "layer_shares", "trainable"]

_LAYER = re.compile(r"\.(?:layers|h|layer|blocks)\.(\d+)\.")
_EMBEDDING = re.compile(r"embed|\bw[tp]e\b")


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Name to parameter of everything that is trained, in the model's order."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def build_optimizer(model: nn.Module, recipe: TrainRecipe) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) over the trainable parameters.

    Biases and norms (one dimension) are not decayed: pulling a norm's gain to zero only weakens its layer. Nor are the
    factors of IA3, which are such gains, though PEFT gives them a second dimension.
    """
    parameters = trainable(model)
    if not parameters:
        raise TrainingError("the model has no trainable parameter; check model.method and its targets.")
    shares = _shares(model, list(parameters), recipe.layer_decay)
    groups = [
        {
            "params": [p for n, p in parameters.items() if _is_matrix(n, p) == matrix and shares[n] == share],
            "weight_decay": recipe.weight_decay if matrix else 0.0,
            "share": share,  # of the rate that the schedule gives
        }
        for share in sorted(set(shares.values()), reverse=True)
        for matrix in (True, False)
    ]
    # On a GPU an adapter's hundreds of small tensors are launched together; on a processor there is nothing to launch.
    together = all(parameter.device.type == "cuda" for parameter in parameters.values())
    return torch.optim.AdamW(
        [g for g in groups if g["params"]], lr=recipe.lr, betas=recipe.betas, eps=1e-8, foreach=together
    )


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    # By the name: a LoRA of rank 1 has the shapes of IA3, and is to be decayed.
    return parameter.dim() >= 2 and ".ia3_l." not in name


def _shares(model: nn.Module, names: Sequence[str], decay: float) -> dict[str, float]:
    """`layer_shares`, in which what works in a layer but lies apart from it goes by the `place` that it names."""
    places = {name: name for name in names}
    for part, module in model.named_modules():
        if isinstance(place := getattr(module, "place", None), str):
            places |= {name: f"{place}.{name}" for name in names if name.startswith(f"{part}.")}
    shares = layer_shares(list(places.values()), decay)
    return {name: shares[place] for name, place in places.items()}


def layer_shares(names: Sequence[str], decay: float) -> dict[str, float]:
    """The share of the learning rate of each parameter: 1 in the top layer, and in each one below `decay` times as much.

    What stands before the layers (embeddings) is the lowest, what stands after them goes with the top (Howard and Ruder
    2018, "discriminative fine-tuning", arXiv 1801.06146; per layer as Clark et al. 2020, arXiv 2003.10555).
    """
    layers = {name: int(found[1]) for name in names if (found := _LAYER.search(name))}
    top = max(layers.values(), default=0)
    embeddings = {name for name in names if name not in layers and _EMBEDDING.search(name)}
    return {name: decay ** (top + 1 if name in embeddings else top - layers.get(name, top)) for name in names}
