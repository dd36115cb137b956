"""From the recipe's method to the adapter on the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from storyteller.models.adapters.adalora import apply_adalora
from storyteller.models.adapters.dora import apply_dora
from storyteller.models.adapters.ia3 import apply_ia3
from storyteller.models.adapters.lora import apply_lora
from storyteller.models.adapters.prefix import apply_prefix
from storyteller.models.adapters.prompt import apply_prompt
from storyteller.models.adapters.qlora import apply_qlora
from storyteller.recipe import ModelRecipe

__all__ = ["adapt"]


def adapt(model: Any, recipe: ModelRecipe, seed: int = 0, ids: Sequence[int] = ()) -> Any:
    """`model` ready to be trained by the recipe's method; `ids` are the tokens that virtual ones begin as.

    With `full` every weight is trained, else the model is frozen under a fresh adapter. Raises `ModelError` when the model
    cannot take the method.
    """
    match recipe.method:
        case "full":
            return model.requires_grad_(True)
        case "lora":
            return apply_lora(model, recipe.lora, seed)
        case "dora":
            return apply_dora(model, recipe.dora, seed)
        case "adalora":
            return apply_adalora(model, recipe.adalora, seed)
        case "qlora":
            return apply_qlora(model, recipe.qlora, seed)
        case "bottleneck":
            from storyteller.models.adapters.bottleneck import apply_bottleneck

            return apply_bottleneck(model, recipe.bottleneck, seed)
        case "prompt":
            return apply_prompt(model, recipe.prompt, seed, ids)
        case "prefix":
            return apply_prefix(model, recipe.prefix, seed, ids)
        case "ia3":
            return apply_ia3(model, recipe.ia3, seed)
