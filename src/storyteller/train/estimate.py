"""What a run will cost, said before it starts: parameters, memory and time, the time from a measurement."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from storyteller.recipe import TrainRecipe
from storyteller.tokens import Shards
from storyteller.train.loop import batch_tensors
from storyteller.train.objectives import CHUNK
from storyteller.train.optim import trainable

__all__ = ["Estimate", "estimate_memory", "measure_step_seconds", "resolve_steps"]


@dataclass(frozen=True)
class Estimate:
    """The cost of a run: `memory` in bytes, `seconds` for all of `steps`."""

    parameters: int
    trained: int
    memory: int
    steps: int
    seconds: float

    def __str__(self) -> str:
        hours, rest = divmod(round(self.seconds), 3600)
        return (
            f"{self.parameters / 1e6:.1f} M parameters, {self.trained / 1e6:.2f} M of them trained; "
            f"about {self.memory / 1e9:.1f} GB of memory; {self.steps} steps in about {hours}:{rest // 60:02d}:{rest % 60:02d}"
        )


def estimate_memory(model: nn.Module, recipe: TrainRecipe, context: int, half: bool) -> int:
    """Peak bytes of a training step: weights, gradients and two moments of what is trained, activations, one chunk of logits.

    Activations are counted as 16 vectors of the hidden size and 4 of the feed-forward size a token and layer (one layer's
    worth and the layer inputs with gradient checkpointing); within 25 % of measured peaks for Llama-like models.
    """
    config: Any = model.config
    hidden, layers = int(config.hidden_size), int(config.num_hidden_layers)
    inner = int(getattr(config, "intermediate_size", None) or 4 * hidden)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    states = 12 * sum(p.numel() for p in trainable(model).values())
    tokens, width = recipe.rows * context, 2 if half else 4
    layer = tokens * (16 * hidden + 4 * inner) * width
    activations = layers * tokens * hidden * width + layer if recipe.gradient_checkpointing else layers * layer
    logits = 3 * min(CHUNK, tokens) * int(config.vocab_size) * 4
    return int(weights + states + activations + logits)


def measure_step_seconds(
    objective: nn.Module, shards: Shards, recipe: TrainRecipe, context: int, accelerator: Accelerator
) -> float:
    """Seconds of one optimizer step of the slowest process, from two real micro-batches; no weight changes."""
    objective.to(accelerator.device).train()
    batch = shards.batch(recipe.seed, 0, rows=2 * recipe.rows, context=context)
    seconds = 0.0
    # The first micro-batch warms up caches and allocators; the second one counts.
    for start in (0, recipe.rows):
        began = time.perf_counter()
        with accelerator.autocast():
            loss = objective(**batch_tensors(batch, accelerator.device, slice(start, start + recipe.rows)))
        loss.backward()
        if accelerator.device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - began
    objective.zero_grad(set_to_none=True)
    slowest = accelerator.gather(torch.tensor([seconds], device=accelerator.device)).max().item()
    return float(slowest) * recipe.accumulate


def resolve_steps(recipe: TrainRecipe, shards: Shards, context: int, step_seconds: float, world: int) -> int:
    """The number of optimizer steps that the recipe's steps, epochs or minutes mean (default: one epoch)."""
    if recipe.steps is not None:
        return recipe.steps
    if recipe.minutes is not None:
        return max(1, int(60 * recipe.minutes / step_seconds))
    rows = recipe.rows * recipe.accumulate * world
    steps = shards.steps_per_epoch(rows, context, recipe.seed)
    return max(1, round((recipe.epochs or 1.0) * steps))
