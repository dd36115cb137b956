"""The end of a refinement: how strong an adapter, which weights, and whether it may be shipped at all."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from storyteller.adversarial.measuring import UnjudgedError
from storyteller.adversarial.monitors import Alarm, told_apart, violations
from storyteller.adversarial.policy import Weights
from storyteller.models.adapters.factors import Factors, read_factors
from storyteller.runs.console import say
from storyteller.runs.files import read_json, write_json

if TYPE_CHECKING:
    from storyteller.adversarial.refinement import Refinement

__all__ = ["Candidate", "Decision", "Spot", "decide", "join_adapters", "matched_gain"]

_PREFIX = "base_model.model."

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
    if gain > 0 and not broken and (matched is None or matched > 0):
        why = f"on prompts never used before J is {gain:+.4f}, and every guardrail holds"
        if matched is not None:
            why += f"; at this distinct-2 or more the judges' AUC is {matched:.3f} lower"
        return Decision(best.scale, best.weights, why, tuple(tried), gate, reference, gain, points, matched), chosen
    reason = "; ".join(map(str, broken)) or f"J is {gain:+.4f}, not above 0"
    if gain > 0 and not broken:
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


def join_adapters(first: Path | None, second: Path, folder: Path, *, without_second: bool = False) -> None:
    """Write to `folder` the one LoRA adapter that does what `first` and `second` do together; `second`'s config serves.

    Their deltas add up: with the factors of both side by side, the rank is the sum of the ranks and nothing is lost. With
    `without_second`, or without a `first`, it is the other one alone.
    """
    import torch
    from safetensors.torch import save_file

    if without_second and first is not None:
        for name in ("adapter_model.safetensors", "adapter_config.json"):
            shutil.copyfile(first / name, folder / name)
        return
    if first is None:
        return  # `second` stands in `folder` already
    parts: list[Factors] = [read_factors(first), read_factors(second)]
    ranks = [max(down.shape[0] for down, _ in factors.values()) for factors in parts]
    tensors = {}
    for layer in sorted({layer for factors in parts for layer in factors}):
        like = next(factors[layer] for factors in parts if layer in factors)
        downs, ups = [], []
        for factors, rank in zip(parts, ranks, strict=True):
            down, up = factors.get(
                layer, (like[0].new_zeros(0, like[0].shape[1]), like[1].new_zeros(like[1].shape[0], 0))
            )
            room = rank - down.shape[0]
            downs.append(torch.cat([down, down.new_zeros(room, down.shape[1])]))
            ups.append(torch.cat([up, up.new_zeros(up.shape[0], room)], dim=1))
        tensors[f"{_PREFIX}{layer}.lora_A.weight"] = torch.cat(downs).contiguous()
        tensors[f"{_PREFIX}{layer}.lora_B.weight"] = torch.cat(ups, dim=1).contiguous()
    config, other = read_json(second / "adapter_config.json"), read_json(first / "adapter_config.json")
    targets = sorted({*config["target_modules"], *other["target_modules"]})
    changes = {"r": sum(ranks), "lora_alpha": sum(ranks), "use_rslora": False, "target_modules": targets}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    write_json(folder / "adapter_config.json", config | changes)
