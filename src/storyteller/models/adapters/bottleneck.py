"""Bottleneck adapters: small networks after sub-layers (Houlsby et al. 2019, arXiv 1902.00751; Pfeiffer et al. 2021).

Ours, since PEFT has none and the library that has them does not run on today's transformers. The folder looks like PEFT's:
`adapter_config.json` with `peft_type: BOTTLENECK`, and `adapter_model.safetensors` with the names

    base_model.model.<the linear layer that ends the sub-layer>.bottleneck_{down,up}.{weight,bias}
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from storyteller.errors import ModelError
from storyteller.models.adapters.targets import refuse_adapted, sublayer_outputs
from storyteller.recipe.methods import BottleneckRecipe

__all__ = ["Bottlenecks", "apply_bottleneck", "lay_bottlenecks"]

_PREFIX = "base_model.model."
_ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}
_STD = 1e-2
"""Houlsby et al. draw the weights with this deviation, for a network that is nearly the identity."""


class Bottlenecks(nn.Module):
    """The adapters of a model: one after each of `places`, names of linear layers whose outputs they change."""

    def __init__(self, model: Any, places: Sequence[str], recipe: BottleneckRecipe) -> None:
        super().__init__()
        self.places, self.recipe = list(places), recipe
        width = model.get_input_embeddings().weight.shape[1]
        made = [_Bottleneck(width, recipe, place) for place in places]
        self.networks = nn.ModuleList(made)
        self._made = made  # the same, by their own type

    def placed(self) -> Iterator[tuple[str, _Bottleneck]]:
        """Each place with its network."""
        return zip(self.places, self._made, strict=True)

    def config(self) -> dict[str, Any]:
        """What `adapter_config.json` says of it, but for the base's name."""
        return {
            "peft_type": "BOTTLENECK",
            "task_type": "CAUSAL_LM",
            "inference_mode": True,
            "target_modules": self.places,
            **self.recipe.model_dump(),
        }

    def tensors(self) -> dict[str, Tensor]:
        """The weights by their names in `adapter_model.safetensors`."""
        return {
            f"{_PREFIX}{place}.bottleneck_{name}": value.detach()
            for place, network in self.placed()
            for name, value in network.state_dict().items()
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        for place, network in self.placed():
            prefix = f"{_PREFIX}{place}.bottleneck_"
            network.load_state_dict({name: tensors[prefix + name] for name in network.state_dict()})


class _Bottleneck(nn.Module):
    """What is added to a sub-layer's output x [..., width]: up(activation(down(x)))."""

    def __init__(self, width: int, recipe: BottleneckRecipe, place: str) -> None:
        super().__init__()
        self.place = place  # from which the optimizer knows its layer
        self.down = nn.Linear(width, recipe.width)
        self.up = nn.Linear(recipe.width, width)
        self._activation = _ACTIVATIONS[recipe.activation]()
        self._dropout = nn.Dropout(recipe.dropout)
        for linear in (self.down, self.up):
            # Beyond two deviations a weight is drawn again.
            nn.init.trunc_normal_(linear.weight, std=_STD, a=-2 * _STD, b=2 * _STD)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self._dropout(self.up(self._activation(self.down(x))))
        return added


def apply_bottleneck(model: Any, recipe: BottleneckRecipe, seed: int = 0) -> Any:
    """Freeze `model` and put adapters, nearly the identity, after its sub-layers; it is changed in place.

    `houlsby` puts one after attention and one after the feed-forward part of each layer, before the sum with what went
    in; `pfeiffer` only the second. Raises `ModelError` for a model whose layers do not have these two parts.
    """
    refuse_adapted(model)
    pairs = sublayer_outputs(model)
    places = [name for pair in pairs for name in (pair if recipe.kind == "houlsby" else pair[1:])]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        lay_bottlenecks(model, places, recipe)
    return model


def lay_bottlenecks(model: Any, places: Sequence[str], recipe: BottleneckRecipe) -> Bottlenecks:
    """Freeze `model` and put fresh adapters after its linear layers of these names; `ModelError` when one is not there."""
    adapters = Bottlenecks(model, places, recipe).to(model.device)
    model.requires_grad_(False)
    for place, network in adapters.placed():
        try:
            linear = model.get_submodule(place)
        except AttributeError:
            raise ModelError(f"the model has no layer {place}; the adapter was made for another base.") from None
        linear.register_forward_hook(_added(network))
    model.own_adapter = adapters
    return adapters


def _added(network: _Bottleneck) -> Any:
    def hook(linear: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        changed: Tensor = output + network(output.to(network.down.weight.dtype)).to(output.dtype)
        return changed

    return hook
