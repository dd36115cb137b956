"""The rule that a refined storyteller must pass: fixed with the prompts before anything is judged, and held to afterwards."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storyteller.evaluate.texts import Text
from storyteller.runs import write_json

SPREAD = 0.287
"""Standard deviation of a difference of AUC, times the root of the prompts: TextGAIL's endings have a 95 % half-width of
.013 on 1,871 prompts of one seed, so .013 / 1.96 * sqrt(1871)."""

RULE = {
    "gain": 0.015,
    "strong": 0.03,
    "families": 2,
    "p_holm": 0.05,
    "distinct_2": 0.97,
    "self_bleu": 0.02,
    "rep_4": 0.01,
    "length": 0.10,
    "human_loss": 0.05,
    "copied": 0.01,
    "relevance": 0.01,
}
RULE_IN_WORDS = (
    "Against every baseline at its distinct-2: the candidate's AUC is lower by `gain` or more, with p (Holm over the three "
    "families) under `p_holm`, in `families` of three judge families, and higher in none; distinct-2 at least that share of "
    "fine-tuning's at the same temperature, self-BLEU-4 and rep-4 not higher by more, length within that share, the share "
    "that is copied from the training texts not higher and the similarity to the prompts not lower by more, and the loss on "
    "people's texts higher by that share at most; over three seeds of training the same sign. With fewer seeds, or without "
    "a text, a loss, a guardrail's figure or a baseline of the plan, continued fine-tuning or a best of n, the verdict can "
    "only be provisional."
)
CONTINUED, BEST_OF = "continued", "best-of-"
"""The baselines that no comparison may do without, whatever its plan says."""

Losses = dict[str, dict[str, list[float]]]
"""By model and prompt the loss on the human text, in nats a token, of each seed of training."""


@dataclass(frozen=True)
class Spot:
    """One system at one temperature: its diversity, its shape, and NaN for what was not measured."""

    distinct_2: float
    self_bleu: float
    rep_4: float
    length: float
    copied: float = math.nan
    relevance: float = math.nan


def write_plan(people: Sequence[Text], systems: Sequence[str], temperatures: str, seeds: int, out: Path) -> None:
    prompts = sorted({hashed(text.prompt_id) for text in people})
    error = SPREAD / math.sqrt(len(prompts) * seeds)
    plan = {
        "rule": RULE,
        "rule_in_words": RULE_IN_WORDS,
        "systems": list(systems),
        "temperatures": [float(value) for value in temperatures.split(",")],
        "seeds_of_training": seeds,
        "power": {
            "texts_of_a_system_at_a_temperature": len(prompts) * seeds,
            "standard_error": round(error, 4),
            "standard_error_of_one_seed": round(SPREAD / math.sqrt(len(prompts)), 4),
            "chance_to_see_0.015": round(power(0.015, error), 3),
            "chance_to_see_0.03": round(power(0.03, error), 3),
            "smallest_seen_with_0.8": round((1.96 + 0.8416) * error, 4),
            "prompts_for_0.015_with_0.8": math.ceil(((1.96 + 0.8416) * SPREAD / 0.015) ** 2),
            "prompts_for_0.03_with_0.8": math.ceil(((1.96 + 0.8416) * SPREAD / 0.03) ** 2),
        },
        "prompts": prompts,
    }
    write_json(out, plan)
    print(json.dumps(plan["power"], indent=1), len(prompts), "prompts")


def power(effect: float, error: float) -> float:
    """The chance that a true difference of AUC is found at p < .05, two-sided, of one family."""
    return 0.5 * math.erfc((1.96 - effect / error) / math.sqrt(2))


def hashed(prompt_id: str) -> str:
    return hashlib.sha256(prompt_id.encode()).hexdigest()[:16]


def guardrails(
    name: str, reference: str, spots: dict[tuple[str, float], Spot], human_loss: dict[str, Any], rule: dict[str, float]
) -> list[str]:
    """Which limits of a plan's rule the system breaks; a limit that the plan does not have holds nobody."""
    limit = {key: rule.get(key, math.inf) for key in RULE}
    broken = []
    if (rise := human_loss.get(name)) and rise["value"] > limit["human_loss"] * rise["of"]:
        broken.append(f"loss on people's texts higher by {rise['value']:.3f} than {rise['of']:.3f}")
    for (system, temperature), spot in spots.items():
        beside = spots.get((reference, temperature))
        if system != name or beside is None:
            continue
        if spot.distinct_2 < rule.get("distinct_2", 0.0) * beside.distinct_2:
            broken.append(f"distinct-2 {spot.distinct_2:.3f} for {beside.distinct_2:.3f} at {temperature:g}")
        if spot.self_bleu > beside.self_bleu + limit["self_bleu"]:
            broken.append(f"self-BLEU-4 {spot.self_bleu:.3f} for {beside.self_bleu:.3f} at {temperature:g}")
        if spot.rep_4 > beside.rep_4 + limit["rep_4"]:
            broken.append(f"rep-4 {spot.rep_4:.3f} for {beside.rep_4:.3f} at {temperature:g}")
        if abs(spot.length / beside.length - 1) > limit["length"]:
            broken.append(f"length {spot.length:.1f} for {beside.length:.1f} at {temperature:g}")
        if spot.copied > beside.copied + limit["copied"]:
            broken.append(f"copied {spot.copied:.1%} for {beside.copied:.1%} at {temperature:g}")
        if spot.relevance < beside.relevance - limit["relevance"]:
            broken.append(f"relevance {spot.relevance:.3f} for {beside.relevance:.3f} at {temperature:g}")
    return broken


def lacking(
    name: str, plan: dict[str, Any], reference: str, baselines: Sequence[str], against: Sequence[dict[str, Any]],
    short: dict[tuple[str, float], int], spots: dict[tuple[str, float], Spot],
) -> list[str]:  # fmt: skip
    """What the plan asks to be judged beside `name` and was not; `short` counts the texts missing of each that was."""
    planned = [one for one in plan["systems"] if one.startswith(BEST_OF)] or [f"{BEST_OF}n"]
    absent = [f"no baseline {one}" for one in (reference, CONTINUED, *planned) if one not in baselines]
    for one in against:
        if (seeds := len(one["gains_by_seed"])) < plan["seeds_of_training"]:
            absent.append(f"{seeds} of {plan['seeds_of_training']} seeds of training beside {one['baseline']}")
        if not one["matched"]:
            absent.append(f"no temperature at which it and {one['baseline']} have one distinct-2")
    for temperature in sorted({*plan["temperatures"], *(own for system, own in short if system == name)}):
        absent += [f"no {one} at {temperature:g}" for one in (name, reference) if (one, temperature) not in short]
    own = [spot for (system, _), spot in spots.items() if system in (name, reference)]
    if "copied" in plan["rule"] and any(math.isnan(spot.copied) for spot in own):
        absent.append("how much is copied from the training texts (--data)")
    if "relevance" in plan["rule"] and any(math.isnan(spot.relevance) for spot in own):
        absent.append("relevance, since the texts do not say what was asked")
    held = {name, *(one["baseline"] for one in against)}
    absent += [f"{count} texts of {one} at {temperature:g} missing" for (one, temperature), count in short.items()
               if count and one in held]  # fmt: skip
    return absent


def lacking_losses(
    name: str, plan: dict[str, Any], reference: str, people: dict[str, Text], losses: Losses
) -> list[str]:
    """Of which model the loss on people's texts is not known for all prompts, of the reference once, else of each seed."""
    if name.startswith(BEST_OF) or "human_loss" not in plan["rule"]:  # the best of n are drafts of the reference
        return []
    known = {one: min(len(losses.get(one, {}).get(prompt, ())) for prompt in people) for one in (name, reference)}
    wanted = {name: plan["seeds_of_training"], reference: 1}
    return [f"{one}'s loss on people's texts for {known[one]} of {count} seeds (--losses)"
            for one, count in wanted.items() if known[one] < count]  # fmt: skip


def verdict_on(
    name: str, candidate: bool, against: list[dict[str, Any]], broken: list[str], absent: list[str]
) -> dict[str, Any]:
    """A comparison that was not matched in distinct-2 shows nothing, neither way; it stands in `absent`."""
    matched = [one for one in against if one["matched"]]
    failed = bool(broken) or any(not one["passed"] or one["same_sign"] is False for one in matched)
    return {
        "system": name, "candidate": candidate, "against": against, "broken": broken, "provisional": absent,
        "verdict": "FAILED" if failed else "PROVISIONAL" if absent else "PASSED", "passed": not failed and not absent,
    }  # fmt: skip
