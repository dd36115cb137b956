"""Weight-decomposed low-rank adaptation: the direction by LoRA, the length by itself (Liu et al. 2024, arXiv 2402.09353)."""

from __future__ import annotations

from typing import Any

from storyteller.models.adapters.lora import apply_lora
from storyteller.recipe.methods import DoraRecipe

__all__ = ["apply_dora"]


def apply_dora(model: Any, recipe: DoraRecipe, seed: int = 0) -> Any:
    """Freeze `model` and lay a fresh DoRA over it: a `peft.PeftModel` that computes what the model did.

    Each weight column is its trained length times the unit direction of W + scale * B A. Raises as `apply_lora` does.
    """
    return apply_lora(model, recipe, seed, key="model.dora", dora=True)
