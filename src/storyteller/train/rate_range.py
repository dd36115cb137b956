"""Which learning rate? A range test: the rate rises from step to step, on a copy, until the loss does (Smith 2017).

Batches differ more in how hard they are than a step changes the model. So each loss is taken against the one that the
untouched model has in the same step: what is left is what training did. The untouched model is one that takes the very steps at
a rate of nothing, so that whatever the recipe adds to the loss (smoothing, a teacher, noise, dropout) is in both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from storyteller.errors import TrainingError
from storyteller.recipe import Recipe
from storyteller.recipe.rates import rates_of
from storyteller.runs import Run, write_json
from storyteller.runs.console import progress, say
from storyteller.runs.plot import plot_rates
from storyteller.train.checkpoint import State
from storyteller.train.drive import drive
from storyteller.train.finetune import _prepare as _prepare_old
from storyteller.train.interrupt import Interrupted
from storyteller.train.loop import Plan, _train_step
from storyteller.train.optim import build_optimizer
from storyteller.train.perturb import Perturbation
from storyteller.train.pretrain import _prepare as _prepare_new

__all__ = ["RateRange", "find_rate", "suggest"]

STEPS = 48
_NEAR = 2
_SHARE = 10
"""A tenth of the rate with the lowest loss is the usual advice (Howard and Gugger 2020, "fastai", arXiv 2002.04688)."""


@dataclass(frozen=True)
class RateRange:
    """What a range test found: at each rate the loss against the untouched model's, in nats a token, and its smoothing.

    `lowest` is the rate at which the smoothed one was lowest, `diverged` that at which training came to nothing, None when
    it never did. `suggested` is None when no rate made the loss fall.
    """

    method: str
    rates: list[float]
    changes: list[float]
    smoothed: list[float]
    lowest: float
    diverged: float | None
    suggested: float | None

    def __str__(self) -> str:
        end = f"training came to nothing at {self.diverged:.1e}" if self.diverged else "no rate was too high"
        if self.suggested is None:
            return f"no rate from {self.rates[0]:.1e} to {self.rates[-1]:.1e} made the loss fall; {end}."
        return (
            f"the loss was lowest ({min(self.smoothed):+.3f} nats a token) at {self.lowest:.1e}; {end}. "
            f"Suggested: train.lr={self.suggested:.1e}"
        )


def find_rate(recipe: Recipe, folder: Path, steps: int | None = None, *, new: bool = False) -> RateRange:
    """Test rates for `recipe` in `steps` steps (48 by default); write `rates.json` and `rates.svg` to `folder`, no more.

    The rates rise geometrically from a hundredth of the usual one to thirty times it. With `new` the recipe is one of
    pretraining. What only pulls weights back and stands in no loss (EWC, AdaLoRA's orthogonality) is left out. Raises what
    preparing a run raises.
    """
    steps = steps or STEPS
    prepare: Callable[[Recipe], Any] = _prepare_new if new else _prepare_old
    prepared = prepare(recipe.model_copy(update={"train": recipe.train.model_copy(update=_ONCE | {"steps": steps})}))
    usual = rates_of(recipe).usual
    rates = [usual / 100 * 3000 ** (step / (steps - 1)) for step in range(steps)]
    plan = Plan(
        recipe=prepared.recipe.train,
        run=Run(folder),
        shards=prepared.shards,
        context=recipe.data.context,
        steps=steps,
        save_model=lambda _: None,
        load_model=lambda _: None,
        rates=lambda step: rates[step],
        begun=prepared.estimate.loss,
        perturbation=Perturbation(prepared.model, recipe.train.perturb) if recipe.train.perturb else None,
    )
    stage = _RangeTest(prepared.objective, plan, prepared.accelerator)
    before = stage.untouched()
    say(f"testing {steps} rates from {rates[0]:.1e} to {rates[-1]:.1e}; no run is started and nothing is kept")
    try:
        drive(stage)
    except Interrupted:
        raise Interrupted(f"stopped at rate {stage.at} of {steps}; a range test keeps nothing") from None
    changes = [loss - base for loss, base in zip(stage.losses, before, strict=False)]
    diverged = rates[len(changes)] if len(changes) < steps else None
    if not changes:
        raise TrainingError(f"training came to nothing at the lowest rate, {rates[0]:.1e}; is the model whole?")
    found = suggest(recipe.model.method, rates[: len(changes)], changes, diverged)
    if prepared.accelerator.is_main_process:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "rates.json", asdict(found))
        plot_rates(folder / "rates.svg", found.rates, found.changes, found.smoothed, found.suggested)
    return found


def suggest(method: str, rates: Sequence[float], changes: Sequence[float], diverged: float | None) -> RateRange:
    """The smoothed changes, their lowest point, and a tenth of its rate; none when the loss never fell by a hundredth."""
    # The mean of neighbours, since an exponential mean would find the lowest point late and so at too high a rate.
    near = [changes[max(0, at - _NEAR) : at + _NEAR + 1] for at in range(len(changes))]
    smoothed = [sum(part) / len(part) for part in near]
    lowest = min(range(len(smoothed)), key=smoothed.__getitem__)
    fell = smoothed[lowest] < -0.01
    # One digit: the test knows no more.
    suggested = float(f"{rates[lowest] / _SHARE:.0e}") if fell else None
    return RateRange(method, list(rates), list(changes), smoothed, rates[lowest], diverged, suggested)


#: What a range test does not do, whatever the recipe says.
_ONCE: dict[str, Any] = {"epochs": None, "minutes": None, "patience": None, "sinks": [], "schedule": "constant"}


class _RangeTest:
    """The steps of a range test as a stage of the loop, which neither measures nor saves."""

    def __init__(self, objective: nn.Module, plan: Plan, accelerator: Any) -> None:
        self._plan, self._accelerator, self._state = plan, accelerator, State(lowest=plan.begun)
        self._wrapped, self._optimizer = accelerator.prepare(objective, build_optimizer(objective, plan.recipe))
        self.losses: list[float] = []
        self._over = False
        self.steps, self.evaluate_every, self.save_every, self.save_minutes = plan.steps, 1 << 30, 1 << 30, 1e9

    def untouched(self) -> list[float]:
        """The loss of the model as it is, in nats a token, in every step; afterwards nothing has happened."""
        plan, losses = replace(self._plan, rates=lambda step: 0.0), []
        with progress(plan.steps, "reading with the untouched model") as advance:
            for _ in range(plan.steps):
                losses.append(_train_step(self._wrapped, self._optimizer, self._state, plan, self._accelerator)[1])
                advance()
        self._state = State(lowest=plan.begun)
        self._optimizer.state.clear()
        return losses

    @property
    def at(self) -> int:
        return self._state.step

    def exhausted(self) -> bool:
        return self._over

    def step(self) -> None:
        try:
            _, loss, _ = _train_step(self._wrapped, self._optimizer, self._state, self._plan, self._accelerator)
        except TrainingError:  # what the test is to find
            self._over = True
        else:
            self.losses.append(loss)

    def evaluate(self) -> bool:
        return False

    def save(self, *, best: bool) -> None:
        """Keep nothing."""

    def sample(self) -> None:
        """Tell nothing."""

    def agree(self, late: bool, stop: bool) -> tuple[bool, bool]:
        return False, stop
