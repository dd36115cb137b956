"""The learning rate, a pure function of the optimizer step: nothing to save, nothing that resuming could stretch."""

from __future__ import annotations

import math

from storyteller.recipe import TrainRecipe

__all__ = ["learning_rate", "warmup_steps"]


def warmup_steps(recipe: TrainRecipe, steps: int) -> int:
    """The number of warmup steps: `warmup` is a share of all steps when it is under 1."""
    return round(recipe.warmup * steps) if recipe.warmup < 1 else round(recipe.warmup)


def learning_rate(step: int, steps: int, recipe: TrainRecipe) -> float:
    """The rate of optimizer step `step` (from 0) of `steps`.

    It rises linearly to `lr` over the warmup and falls towards `floor * lr`, which the step after the last would have, so
    that no step is wasted: never (`constant`), on a line (`linear`), on half a cosine (`cosine`), or on a line over the
    last `decay_share` only (`wsd`: warmup, stable, decay).
    """
    warm = min(warmup_steps(recipe, steps), steps)
    if step < warm:
        return recipe.lr * ((step + 1) / warm)  # the share is exactly 1 at the end
    if recipe.schedule == "constant":
        return recipe.lr
    start = warm if recipe.schedule != "wsd" else max(warm, steps - max(1, round(recipe.decay_share * steps)))
    done = min(1.0, max(0.0, (step - start + 1) / (steps - start + 1)))
    shape = (1 + math.cos(math.pi * done)) / 2 if recipe.schedule == "cosine" else 1 - done
    return recipe.lr * (recipe.floor + (1 - recipe.floor) * shape)
