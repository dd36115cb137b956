"""Is training still going anywhere? A loss that is no number, or that has left the ground, ends a run."""

from __future__ import annotations

import math

from storyteller.errors import TrainingError
from storyteller.train.checkpoint import State

__all__ = ["check_loss", "smoothed"]

_MEMORY = 0.9
_EXPLODED = 1.5
"""How many times its lowest the smoothed loss may be. A run that explodes passes this within a few steps."""

_MARGIN = 0.5
"""Nats by which it must have risen besides: near zero, half as much again is nothing."""


_SETTLED = 8
"""The first step whose smoothed loss says anything: the mean of fewer is what one easy or hard batch makes it."""


def smoothed(before: float | None, loss: float, step: int) -> float:
    """The mean of the losses up to `step` (from 1), exponential with a memory of ten steps when there are so many."""
    return loss if before is None else before + max(1 - _MEMORY, 1 / step) * (loss - before)


def check_loss(state: State, loss: float, norm: float, *, scaled: bool) -> None:
    """Take one more step's mean loss into the state; `TrainingError` when training has come to nothing.

    It has when the loss is no number, when the gradient's norm is none (but `scaled` gradients may overflow: that step is
    left out), and when the smoothed loss stands half as high again as at its lowest, and half a nat over it. The untouched
    model's loss, `state.lowest` before the first step, counts among the lowest: a run may explode in its second step.
    """
    step = state.step + 1
    if not math.isfinite(loss) or (not scaled and not math.isfinite(norm)):
        raise TrainingError(f"step {step}: the loss is {loss} and the gradient norm {norm}. {_advice(state)}")
    state.smoothed = smoothed(state.smoothed, loss, step)
    # The first step's loss is the untouched model's, too; either may be that of easy batches.
    if state.lowest is None or step == 1:
        state.lowest = max(loss, state.lowest or 0.0)
    if step < _SETTLED:
        return
    state.lowest = min(state.lowest, state.smoothed)
    if state.smoothed > max(_EXPLODED * state.lowest, state.lowest + _MARGIN):
        raise TrainingError(
            f"step {step}: training diverges: the loss, smoothed, has risen from {state.lowest:.3f} at its lowest to "
            f"{state.smoothed:.3f}. {_advice(state)}"
        )


def _advice(state: State) -> str:
    if state.best_loss is None:
        kept = "What was saved before is kept"
    elif state.best_step == 0:
        kept = "No checkpoint was better than the model was before the first step"
    else:
        kept = f"The best checkpoint, of step {state.best_step}, is kept"
    return (
        f"{kept}. Lower train.lr (the command with the recipe and --find-lr "
        "measures one), raise train.warmup, or set train.precision=float32."
    )
