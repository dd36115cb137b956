"""Stories told from the same prompts while the model learns, so that a person can see what the loss does not say."""

from __future__ import annotations

from typing import Any

from storyteller.errors import GenerationError
from storyteller.generate.storyteller import Storyteller
from storyteller.generate.torch_engine import TorchEngine
from storyteller.recipe import SamplesRecipe
from storyteller.tokens import Template

__all__ = ["tell_samples"]


def tell_samples(model: Any, template: Template, recipe: SamplesRecipe, seed: int) -> str:
    """Each of the recipe's prompts with its story, as Markdown; the same seed every time."""
    teller = Storyteller(TorchEngine(model), template, name="samples")
    parts = []
    for prompt in recipe.prompts:
        try:
            text = teller.tell(prompt, words=recipe.words, seed=seed).text
        except GenerationError as error:
            # A sample is a look at the run; a prompt that cannot be told must not end it.
            text = f"({error})"
        parts.append(f"## {prompt}\n\n{text}\n")
    teller.close()
    return "\n".join(parts)
