"""Prompt tuning: trained embeddings before every text (Lester et al. 2021, arXiv 2104.08691)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from storyteller.recipe.methods import PromptRecipe

__all__ = ["apply_prompt"]


def apply_prompt(model: Any, recipe: PromptRecipe, seed: int = 0, ids: Sequence[int] = ()) -> Any:
    """Freeze `model` and put `recipe.tokens` virtual tokens before all that it reads; it is changed in place.

    They begin with the embeddings of `ids` (the recipe's text), or without any of tokens drawn from the vocabulary, since
    random vectors are hardly ever found again. Raises `ModelError` for a model that cannot take them.
    """
    from storyteller.models.adapters.virtual import first_ids, lay_virtual_tokens

    virtual = lay_virtual_tokens(model, "PROMPT_TUNING", recipe.tokens)
    virtual.begin_as(first_ids(model, recipe.tokens, ids, seed))
    return model
