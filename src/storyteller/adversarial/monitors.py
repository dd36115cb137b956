"""Monitors: what is watched while generator and critic fight, and when it is time to go back.

Step monitors look at every step, evaluation monitors at the same prompts again and again, always against the reference on
those prompts. An alarm says which monitor tripped, and why, with its figures.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from storyteller.recipe.models import FALLING, MonitorsRecipe

__all__ = ["GUARDS", "Alarm", "Watch", "excess", "told_apart", "violations"]

Figures = Mapping[str, float]

GUARDS = ("distinct_2", "self_bleu", "rep_4", "length", "endings", "human_nll", "copying", "entropy", "kl")
"""The figures of an evaluation that may not get worse while the judges are pleased."""

_MEMORY = 50
_DECAY = 0.8


@dataclass(frozen=True, slots=True)
class Alarm:
    """A monitor that tripped: its name and the reason in words."""

    monitor: str
    reason: str

    def __str__(self) -> str:
        return f"{self.monitor}: {self.reason}"


def excess(name: str, value: float, reference: float) -> float:
    """By how much the guarded figure `name` is worse than the reference's, in the unit of its limits (0 or less: not)."""
    if name in FALLING:
        return 1 - value / reference if reference else 0.0
    if name == "length":
        return abs(value / reference - 1) if reference else 0.0
    if name == "endings":
        return reference - value
    if name == "kl":
        return value
    return value - reference


def told_apart(figures: Figures) -> float:
    """The judges' AUC, at least .5: below that a judge guesses, and the least of several guesses is no gain."""
    return max(0.5, figures["judge_auc"])


def _limits(name: str, recipe: MonitorsRecipe) -> tuple[float, float]:
    """What is healthy and what is an alarm, in the unit of `excess`."""
    healthy, alarm = getattr(recipe, name)
    return (1 - healthy, 1 - alarm) if name in FALLING else (healthy, alarm)


def violations(figures: Figures, reference: Figures, recipe: MonitorsRecipe) -> list[Alarm]:
    """The guardrails that an evaluation breaks."""
    found = []
    for name in GUARDS:
        if name not in figures:
            continue
        value, limit = figures[name], _limits(name, recipe)[1]
        worse = excess(name, value, reference.get(name, 0.0))
        if not worse <= limit:  # also when it is not a number
            beside = f" (the reference: {reference[name]:.4g})" if name in reference and name != "kl" else ""
            found.append(Alarm(name, f"{value:.4g}{beside} is worse by {worse:.3g}, and {limit:.3g} is allowed"))
    return found


@dataclass
class Watch:
    """All monitors with what they remember; `reference` are the reference model's figures on the evaluation's prompts."""

    recipe: MonitorsRecipe
    reference: dict[str, float] = field(default_factory=dict)
    high: int = 0
    low: int = 0
    flat: int = 0
    dead: int = 0
    drift: float | None = None
    unrest: float | None = None
    norms: list[float] = field(default_factory=list)
    history: list[tuple[float, float]] = field(default_factory=list)

    def step(self, figures: Figures) -> list[Alarm]:
        """The alarms of one step; figures that a trainer does not have are not watched."""
        alarms = [*self._numeric(figures), *self._balance(figures), *self._signal(figures)]
        recipe = self.recipe
        if "kl" in figures and math.isfinite(figures["kl"]):
            self.drift = figures["kl"] if self.drift is None else _DECAY * self.drift + (1 - _DECAY) * figures["kl"]
            if self.drift > recipe.kl[1]:
                alarms.append(
                    Alarm(
                        "kl", f"{self.drift:.3g} nats per token from the reference, and {recipe.kl[1]:.3g} is allowed"
                    )
                )
        share = figures.get("entropy_share")
        if share is not None and math.isfinite(share):
            self.unrest = share if self.unrest is None else _DECAY * self.unrest + (1 - _DECAY) * share
            if self.unrest < recipe.entropy[1]:
                alarms.append(Alarm("entropy", f"{self.unrest:.0%} of the reference's; under {recipe.entropy[1]:.0%}"))
        return alarms

    def evaluation(self, figures: Figures) -> list[Alarm]:
        """The alarms of one evaluation."""
        alarms = violations(figures, self.reference, self.recipe)
        if "critic_auc" in figures and "judge_auc" in figures:
            self.history.append((figures["critic_auc"], figures["judge_auc"]))
            since = self.recipe.judge_evaluations
            if len(self.history) > since:
                critic, judge = self.history[-1 - since]
                if figures["critic_auc"] < critic - 0.02 and figures["judge_auc"] >= judge:
                    alarms.append(
                        Alarm(
                            "judge",
                            f"in {since} evaluations the critic's AUC fell from {critic:.3f} to "
                            f"{figures['critic_auc']:.3f}, the independent judge's did not ({judge:.3f} to "
                            f"{figures['judge_auc']:.3f}): the policy is learning to please the critic",
                        )
                    )
        return alarms

    def objective(self, figures: Figures, reference: Figures | None = None) -> float:
        """J: what the judge's AUC fell by from the reference's, less what the guardrails lost beyond what is healthy."""
        beside = self.reference if reference is None else reference
        lost = 0.0
        for name in GUARDS:
            if name in figures:
                healthy, limit = _limits(name, self.recipe)
                beyond = excess(name, figures[name], beside.get(name, 0.0)) - healthy
                lost += max(0.0, beyond / max(1e-9, limit - healthy))
        return told_apart(beside) - told_apart(figures) - self.recipe.guard_weight * lost

    def calm(self) -> None:
        """Forget the counts after a roll-back; the reference's figures stay."""
        self.high = self.low = self.flat = self.dead = 0
        self.drift = self.unrest = None
        self.norms, self.history = [], []

    def to_json(self) -> dict[str, Any]:
        """Everything that is remembered."""
        return {key: value for key, value in asdict(self).items() if key != "recipe"}

    @classmethod
    def from_json(cls, recipe: MonitorsRecipe, values: Mapping[str, Any]) -> Watch:
        """The watch that `to_json` wrote."""
        history = [(critic, judge) for critic, judge in values["history"]]
        return cls(recipe, **{**values, "history": history})

    def _numeric(self, figures: Figures) -> list[Alarm]:
        norm, loss = figures.get("grad_norm", 0.0), figures.get("loss", 0.0)
        if not (math.isfinite(norm) and math.isfinite(loss)):
            return [Alarm("number", f"the loss is {loss} and the gradient norm {norm}: the step was not taken")]
        usual = statistics.median(self.norms) if len(self.norms) >= self.recipe.patience_steps else None
        self.norms = [*self.norms, norm][-_MEMORY:]
        if usual and norm > self.recipe.grad_spike * usual:
            return [Alarm("grad_norm", f"{norm:.3g}, over {self.recipe.grad_spike:g} times its median {usual:.3g}")]
        return []

    def _balance(self, figures: Figures) -> list[Alarm]:
        accuracy, recipe = figures.get("critic_accuracy"), self.recipe
        if accuracy is None:
            return []
        # Only `gail` learns from the logits as they are. The weights of `coop` are softened and `pairs` ranks, which says as
        # much when the critic wins; and between their rounds nothing holds it back, so the alarm would end run after run.
        wins = "critic_updates" in figures and accuracy > recipe.accuracy_high
        self.high = self.high + 1 if wins else 0
        self.low = self.low + 1 if accuracy < recipe.accuracy_low else 0
        if max(self.high, self.low) < recipe.patience_steps:
            return []
        which = "over" if self.high else "under"
        limit = recipe.accuracy_high if self.high else recipe.accuracy_low
        return [
            Alarm(
                "critic_accuracy",
                f"{accuracy:.2f} has been {which} {limit:.2f} for {max(self.high, self.low)} steps: "
                + ("its reward says nothing" if self.high else "its reward is noise"),
            )
        ]

    def _signal(self, figures: Figures) -> list[Alarm]:
        if "dead_groups" not in figures:
            return []
        recipe = self.recipe
        spread = figures.get("reward_std")  # only `gail` has rewards
        self.flat = self.flat + 1 if spread is not None and spread < recipe.reward_std else 0
        self.dead = self.dead + 1 if figures["dead_groups"] > recipe.dead_groups else 0
        if max(self.flat, self.dead) < recipe.patience_steps:
            return []
        return [
            Alarm(
                "reward",
                f"no signal for {max(self.flat, self.dead)} steps: "
                + ("" if spread is None else f"spread {spread:.3g} within groups, ")
                + f"{figures['dead_groups']:.0%} of the groups without any",
            )
        ]
