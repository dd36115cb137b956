"""Adapters: small sets of weights laid over a frozen model. One method is one file.

A method's file has one function, `apply_<method>(model, recipe, seed)`, that returns the model with the adapter on it,
ready to be trained; `adapt` calls the one that a recipe names. Saving, loading and merging are the same for all of them
(`storyteller.models.save` and `storyteller.models.load`): PEFT's folder format, by PEFT itself for LoRA, DoRA, AdaLoRA and
IA3, by `own` for bottleneck adapters and virtual tokens.
"""

from __future__ import annotations

from storyteller.models.adapters.adapt import adapt
from storyteller.models.adapters.lora import apply_lora
from storyteller.models.adapters.stacking import stack_adapters

__all__ = ["adapt", "apply_lora", "stack_adapters"]
