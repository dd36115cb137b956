"""What a run will cost, said before it starts, and measured rather than guessed: two real micro-batches tell."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from storyteller.recipe import Recipe, TrainRecipe
from storyteller.tokens import Shards
from storyteller.train.loop import batch_tensors
from storyteller.train.memory import advising_on_memory, peak_memory
from storyteller.train.optim import trainable
from storyteller.train.perturb import passes_in_step

__all__ = ["Estimate", "measure_cost", "plan_of", "resolve_steps"]

_TIMED = 2


@dataclass(frozen=True)
class Estimate:
    """The cost of a run: `memory` in bytes, `seconds` for all of `steps`; and the `loss` it begins with, in nats a target."""

    parameters: int
    trained: int
    memory: int
    steps: int
    seconds: float
    loss: float

    def __str__(self) -> str:
        hours, rest = divmod(round(self.seconds), 3600)
        return (
            f"{self.parameters / 1e6:.1f} M parameters, {self.trained / 1e6:.2f} M of them trained; "
            f"about {self.memory / 1e9:.1f} GB of memory; {self.steps} steps in about "
            f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
        )


def measure_cost(
    objective: nn.Module, shards: Shards, recipe: TrainRecipe, context: int, accelerator: Accelerator
) -> tuple[float, int, float]:
    """Seconds of one optimizer step, peak bytes of memory and mean loss, from real micro-batches; no weight changes.

    The first micro-batch warms up caches and allocators; of the others the fastest counts, since a busy machine only
    ever adds. To the memory seen so far come the optimizer's two moments. All processes agree on their mean.
    """
    objective.to(accelerator.device).train()
    batch = shards.batch(recipe.seed, 0, rows=(1 + _TIMED) * recipe.rows, context=context)
    times, total = [], torch.zeros((), device=accelerator.device)
    with advising_on_memory():
        for number in range(1 + _TIMED):
            began = time.perf_counter()
            rows = slice(number * recipe.rows, (number + 1) * recipe.rows)
            with accelerator.autocast():
                loss = objective(**batch_tensors(batch, accelerator.device, rows))
            loss.backward()
            total += loss.detach()
            if accelerator.device.type == "cuda":
                torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
    objective.zero_grad(set_to_none=True)
    moments = 8 * sum(parameter.numel() for parameter in trainable(objective).values())
    seconds = min(times[1:]) * recipe.accumulate * passes_in_step(recipe.perturb)
    mean = float(total) / max(1, batch.targets)
    agreed = accelerator.reduce(torch.tensor([seconds, mean], device=accelerator.device), "mean").tolist()
    return agreed[0], peak_memory(accelerator.device) + moments, agreed[1]


def resolve_steps(recipe: TrainRecipe, shards: Shards, context: int, step_seconds: float, world: int) -> int:
    """The number of optimizer steps that the recipe's steps, epochs or minutes mean (default: one epoch)."""
    if recipe.steps is not None:
        return recipe.steps
    if recipe.minutes is not None:
        return max(1, int(60 * recipe.minutes / step_seconds))
    rows = recipe.rows * recipe.accumulate * world
    return max(1, round((recipe.epochs or 1.0) * shards.steps_per_epoch(rows, context, recipe.seed)))


def plan_of(recipe: Recipe, shards: Shards, cost: Estimate) -> dict[str, Any]:
    """What a dry run tells: the resolved recipe, the data report and the cost; memory in bytes."""
    return {
        "recipe": recipe.model_dump(mode="json"),
        "data": shards.meta,
        "parameters": cost.parameters,
        "trained": cost.trained,
        "memory_bytes": cost.memory,
        "steps": cost.steps,
        "seconds": round(cost.seconds),
        "summary": str(cost),
    }
