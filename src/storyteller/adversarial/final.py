"""The end of a refinement: how strong an adapter, which weights, and whether it may be shipped at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from storyteller.adversarial.measuring import UnjudgedError
from storyteller.adversarial.monitors import Alarm, told_apart, violations
from storyteller.adversarial.policy import Weights
from storyteller.runs.console import say

if TYPE_CHECKING:
    from storyteller.adversarial.refinement import Refinement

__all__ = ["Candidate", "Decision", "Spot", "decide", "matched_gain"]

Spot = tuple[float, dict[str, float], dict[str, float]]
"""A temperature, and the figures before and after at it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One adapter that was tried on the dev prompts: `weights` "raw" or "averaged", `scale` of it, figures and J."""

    weights: str
    scale: float
    figures: dict[str, float]
    gain: float
    alarms: tuple[Alarm, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What is shipped: `scale` 0 is the model unchanged. `gate` and `reference` are figures on the gate's prompts, and
    `frontier` both of them, before and after, at several temperatures; `matched_gain` is what the judges' AUC is lower by
    than that of the model unchanged at the same distinct-2, None where that was measured at one temperature alone.
    """

    scale: float
    weights: str
    why: str
    tried: tuple[Candidate, ...]
    gate: dict[str, float]
    reference: dict[str, float]
    gate_gain: float | None
    frontier: tuple[Spot, ...] = ()
    matched_gain: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the refined model replaces the one that it came from."""
        return self.scale > 0


def decide(stage: Refinement, raw: Weights, averaged: Weights) -> tuple[Decision, Weights]:
    """Choose scale and weights by J on the dev prompts, then let the choice pass the gate on prompts never used before.

    Linear interpolation towards the initial model, chosen by reward at fixed harm, is LITI of WARP (Rame et al. 2024,
    arXiv 2406.16768). The gate does no harm: J above 0 on its own prompts, every guardrail within its limit, and the
    judges' AUC lower than the unchanged model's at equal diversity, for a gain that another temperature gives as well
    is none; else the model stays unchanged. Returns the decision and the scaled weights (all of their update 0 when it failed).
    """
    kinds = {"raw": raw, "averaged": averaged} if stage.refine.ema else {"raw": raw}
    tried = []
    for kind, weights in kinds.items():
        for scale in stage.refine.scales:
            try:
                figures = stage.measured(stage.prompts.dev, stage.policy.scaled(weights, scale), 1).figures
            except UnjudgedError as error:
                say(f"adapter {kind} x {scale:g}: {error}")
                continue
            broken = tuple(violations(figures, stage.watch.reference, stage.refine.monitors))
            tried.append(Candidate(kind, scale, figures, stage.watch.objective(figures), broken))
            say(f"adapter {kind} x {scale:g}: judge AUC {figures['judge_auc']:.3f}, J {tried[-1].gain:+.4f}")
    unchanged = stage.policy.scaled(raw, 0.0)
    if not tried:
        why = "no scale of the adapter writes stories that could be judged"
        return Decision(0.0, "raw", why, (), {}, {}, None), unchanged
    best = max(tried, key=lambda one: (not one.alarms, one.gain))
    if best.gain <= 0 or best.alarms:
        why = "no scale of the adapter is better on the dev prompts than the model unchanged"
        return Decision(0.0, best.weights, why, tuple(tried), {}, {}, None), unchanged
    chosen = stage.policy.scaled(kinds[best.weights], best.scale)
    own = stage.refine.rollout.temperature
    temperatures = sorted({own, *stage.refine.frontier})
    points = tuple(filter(None, (_spot(stage, unchanged, chosen, temperature) for temperature in temperatures)))
    reference, gate = next(((old, new) for temperature, old, new in points if temperature == own), ({}, {}))
    if not gate:
        why = "the gate failed: on its prompts the stories could not be judged"
        return Decision(0.0, best.weights, why, tuple(tried), {}, {}, None), unchanged
    gain = stage.watch.objective(gate, reference)
    broken = tuple(violations(gate, reference, stage.refine.monitors))
    matched = matched_gain(points, gate)
    # Without a temperature to compare with nothing is asked; one that could not be judged leaves the question open.
    unasked = temperatures == [own]
    if gain > 0 and not broken and (unasked or (matched or 0.0) > 0):
        why = f"on prompts never used before J is {gain:+.4f}, and every guardrail holds"
        if matched is not None:
            why += f"; at this distinct-2 or more the judges' AUC is {matched:.3f} lower"
        return Decision(best.scale, best.weights, why, tuple(tried), gate, reference, gain, points, matched), chosen
    reason = "; ".join(map(str, broken)) or f"J is {gain:+.4f}, not above 0"
    if gain > 0 and not broken and matched is None:
        reason = "not compared at equal diversity, since at no other temperature of refine.frontier the stories could be judged"
    elif gain > 0 and not broken:
        reason = f"at this distinct-2 or more the judges' AUC is {-(matched or 0.0):+.3f} of the unchanged model's"
    why = f"the gate failed on prompts never used before: {reason}"
    return Decision(0.0, best.weights, why, tuple(tried), gate, reference, gain, points, matched), unchanged


def _spot(stage: Refinement, unchanged: Weights, chosen: Weights, temperature: float) -> Spot | None:
    """The figures before and after on the gate's prompts; None, told, where the judge cannot judge one of the two."""
    try:
        before, after = (
            stage.measured(stage.prompts.gate, each, 2, temperature).figures for each in (unchanged, chosen)
        )
    except UnjudgedError as error:
        say(f"at T = {temperature:g}: {error}")
        return None
    return temperature, before, after


def matched_gain(points: Sequence[Spot], figures: Mapping[str, float]) -> float | None:
    """What the judges' AUC in `figures` is lower by than the unchanged model's at the same distinct-2 or more.

    At the same it is a straight line between the model's own temperatures, and the nearest of them beyond their ends; a
    temperature that gives more variety and a lower AUC beats both. None for fewer than two.
    """
    if len(points) < 2:
        return None
    variety = figures["distinct_2"]
    line = sorted((before["distinct_2"], told_apart(before)) for _, before, _ in points)
    varieties, areas = [place for place, _ in line], [area for _, area in line]
    best = min([float(np.interp(variety, varieties, areas)), *(area for place, area in line if place >= variety)])
    return best - told_apart(figures)
