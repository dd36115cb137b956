"""Likelihood training in the loop: batch, loss, gradients, step; and around it logging, evaluation, checkpoints, samples.

Everything that varies over time is a function of the step: the batch, the learning rate, the seed of dropout. So a resumed
run is the same run, two processes are the same run as one, and there is nothing to fast-forward.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import nn

from storyteller.errors import TrainingError
from storyteller.models.adapters.adalora import Allocation
from storyteller.recipe import TrainRecipe
from storyteller.runs import Metrics, Run, write_atomic
from storyteller.runs.console import say
from storyteller.tokens import Batch, Shards
from storyteller.train.checkpoint import (
    State,
    clear_leftovers,
    load_checkpoint,
    newest_whole,
    rotate,
    save_checkpoint,
    set_aside,
)
from storyteller.train.continual import Anchor
from storyteller.train.divergence import check_loss
from storyteller.train.drive import drive
from storyteller.train.measure import LN2, batch_tensors, mean_loss
from storyteller.train.memory import peak_memory
from storyteller.train.optim import build_optimizer
from storyteller.train.perturb import Perturbation
from storyteller.train.processes import telling_lost_processes
from storyteller.train.schedule import learning_rate
from storyteller.train.sharding import Sharding, whole

__all__ = ["Plan", "batch_tensors", "fit", "mean_loss", "mix"]


@dataclass(frozen=True)
class Plan:
    """What the loop works on: data, length, and the functions through which it touches the model's files.

    The `dev` split may be empty: then nothing is evaluated. `save_model` writes the model to a folder, `load_model` fills
    it from one, `samples` tells stories with the model as it is and returns them as Markdown. `steps` is the length of
    the whole run, `context` the tokens in a row, `begun` the untouched model's training loss, where it was measured.
    `allocation` moves AdaLoRA's ranks, `perturbation` the input embeddings,
    and `anchor` holds the weights back.
    """

    recipe: TrainRecipe
    run: Run
    shards: Shards
    context: int
    steps: int
    save_model: Callable[[Path], None]
    load_model: Callable[[Path], None]
    samples: Callable[[], str] | None = None
    sample_every: int | None = None
    allocation: Allocation | None = None
    rates: Callable[[int], float] | None = None
    perturbation: Perturbation | None = None
    anchor: Anchor | None = None
    begun: float | None = None

    def rate(self, step: int) -> float:
        """The learning rate of optimizer step `step` (from 0): `rates` where it is given, else the recipe's schedule."""
        return self.rates(step) if self.rates else learning_rate(step, self.steps, self.recipe)

    @property
    def measured(self) -> bool:
        """Whether there are dev examples to evaluate on."""
        return "dev" in self.shards.splits and len(self.shards.splits["dev"]) > 0

    @property
    def evaluate_every(self) -> int:
        """Steps between evaluations: as the recipe says, or ten in a run."""
        return self.recipe.evaluate_every or max(1, math.ceil(self.steps / 10))


def fit(
    objective: nn.Module,
    plan: Plan,
    accelerator: Accelerator,
    *,
    resume: bool = False,
    sharding: Sharding | None = None,
) -> State:
    """Train until `plan.steps`, early stopping or Ctrl-C; return the state at the end.

    With `sharding` its objective is trained, and `objective` is filled from it when it is saved. Raises `Interrupted` when
    the user stopped it (everything is saved), `TrainingError` when the loss is no number or another process is gone (the
    last good checkpoint is kept).
    """
    recipe, run = plan.recipe, plan.run
    optimizer = build_optimizer(objective, recipe)
    state = _resumed(objective, optimizer, plan, accelerator) if resume else State(lowest=plan.begun)
    if sharding is None:
        wrapped, stepper = accelerator.prepare(objective, optimizer)
    else:
        wrapped, stepper = sharding.objective, sharding.begin(recipe, optimizer)
    # Only the main process writes files; the others compute.
    metrics = Metrics(run, recipe.sinks, state.step or -1) if accelerator.is_main_process else None
    log = _Log(metrics, plan, accelerator)
    stage = _Fitting(objective, wrapped, optimizer, stepper, state, plan, accelerator, log, sharding)
    try:
        with telling_lost_processes(accelerator.num_processes):
            drive(stage)
        if _exhausted(state, recipe):
            log.say(
                f"stopped early: {state.worse} evaluations without improvement, the best was at step {state.best_step}"
            )
    except TrainingError as error:
        if metrics is not None:
            run.event(str(error))
        raise
    finally:
        if metrics is not None:
            metrics.close()
    return state


class _Fitting:
    """Likelihood training as a stage of the loop."""

    def __init__(
        self,
        objective: nn.Module,
        wrapped: nn.Module,
        optimizer: torch.optim.Optimizer,
        stepper: Any,
        state: State,
        plan: Plan,
        accelerator: Accelerator,
        log: _Log,
        sharding: Sharding | None = None,
    ) -> None:
        self._sharding = sharding
        self._objective, self._wrapped, self._optimizer, self._stepper = objective, wrapped, optimizer, stepper
        self._state, self._plan, self._accelerator, self._log = state, plan, accelerator, log
        self.steps, self.evaluate_every = plan.steps, plan.evaluate_every
        self.save_every = plan.recipe.save_every or plan.evaluate_every
        self.save_minutes = plan.recipe.save_minutes

    @property
    def at(self) -> int:
        return self._state.step

    def exhausted(self) -> bool:
        return _exhausted(self._state, self._plan.recipe)

    def step(self) -> None:
        done = _train_step(self._wrapped, self._stepper, self._state, self._plan, self._accelerator)
        self._log.step(self._state, *done)

    def evaluate(self) -> bool:
        # What is spread over the processes is measured where it is.
        measured = self._objective if self._sharding is None else self._wrapped
        return _evaluate(measured, self._state, self._plan, self._accelerator, self._log)

    def save(self, *, best: bool) -> None:
        self._gather()
        _save(self._objective, self._optimizer, self._state, self._plan, self._accelerator, best=best)

    def sample(self) -> None:
        if _sample_is_due(self._state, self._plan):
            self._gather()
            _sample(self._objective, self._state, self._plan, self._accelerator)

    def _gather(self) -> None:
        if self._sharding is not None:
            self._sharding.pull(self._optimizer, self._stepper, keep=self._accelerator.is_main_process)

    def agree(self, late: bool, stop: bool) -> tuple[bool, bool]:
        late, stop = _agreed(self._accelerator, late, stop)
        return late, stop


def _train_step(
    wrapped: nn.Module, optimizer: Any, state: State, plan: Plan, accelerator: Accelerator
) -> tuple[Batch, float, float]:
    """One optimizer step; returns the whole step's batch, its mean loss and the gradient's norm before clipping."""
    recipe, world = plan.recipe, accelerator.num_processes
    for group in optimizer.param_groups:
        group["lr"] = plan.rate(state.step) * group.get("share", 1.0)
    torch.manual_seed(mix(recipe.seed, state.step, accelerator.process_index))
    # Every process draws the whole step's rows (they are a function of seed and step), so all know the divisor.
    batch = plan.shards.batch(
        recipe.seed, state.step, rows=recipe.rows * recipe.accumulate * world, context=plan.context
    )
    total = torch.zeros((), device=accelerator.device)
    wrapped.train()
    for number in range(recipe.accumulate):
        start = (number * world + accelerator.process_index) * recipe.rows
        tensors = batch_tensors(batch, accelerator.device, slice(start, start + recipe.rows))
        # One pass as a rule; adversarial training goes over the same rows several times.
        for share, last in plan.perturbation.passes(tensors["segment_ids"]) if plan.perturbation else [(1.0, True)]:
            final = last and number == recipe.accumulate - 1
            with contextlib.nullcontext() if final else accelerator.no_sync(wrapped), accelerator.autocast():
                loss = wrapped(**tensors)
            # Distributed data parallel averages over processes; the loss is a sum over all of them.
            with contextlib.nullcontext() if final else accelerator.no_sync(wrapped):
                accelerator.backward(loss * (share * world / max(1, batch.targets)))
            total += share * loss.detach()
    scale = accelerator.scaler.get_scale() if accelerator.scaler else 1.0
    if plan.allocation is not None:
        plan.allocation.add_penalty_gradient(scale)
    if plan.anchor is not None:
        plan.anchor.pull(scale)
    norm = whole(accelerator.clip_grad_norm_(wrapped.parameters(), recipe.clip or math.inf))
    mean = (accelerator.reduce(total, "sum") / max(1, batch.targets)).item()
    # In float16 a gradient that is too large is part of the method: the step is left out and the scale lowered.
    check_loss(state, mean, float(norm), scaled=accelerator.scaler is not None)
    optimizer.step()
    state.step += 1
    if plan.allocation is not None:
        plan.allocation.allocate(state.step)
    optimizer.zero_grad(set_to_none=True)
    state.targets += batch.targets
    state.last_loss = mean
    return batch, mean, float(norm)


def _evaluate(objective: nn.Module, state: State, plan: Plan, accelerator: Accelerator, log: _Log) -> bool:
    """Measure on dev; True when this is the best model so far."""
    recipe, better = plan.recipe, False
    if plan.measured:
        loss, bits = mean_loss(objective, plan.shards, recipe.rows, plan.context, recipe.evaluate_rows, accelerator)
        better = state.best_loss is None or loss < state.best_loss
        log.dev(state, loss, bits, better)
        if better:
            state.best_loss, state.best_step, state.worse = loss, state.step, 0
        else:
            state.worse += 1
    accelerator.wait_for_everyone()
    return better


def _sample_is_due(state: State, plan: Plan) -> bool:
    """At the start, at the end, and every so many steps between."""
    due = state.step % (plan.sample_every or max(1, plan.steps // 2)) == 0 or state.step == plan.steps
    return plan.samples is not None and due


def _sample(objective: nn.Module, state: State, plan: Plan, accelerator: Accelerator) -> None:
    if plan.samples is None or not accelerator.is_main_process:
        return
    objective.eval()
    # Each new token makes a longer text: compiled layers would be compiled again for it.
    with torch.compiler.set_stance("force_eager"):
        told = plan.samples()
    write_atomic(plan.run.folder / "samples" / f"step-{state.step:06d}.md", told)
    objective.train()


def _save(
    objective: nn.Module, optimizer: Any, state: State, plan: Plan, accelerator: Accelerator, *, best: bool
) -> None:
    if accelerator.is_main_process:
        folder = save_checkpoint(plan.run, state, objective, optimizer, plan.save_model)
        plan.run.point("last", folder, step=state.step)
        if best:
            plan.run.point("best", folder, step=state.step, loss=state.best_loss)
        rotate(plan.run, plan.recipe.keep)
    accelerator.wait_for_everyone()


def _resumed(objective: nn.Module, optimizer: torch.optim.Optimizer, plan: Plan, accelerator: Accelerator) -> State:
    folder, damaged = newest_whole(plan.run)
    state = (
        State(lowest=plan.begun) if folder is None else load_checkpoint(folder, objective, optimizer, plan.load_model)
    )
    if accelerator.is_main_process:
        set_aside(plan.run, damaged)
        if folder is None:
            say("no whole checkpoint in the run yet: starting at step 0")
        else:
            say(f"resumed at step {state.step} of {plan.steps}, loss was {state.last_loss:.4f}")
            # A kill may have come between the checkpoint and the pointer to it.
            if state.best_step == state.step:
                plan.run.point("best", folder, step=state.step, loss=state.best_loss)
        plan.run.event(f"resumed at step {state.step}")
        clear_leftovers(plan.run)
    return state


def _agreed(accelerator: Accelerator, *wishes: bool) -> list[bool]:
    """Each wish, true on every process when it is on one: all must save and stop at the same step."""
    if accelerator.num_processes == 1:
        return list(wishes)
    counts = accelerator.reduce(torch.tensor([float(wish) for wish in wishes], device=accelerator.device), "sum")
    return [count > 0 for count in counts.tolist()]


def _exhausted(state: State, recipe: TrainRecipe) -> bool:
    return recipe.patience is not None and state.worse >= recipe.patience


def mix(*parts: int) -> int:
    """One 63-bit seed from several integers (the multiplier is that of Knuth's MMIX generator)."""
    mixed = 0
    for part in parts:
        mixed = (mixed ^ part) * 6364136223846793005 + 1442695040888963407
    return mixed % (1 << 63)


class _Log:
    """Console lines, metrics and events of the loop, from the main process only."""

    def __init__(self, metrics: Metrics | None, plan: Plan, accelerator: Accelerator) -> None:
        self._metrics, self._plan, self._device = metrics, plan, accelerator.device
        self._since = time.monotonic()
        self._steps = self._targets = self._tokens = self._bytes = 0
        self._loss = 0.0

    def say(self, message: str) -> None:
        """One line on the console and in `events.log`."""
        if self._metrics is not None:
            say(message)
            self._plan.run.event(message)

    def step(self, state: State, batch: Batch, loss: float, norm: float) -> None:
        """Count one step; write a line when one is due."""
        self._steps += 1
        self._targets += batch.targets
        self._tokens += int((batch.segment_ids > 0).sum())
        self._bytes += batch.target_bytes
        self._loss += loss * batch.targets
        if self._metrics is None or (state.step % self._plan.recipe.log_every and state.step < self._plan.steps):
            return
        seconds = max(1e-9, time.monotonic() - self._since)
        left = (self._plan.steps - state.step) * seconds / self._steps
        mean, rate = (
            self._loss / max(1, self._targets),
            self._plan.rate(state.step - 1),
        )
        values = {
            "loss": mean,
            "bits_per_byte": self._loss / LN2 / max(1, self._bytes),
            "lr": rate,
            "grad_norm": norm,
            "targets": state.targets,
            "targets_per_second": self._targets / seconds,
            "tokens_per_second": self._tokens / seconds,
            "memory_mb": peak_memory(self._device) / 1e6,
        }
        self._metrics.write(state.step, "train", values)
        say(
            f"step {state.step}/{self._plan.steps}  loss {mean:.4f}  bpb {values['bits_per_byte']:.4f}  lr {rate:.2e}  "
            f"|g| {norm:.2f}  {values['targets_per_second']:.0f} tok/s  {values['memory_mb']:.0f} MB  ETA {_clock(left)}"
        )
        self._restart()

    def dev(self, state: State, loss: float, bits: float, better: bool) -> None:
        """The line of an evaluation."""
        if self._metrics is not None:
            self._metrics.write(state.step, "dev", {"loss": loss, "bits_per_byte": bits})
            mark = "  (best so far)" if better and state.step else ""
            self.say(f"step {state.step}/{self._plan.steps}  dev loss {loss:.4f}  dev bpb {bits:.4f}{mark}")
        self._since = time.monotonic() if self._steps == 0 else self._since

    def _restart(self) -> None:
        self._since = time.monotonic()
        self._steps = self._targets = self._tokens = self._bytes = 0
        self._loss = 0.0


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
