"""The loop, the only one: step, measure, save, show. What a step is, the stage says: likelihood or adversarial training."""

from __future__ import annotations

import time
from typing import Protocol

from storyteller.train.interrupt import Interrupted, interruptible
from storyteller.train.memory import advising_on_memory

__all__ = ["Stage", "drive"]


class Stage(Protocol):
    """What the loop drives: something that steps, is measured now and then, and can be saved after any step."""

    steps: int
    evaluate_every: int
    save_every: int
    save_minutes: float

    @property
    def at(self) -> int:
        """Steps done."""
        ...

    def exhausted(self) -> bool:
        """Whether it should end before `steps`."""
        ...

    def step(self) -> None:
        """Do one more step."""
        ...

    def evaluate(self) -> bool:
        """Measure; True when it has never been better."""
        ...

    def save(self, *, best: bool) -> None:
        """Write a checkpoint of this step, pointed to as the best if it is."""
        ...

    def sample(self) -> None:
        """Show what it can do, when that is due."""
        ...

    def agree(self, late: bool, stop: bool) -> tuple[bool, bool]:
        """Each wish, true on every process when it is on one."""
        ...


def drive(stage: Stage, **advice: str) -> None:
    """The loop itself: step, measure, save, show, until the stage has its steps, is exhausted or Ctrl-C comes.

    `relief` is what helps where memory is short, if not what helps a fine-tuning. Raises `Interrupted` when the user stopped
    it, after everything was saved.
    """
    saved = time.monotonic()
    with interruptible() as interrupted, advising_on_memory(**advice):
        if stage.at == 0:
            stage.evaluate()
            stage.sample()
        while stage.at < stage.steps and not stage.exhausted():
            stage.step()
            better = False
            if stage.at == stage.steps or stage.at % stage.evaluate_every == 0:
                better = stage.evaluate()
            last = stage.at == stage.steps or stage.exhausted()
            due = stage.at % stage.save_every == 0
            late, stop = stage.agree(time.monotonic() - saved > 60 * stage.save_minutes, interrupted())
            if better or due or last or late or stop:
                stage.save(best=better)
                saved = time.monotonic()
            stage.sample()
            if stop and not last:
                raise Interrupted(f"stopped at step {stage.at} of {stage.steps}; everything is saved")
