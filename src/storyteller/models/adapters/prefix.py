"""Prefix tuning: trained keys and values before every text, in each layer (Li and Liang 2021, arXiv 2101.00190)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from storyteller.recipe.methods import PrefixRecipe

__all__ = ["apply_prefix"]


def apply_prefix(model: Any, recipe: PrefixRecipe, seed: int = 0, ids: Sequence[int] = ()) -> Any:
    """Freeze `model` and put `recipe.tokens` keys and values before those of all that it reads; it is changed in place.

    They begin as what the model itself makes of `ids` (the recipe's text), or without any of tokens drawn from the
    vocabulary: with "real activations", which the paper found to need far less data than random ones. Raises `ModelError`
    for a model that cannot take them.
    """
    from storyteller.models.adapters.virtual import first_ids, lay_virtual_tokens

    virtual = lay_virtual_tokens(model, "PREFIX_TUNING", recipe.tokens)
    virtual.begin_as(first_ids(model, recipe.tokens, ids, seed))
    return model
