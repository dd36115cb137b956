"""Adapters: small sets of weights laid over a frozen model. One method is one file.

A method's file has one function, `apply_<method>(model, recipe, seed)`, that returns the model with the adapter on it,
ready to be trained, and nothing else: saving, loading and merging are the same for all of them (PEFT's folder format,
`storyteller.models.save` and `storyteller.models.load`).
"""

from __future__ import annotations

from storyteller.models.adapters.lora import apply_lora

__all__ = ["apply_lora"]
