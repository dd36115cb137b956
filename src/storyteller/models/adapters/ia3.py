"""A trained factor on each key, value and feed-forward activation (Liu et al. 2022, "(IA)^3", arXiv 2205.05638)."""

from __future__ import annotations

from typing import Any

from storyteller.errors import ModelError
from storyteller.models.adapters.targets import (
    chosen_linear,
    is_transposed,
    refuse_adapted,
    short_names,
    sublayer_outputs,
)
from storyteller.models.quiet import quiet
from storyteller.recipe.methods import Ia3Recipe

__all__ = ["apply_ia3"]

#: What layers that make keys and values are called; where one layer makes queries too, these are scaled with them.
_KEYS_AND_VALUES = ("k_proj", "v_proj", "key", "value", "qkv_proj", "query_key_value", "c_attn", "Wqkv")


def apply_ia3(model: Any, recipe: Ia3Recipe, seed: int = 0) -> Any:
    """Freeze `model` and lay factors of one over it: a `peft.PeftModel` that computes what the model did.

    Attention layers are scaled at their outputs, the feed-forward's last layer at its input. There is nothing random in
    it, so `seed` changes nothing. Raises `ModelError` when a name matches no linear layer or there are no keys to find.
    """
    from peft import IA3Config, get_peft_model

    refuse_adapted(model)
    forward = [pair[1] for pair in sublayer_outputs(model)]
    if recipe.targets == "auto":
        linear = chosen_linear(model, "all-linear", "")
        targets = [name for name in linear if name.rsplit(".", 1)[-1] in _KEYS_AND_VALUES or name in forward]
        if set(targets) <= set(forward):
            raise ModelError(
                "no layer of this model is known to make keys and values; name those to scale in model.ia3.targets. "
                f"Its layers are {', '.join(sorted({name.rsplit('.', 1)[-1] for name in linear}))}."
            )
    else:
        targets = chosen_linear(model, recipe.targets, "model.ia3.targets")
    scaled_inputs = [name for name in targets if name in forward]
    names = short_names(model, targets)
    if names != sorted(targets):
        scaled_inputs = sorted({name.rsplit(".", 1)[-1] for name in scaled_inputs})
    config = IA3Config(
        task_type="CAUSAL_LM",
        target_modules=names,
        feedforward_modules=scaled_inputs,
        fan_in_fan_out=is_transposed(model, targets),
    )
    with quiet():
        return get_peft_model(model, config)
