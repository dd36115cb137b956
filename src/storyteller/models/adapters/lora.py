"""Low-rank adaptation: W + scale * B A with small B and A (Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

from typing import Any

from storyteller.models.adapters.targets import chosen_linear, is_transposed, refuse_adapted, short_names
from storyteller.models.quiet import quiet
from storyteller.recipe import LoraRecipe

__all__ = ["apply_lora"]


def apply_lora(model: Any, recipe: LoraRecipe, seed: int = 0, *, key: str = "model.lora", dora: bool = False) -> Any:
    """Freeze `model` and lay a fresh low-rank adapter over it: a `peft.PeftModel` that computes what the model did.

    The scale is alpha / sqrt(rank) when rank-stabilised (Kalajdzievski 2023, arXiv 2312.03732), else alpha / rank. The
    same seed gives the same adapter; the process's random state is left as it was. Raises `ModelError` when a name in
    `recipe.targets` matches no linear layer, or when the model has an adapter already. `key` is where the recipe stands.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    refuse_adapted(model)
    targets = chosen_linear(model, recipe.targets, f"{key}.targets")
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        use_rslora=recipe.rank_stabilised,
        use_dora=dora,
        target_modules=short_names(model, targets),
        fan_in_fan_out=is_transposed(model, targets),
    )
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(seed)
        return get_peft_model(model, config)
