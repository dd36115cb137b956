"""Low-rank adaptation: W + scale * B A with small B and A (Hu et al. 2021, arXiv 2106.09685)."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from storyteller.errors import ModelError
from storyteller.models.quiet import quiet
from storyteller.recipe import LoraRecipe

__all__ = ["apply_lora", "linear_names"]


def apply_lora(model: Any, recipe: LoraRecipe, seed: int = 0) -> Any:
    """Freeze `model` and lay a fresh low-rank adapter over it: a `peft.PeftModel` that computes what the model did.

    The scale is alpha / sqrt(rank) when rank-stabilised (Kalajdzievski 2023, arXiv 2312.03732), else alpha / rank. The
    same seed gives the same adapter; the process's random state is left as it was. Raises `ModelError` when a name in
    `recipe.targets` matches no linear layer, or when the model has an adapter already.
    """
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers.pytorch_utils import Conv1D

    if isinstance(model, PeftModel):
        raise ModelError("the model has an adapter already; load it with the adapter merged in to adapt it further.")
    linear = linear_names(model)
    targets = linear if recipe.targets == "all-linear" else _matching(linear, recipe.targets)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        use_rslora=recipe.rank_stabilised,
        target_modules=_short(linear, targets),
        # GPT-2 keeps its matrices transposed.
        fan_in_fan_out=any(isinstance(model.get_submodule(name), Conv1D) for name in targets),
    )
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def linear_names(model: Any) -> list[str]:
    """The full names of every linear layer (GPT-2's Conv1D too) but the output layer."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    output = model.get_output_embeddings()
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and module is not output
    ]


def _matching(linear: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The layers that a name, or the end of a dotted name, picks out; every wanted name has to pick some."""
    chosen: set[str] = set()
    for target in wanted:
        found = [name for name in linear if name == target or name.endswith(f".{target}")]
        if not found:
            own = sorted({name.rsplit(".", 1)[-1] for name in linear})
            near = difflib.get_close_matches(target, [*own, *linear], n=1, cutoff=0.0)
            raise ModelError(
                f"model.lora.targets: {target!r} is no linear layer of this model. Its layers are {', '.join(own)}; "
                f"the nearest is {near[0]!r}."
            )
        chosen.update(found)
    return [name for name in linear if name in chosen]


def _short(linear: Sequence[str], targets: Sequence[str]) -> list[str]:
    """`targets` by their last names (q_proj) where those mean the same layers, for a legible adapter_config.json."""
    last = {name.rsplit(".", 1)[-1] for name in targets}
    same = {name for name in linear if name.rsplit(".", 1)[-1] in last} == set(targets)
    return sorted(last) if same else sorted(targets)
