"""Does a refined storyteller pass the rule that was fixed before? Texts of all systems on one set of prompts in, a verdict out.

    python scripts/compare_refined.py plan PROMPTS.jsonl --out docs/refinement_plan.json [--prompts 200 ...]
    python scripts/compare_refined.py judge TEXTS.jsonl... --plan docs/refinement_plan.json --candidates coop,gail --out OUT

`plan` writes the hashes of the prompts, the rule and its power before anything is judged; no text is in it. `judge` refuses
texts on other prompts. A system stands at one point of the quality-diversity plane for each temperature; a candidate is
compared with a baseline at the baseline's own distinct-2, by a straight line between the candidate's points (or at its own
one on the baseline's line); where they do not reach, the nearest points are compared, and the verdict says so. Judges see
words without punctuation.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from storyteller.errors import DataError
from storyteller.evaluate.degeneration import degeneration
from storyteller.evaluate.diversity import distinct, self_bleu
from storyteller.evaluate.frontier import Point, at_diversity
from storyteller.evaluate.judges import Family, Verdict, judge
from storyteller.evaluate.matching import equalise
from storyteller.evaluate.ngrams import within_budget, words
from storyteller.evaluate.statistics import Bootstrap, Resampled, auc, holm, mean
from storyteller.evaluate.suite.meanings import Meanings
from storyteller.evaluate.texts import HUMAN, Text, read_texts
from storyteller.runs import read_json, write_json

FAMILIES: tuple[Family, ...] = ("word", "char", "embedding")
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
}
RULE_IN_WORDS = (
    "Against every baseline at its distinct-2: the candidate's AUC is lower by `gain` or more, with p (Holm over the three "
    "families) under `p_holm`, in `families` of three judge families, and higher in none; distinct-2 at least that share of "
    "fine-tuning's at the same temperature, self-BLEU-4 and rep-4 not higher by more, length within that share; over three "
    "seeds of training the same sign. With fewer seeds the verdict can only be provisional."
)


Areas = dict[tuple[tuple[str, float], Family], Resampled]
"""AUC by system and temperature, and family of judges."""


@dataclass(frozen=True)
class Spot:
    """One system at one temperature: its diversity and its shape."""

    distinct_2: float
    self_bleu: float
    rep_4: float
    length: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    plan = commands.add_parser("plan")
    plan.add_argument("texts", type=Path, help="people's texts on the prompts")
    plan.add_argument("--out", type=Path, required=True)
    plan.add_argument("--systems", required=True, help="with commas")
    plan.add_argument("--temperatures", default="0.8,1.0")
    plan.add_argument("--seeds", type=int, default=1, help="seeds of training")
    judged = commands.add_parser("judge")
    judged.add_argument("texts", type=Path, nargs="+")
    judged.add_argument("--plan", type=Path, required=True)
    judged.add_argument("--candidates", required=True, help="with commas; all other systems are baselines")
    judged.add_argument("--reference", default="fine-tuned", help="the system that the guardrails are held against")
    judged.add_argument(
        "--losses", type=Path, nargs="*", default=[], help="what refined_texts.py wrote beside its texts"
    )
    judged.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    if asked.command == "plan":
        write_plan(read_texts(asked.texts), asked.systems.split(","), asked.temperatures, asked.seeds, asked.out)
    else:
        texts = [text for path in asked.texts for text in read_texts(path)]
        verdict = compare(texts, read_json(asked.plan), asked.candidates.split(","), asked.reference, asked.out)
        losses = {name: own for path in asked.losses for name, own in read_json(path).items()}
        verdict["human_loss"] = rises(losses, asked.reference, {text.prompt_id: text.cluster for text in texts})
        write_json(asked.out / "verdict.json", verdict)
        print(render(verdict))


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


def compare(
    texts: Sequence[Text], plan: dict[str, Any], candidates: Sequence[str], reference: str, out: Path
) -> dict[str, Any]:
    people = {text.prompt_id: text for text in texts if text.system == HUMAN}
    if sorted(map(hashed, people)) != plan["prompts"]:
        raise DataError("these are not the prompts of the plan; nothing was judged.")
    points: dict[tuple[str, float], list[Text]] = defaultdict(list)
    for text in texts:
        if text.system != HUMAN:
            points[text.system, text.temperature or 0.0].append(text)
    if reference not in {name for name, _ in points} or not set(candidates) <= {name for name, _ in points}:
        raise DataError(
            f"there are texts of {sorted({name for name, _ in points})}, not of all that is to be compared."
        )
    short = {point: len(set(plan["prompts"]) - {hashed(t.prompt_id) for t in own}) for point, own in points.items()}
    spots = {point: spot_of(own, people) for point, own in points.items()}
    meanings = Meanings("en", out / "embeddings.safetensors")
    found = {
        (point, family): judged(own, people, family, meanings) for point, own in points.items() for family in FAMILIES
    }
    verdicts = {key: verdict for key, (verdict, _) in found.items()}
    bootstrap = Bootstrap(cluster for verdict in verdicts.values() for cluster in verdict.clusters)
    areas = {
        key: auc(bootstrap, verdict.human, verdict.system, verdict.clusters, verdict.clusters)
        for key, verdict in verdicts.items()
    }
    seeds = sorted({seed for _, of_texts in found.values() for seed in of_texts})
    by_seed = {
        seed: {key: of_seed(bootstrap, verdict, of_texts, seed) for key, (verdict, of_texts) in found.items()
               if seed in of_texts}
        for seed in seeds
    }  # fmt: skip
    baselines = [name for name in dict.fromkeys(name for name, _ in points) if name not in candidates]
    told = [
        verdict_on(name, candidates, baselines, reference, spots, areas, by_seed)
        for name in dict.fromkeys(name for name, _ in points)
        if name != reference
    ]
    return {
        "plan": {key: value for key, value in plan.items() if key != "prompts"},
        "missing_texts": {f"{name} {temperature:g}": count for (name, temperature), count in short.items() if count},
        "points": [
            {"system": name, "temperature": temperature, **asdict(spot)}
            | {family: asdict(areas[(name, temperature), family].interval()) for family in FAMILIES}
            | {"length_probe": asdict(verdicts[(name, temperature), "word"].probes["length"])}
            for (name, temperature), spot in spots.items()
        ],
        "systems": told,
    }


def rises(losses: dict[str, dict[str, float]], reference: str, works: dict[str, str]) -> dict[str, Any]:
    """By how much each model loses more than `reference` on people's texts, in nats a token, paired by text."""
    beside = losses.get(reference, {})
    found = {}
    for name, own in losses.items():
        shared = sorted(own.keys() & beside.keys())
        if name != reference and shared:
            bootstrap = Bootstrap(works[prompt] for prompt in shared)
            clusters = [works[prompt] for prompt in shared]
            rise = mean(bootstrap, [own[prompt] - beside[prompt] for prompt in shared], clusters)
            found[name] = asdict(rise.interval())
    return found


def spot_of(own: Sequence[Text], people: dict[str, Text]) -> Spot:
    tokens = [words(text.text) for text in own]
    budget = sum(len(words(people[text.prompt_id].text)) for text in own) // 2
    faults = degeneration([text.text for text in own], "en")
    return Spot(
        distinct(within_budget(tokens, min(budget, sum(map(len, tokens)))), 2),
        float(self_bleu(tokens).mean()),
        sum(fault.rep_4 for fault in faults) / len(faults),
        sum(map(len, tokens)) / len(tokens),
    )


def judged(
    own: Sequence[Text], people: dict[str, Text], family: Family, meanings: Meanings
) -> tuple[Verdict, list[int]]:
    """The verdict on a system's texts, and the seed of each pair that it has judged."""
    pairs = equalise([people[text.prompt_id].text for text in own], [text.text for text in own], "en")
    kept = [own[i] for i in pairs.kept]
    vectors = meanings.judged(pairs.human, pairs.system) if family == "embedding" else None
    verdict = judge(
        pairs.human, pairs.system, prompts=[text.prompt_id for text in kept], works=[text.cluster for text in kept],
        language="en", family=family, embeddings=(vectors[0], vectors[1]) if vectors else None,
        embedder=meanings.name or None, punctuation=False, allow=("duplicates", "length"),
    )  # fmt: skip
    return verdict, [text.seed or 0 for text in kept]


def of_seed(bootstrap: Bootstrap, verdict: Verdict, seeds: Sequence[int], seed: int) -> Resampled:
    """The AUC on the texts of one seed, by the judge of all."""
    mine = [place for place, of_text in enumerate(seeds) if of_text == seed]
    clusters = [verdict.clusters[place] for place in mine]
    human, system = (np.asarray(scores)[mine] for scores in (verdict.human, verdict.system))
    return auc(bootstrap, human, system, clusters, clusters)


def verdict_on(
    name: str, candidates: Sequence[str], baselines: Sequence[str], reference: str,
    spots: dict[tuple[str, float], Spot], areas: Areas, by_seed: dict[int, Areas],
) -> dict[str, Any]:  # fmt: skip
    """The gains of one system over the baselines (of a baseline: over the reference), its guardrails, and the verdict."""
    over = [other for other in baselines if other != name] if name in candidates else [reference]
    against = []
    for other in over:
        found = {family: gain_over(name, other, family, spots, areas) for family in FAMILIES}
        seeds = {
            seed: {family: gain_over(name, other, family, spots, own)[0].value for family in FAMILIES}
            for seed, own in by_seed.items()
            if {name, other} <= {system for (system, _), _ in own}
        }
        corrected = holm({family: gain.p_value() for family, (gain, _) in found.items()})
        against.append(
            {
                "baseline": other,
                "matched": all(matched for _, matched in found.values()),
                "gains": {family: asdict(gain.interval()) for family, (gain, _) in found.items()},
                "p_holm": corrected,
                "gains_by_seed": seeds,
                "same_sign": all(
                    sum(gain > 0 for gain in gains.values()) >= RULE["families"] for gains in seeds.values()
                ),
                "passed": all(matched for _, matched in found.values())
                and sum(
                    gain.value >= RULE["gain"] and corrected[family] < RULE["p_holm"]
                    for family, (gain, _) in found.items()
                )
                >= RULE["families"]
                and all(gain.value > 0 for gain, _ in found.values()),
            }
        )
    broken = guardrails(name, reference, spots)
    passed = all(one["passed"] and one["same_sign"] for one in against) and not broken
    return {"system": name, "candidate": name in candidates, "against": against, "broken": broken, "passed": passed}


def gain_over(
    name: str, other: str, family: Family,
    spots: dict[tuple[str, float], Spot], areas: Areas,
) -> tuple[Resampled, bool]:  # fmt: skip
    """By how much AUC `name` is lower than `other` at equal distinct-2, over all points that reach; and was it matched?"""
    own = [Point(spots[point].distinct_2, areas[point, family]) for point in spots if point[0] == name]
    theirs = [Point(spots[point].distinct_2, areas[point, family]) for point in spots if point[0] == other]
    gains = []
    for point in theirs if len(own) > 1 else []:
        with contextlib.suppress(DataError):
            gains.append(point.quality - at_diversity(own, point.diversity))
    for point in own if not gains else []:  # a single point is held against the baseline's line
        with contextlib.suppress(DataError):
            gains.append(at_diversity(theirs, point.diversity) - point.quality)
    if gains:
        total = gains[0]
        for gain in gains[1:]:
            total = total + gain
        return total.apply(lambda value: value / len(gains)), True
    one, near = min(((a, b) for a in own for b in theirs), key=lambda pair: abs(pair[0].diversity - pair[1].diversity))
    return near.quality - one.quality, False


def guardrails(name: str, reference: str, spots: dict[tuple[str, float], Spot]) -> list[str]:
    broken = []
    for (system, temperature), spot in spots.items():
        beside = spots.get((reference, temperature))
        if system != name or beside is None:
            continue
        if spot.distinct_2 < RULE["distinct_2"] * beside.distinct_2:
            broken.append(f"distinct-2 {spot.distinct_2:.3f} for {beside.distinct_2:.3f} at {temperature:g}")
        if spot.self_bleu > beside.self_bleu + RULE["self_bleu"]:
            broken.append(f"self-BLEU-4 {spot.self_bleu:.3f} for {beside.self_bleu:.3f} at {temperature:g}")
        if spot.rep_4 > beside.rep_4 + RULE["rep_4"]:
            broken.append(f"rep-4 {spot.rep_4:.3f} for {beside.rep_4:.3f} at {temperature:g}")
        if abs(spot.length / beside.length - 1) > RULE["length"]:
            broken.append(f"length {spot.length:.1f} for {beside.length:.1f} at {temperature:g}")
    return broken


def render(verdict: dict[str, Any]) -> str:
    def shown(value: dict[str, Any]) -> str:
        return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"

    lines = [
        "| system | T | distinct-2 | self-BLEU-4 | rep-4 | words | letters | meanings |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for point in verdict["points"]:
        lines.append(
            f"| {point['system']} | {point['temperature']:g} | {point['distinct_2']:.3f} | {point['self_bleu']:.3f} | "
            f"{point['rep_4']:.3f} | {shown(point['word'])} | {shown(point['char'])} | {shown(point['embedding'])} |"
        )
    lines += ["", "| system | against | words | letters | meanings | p (Holm) | |", "|---|---|---|---|---|---|---|"]
    by_seed: list[str] = []
    for one in verdict["systems"]:
        for against in one["against"]:
            gains = " | ".join(shown(against["gains"][family]) for family in FAMILIES)
            p_values = ", ".join(f"{against['p_holm'][family]:.3f}" for family in FAMILIES)
            if seeds := against["gains_by_seed"]:
                told = "; ".join(
                    f"{seed}: " + ", ".join(f"{g:+.3f}" for g in own.values()) for seed, own in seeds.items()
                )
                by_seed.append(
                    f"{one['system']} over {against['baseline']}, words, letters and meanings by seed: {told}"
                )
            note = ("passes" if against["passed"] else "no gain shown") + (
                "" if against["matched"] else ", not matched"
            )
            lines.append(f"| {one['system']} | {against['baseline']} | {gains} | {p_values} | {note} |")
    lines += ["", *by_seed]
    for name, rise in verdict["human_loss"].items():
        lines.append(f"people's texts cost {name} {shown(rise)} nats a token more")
    for one in verdict["systems"]:
        if one["broken"]:
            lines.append(f"\n{one['system']} breaks: {'; '.join(one['broken'])}")
        if one["candidate"]:
            lines.append(f"\n{one['system']}: {'PASSED' if one['passed'] else 'NOT PASSED'}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
