"""Dropout as a recipe asks for it, for models that were pretrained with it or without."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import dropout

from storyteller.errors import TrainingError

__all__ = ["apply_dropout"]

_PARTS = ("self_attn", "attn", "attention", "mlp", "feed_forward")


def apply_dropout(model: Any, share: float) -> None:
    """Drop `share` of the attention weights, and of what each layer adds to the residual stream (Vaswani et al. 2017).

    A model with dropout modules of its own (GPT-2) gets them set; in the others (Llama) each layer's attention and
    feed-forward part are followed by dropout. Active in training mode only; nothing of it is saved with the model. 0 is
    none at all, also where the model brought some.
    Raises `TrainingError` for a model in whose layers no such parts are found.
    """
    found = False
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout) and "lora_dropout" not in name:
            module.p = share
            found = True
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = share
    if found or not share:
        return
    layers = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    parts = [part for layer in layers for one in layer for name, part in one.named_children() if name in _PARTS]
    if not parts:
        raise TrainingError(
            f"train.dropout: no attention or feed-forward parts were found in {type(model).__name__}; set it to 0."
        )
    for part in parts:
        part.register_forward_hook(_dropping(share))


def _dropping(share: float) -> Any:
    def drop(module: nn.Module, arguments: Any, output: Any) -> Any:
        if isinstance(output, Tensor):
            return dropout(output, share, module.training)
        return (dropout(output[0], share, module.training), *output[1:])

    return drop
