"""Compiled layers (`torch.compile`): one graph for all of them, since they are alike; it is made once and used each step."""

from __future__ import annotations

import torch
from torch import nn

from storyteller.errors import TrainingError
from storyteller.train.sharding import layers

__all__ = ["compile_layers"]


def compile_layers(model: nn.Module) -> None:
    """Compile the layers of `model` in place, its names and files unchanged; `TrainingError` where nothing can be compiled.

    Layers and not the whole: what stands around them, chosen targets and the loss in chunks, depends on the data and would
    be compiled again and again.
    """
    try:
        torch.compile(_probe)(torch.ones(2))
    except Exception as error:  # whatever a missing compiler or a wrong one raises
        told = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise TrainingError(
            f"train.compile=true, but nothing can be compiled here ({told}). It needs a C++ compiler, on a GPU Triton; or set "
            "train.compile=false."
        ) from None
    for layer in layers(model):
        layer.compile()


def _probe(values: torch.Tensor) -> torch.Tensor:
    return values * 2
