"""Does a refined storyteller pass the rule that was fixed before? Texts of all systems on one set of prompts in, a verdict out.

    python scripts/compare_refined.py plan PEOPLE.jsonl --systems fine-tuned,continued,best-of-4,coop --seeds 3 --out PLAN.json
    python scripts/compare_refined.py judge TEXTS.jsonl... --losses LOSSES.json... --plan PLAN.json --candidates coop --out OUT

`plan` writes the hashes of the prompts, the rule and its power before anything is judged; no text is in it. `judge` refuses
texts on other prompts. A system stands at one point of the quality-diversity plane for each temperature; a candidate is
compared with a baseline at the baseline's own distinct-2, by a straight line between the candidate's points (or at its own
one on the baseline's line); where they do not reach, the nearest points are compared, and the verdict says so. Judges see
words without punctuation. A candidate FAILED where its figures break the rule. Where they do not, it PASSED only if all that
the plan asks for was there to be judged: else the verdict is PROVISIONAL, and says what is missing. `--data` names the
folders that were trained on, where copies are looked for. Coherence is no part of the rule; `storyteller evaluate` measures it.
"""

from __future__ import annotations

import argparse
import contextlib
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, astuple, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from refinement_rule import (
    Losses,
    Spot,
    guardrails,
    hashed,
    lacking,
    lacking_losses,
    verdict_on,
    write_plan,
)

from storyteller.corpus import read_split
from storyteller.errors import DataError
from storyteller.evaluate.copying import CopyIndex
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

Areas = dict[tuple[tuple[str, float], Family], Resampled]
"""AUC by system and temperature, and family of judges."""


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
    judged.add_argument("--data", type=Path, nargs="*", default=[], help="prepared folders that were trained on")
    judged.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    if asked.command == "plan":
        write_plan(read_texts(asked.texts), asked.systems.split(","), asked.temperatures, asked.seeds, asked.out)
    else:
        texts = [text for path in asked.texts for text in read_texts(path)]
        losses, plan = read_losses(asked.losses), read_json(asked.plan)
        stories = [story for folder in asked.data for story in read_split(folder, "train")]
        index = CopyIndex.build(stories) if stories else None
        verdict = compare(texts, plan, asked.candidates.split(","), asked.reference, asked.out, losses, index)
        write_json(asked.out / "verdict.json", verdict)
        print(render(verdict))


def read_losses(paths: Sequence[Path]) -> Losses:
    """What several calls of `refined_texts.py` wrote: one for each seed, or for a part of the prompts."""
    losses: Losses = defaultdict(lambda: defaultdict(list))
    for path in paths:
        for name, own in read_json(path).items():
            for prompt, loss in own.items():
                losses[name][prompt].append(loss)
    return losses


def compare(
    texts: Sequence[Text], plan: dict[str, Any], candidates: Sequence[str], reference: str, out: Path, losses: Losses,
    index: CopyIndex | None = None,
) -> dict[str, Any]:  # fmt: skip
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
    short = {point: len(people) * len({t.seed for t in own}) - len({(t.seed, t.prompt_id) for t in own})
             for point, own in points.items()}  # fmt: skip
    meanings = Meanings("en", out / "embeddings.safetensors")
    near = relevance(points, meanings)
    spots = {
        point: replace(
            spot_of(own, people), relevance=near.get(point, math.nan),
            copied=fmean(match.copied for match in index.longest_matches([text.text for text in own])) if index else math.nan,
        )
        for point, own in points.items()
    }  # fmt: skip
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
    human_loss = rises(losses, reference, {prompt: text.cluster for prompt, text in people.items()})
    told = []
    for name in dict.fromkeys(name for name, _ in points):
        if name != reference:
            against = held_against(name, candidates, baselines, reference, spots, areas, by_seed, plan["rule"])
            broken = guardrails(name, reference, spots, human_loss, plan["rule"])
            absent = lacking(name, plan, reference, baselines, against, short, spots)
            absent += lacking_losses(name, plan, reference, people, losses)
            told.append(verdict_on(name, name in candidates, against, broken, absent))
    return {
        "plan": {key: value for key, value in plan.items() if key != "prompts"},
        "missing_texts": {f"{name} {temperature:g}": count for (name, temperature), count in short.items() if count},
        "points": [
            {"system": name, "temperature": temperature, **known(spot)}
            | {family: asdict(areas[(name, temperature), family].interval()) for family in FAMILIES}
            | {"length_probe": asdict(verdicts[(name, temperature), "word"].probes["length"])}
            for (name, temperature), spot in spots.items()
        ],
        "systems": told,
        "human_loss": human_loss,
    }


def relevance(points: dict[tuple[str, float], list[Text]], meanings: Meanings) -> dict[tuple[str, float], float]:
    """The mean similarity of each system's texts to what was asked, where that is known of all of them."""
    points = {point: own for point, own in points.items() if all(text.prompt.strip() for text in own)}
    if not points:
        return {}
    asked = list(dict.fromkeys(text.prompt for own in points.values() for text in own))
    targets, *told = meanings.stories(asked, *([text.text for text in own] for own in points.values()))
    row = {prompt: place for place, prompt in enumerate(asked)}
    return {
        point: float((vectors * targets[[row[text.prompt] for text in own]]).sum(1).mean())
        for (point, own), vectors in zip(points.items(), told, strict=True)
    }


def rises(losses: Losses, reference: str, works: dict[str, str]) -> dict[str, Any]:
    """By how much each model loses more than `reference` on people's texts, in nats a token, paired by text; and of what."""
    means = {name: {prompt: fmean(of_seeds) for prompt, of_seeds in own.items()} for name, own in losses.items()}
    beside = means.get(reference, {})
    found = {}
    for name, own in means.items():
        shared = sorted(own.keys() & beside.keys() & works.keys())
        if name != reference and shared:
            bootstrap = Bootstrap(works[prompt] for prompt in shared)
            clusters = [works[prompt] for prompt in shared]
            rise = mean(bootstrap, [own[prompt] - beside[prompt] for prompt in shared], clusters)
            found[name] = asdict(rise.interval()) | {"of": fmean(beside[prompt] for prompt in shared)}
    return found


def known(spot: Spot) -> dict[str, float | None]:
    """The figures for JSON, which has no NaN."""
    return {key: None if math.isnan(value) else value for key, value in asdict(spot).items()}


def spot_of(own: Sequence[Text], people: dict[str, Text]) -> Spot:
    """The mean of the seeds' own spots: in twice as many texts less is new, and more stands beside each."""
    seeds: dict[int, list[Text]] = defaultdict(list)
    for text in own:
        seeds[text.seed or 0].append(text)
    spots = [astuple(spot_of_seed(texts, people)) for texts in seeds.values()]
    return Spot(*(fmean(values) for values in zip(*spots, strict=True)))


def spot_of_seed(own: Sequence[Text], people: dict[str, Text]) -> Spot:
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
    vectors = meanings.judged(pairs.human, pairs.system, punctuation=False) if family == "embedding" else None
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


def held_against(
    name: str, candidates: Sequence[str], baselines: Sequence[str], reference: str,
    spots: dict[tuple[str, float], Spot], areas: Areas, by_seed: dict[int, Areas], rule: dict[str, float],
) -> list[dict[str, Any]]:  # fmt: skip
    """The gains of one system over the baselines (of a baseline: over the reference), and over which the rule holds."""
    over = [other for other in baselines if other != name] if name in candidates else [reference]
    against = []
    for other in over:
        found = {family: gain_over(name, other, family, spots, areas) for family in FAMILIES}
        seeds = {
            seed: {family: gain_over(name, other, family, spots, own)[0].value for family in FAMILIES}
            for seed, own in by_seed.items()
            if {name, other} <= {system for (system, _), _ in own}
        }
        signs = [sum(gain > 0 for gain in gains.values()) >= rule["families"] for gains in seeds.values()]
        corrected = holm({family: gain.p_value() for family, (gain, _) in found.items()})
        against.append(
            {
                "baseline": other,
                "matched": all(matched for _, matched in found.values()),
                "gains": {family: asdict(gain.interval()) for family, (gain, _) in found.items()},
                "p_holm": corrected,
                "gains_by_seed": seeds,
                "same_sign": all(signs) if signs else None,
                "passed": all(matched for _, matched in found.values())
                and sum(
                    gain.value >= rule["gain"] and corrected[family] < rule["p_holm"]
                    for family, (gain, _) in found.items()
                )
                >= rule["families"]
                and all(gain.value > 0 for gain, _ in found.values()),
            }
        )
    return against


def gain_over(
    name: str, other: str, family: Family,
    spots: dict[tuple[str, float], Spot], areas: Areas,
) -> tuple[Resampled, bool]:  # fmt: skip
    """By how much AUC `name` is lower than `other` at equal distinct-2, over all points that reach; and was it matched?"""
    own, theirs = (
        [Point(spots[point].distinct_2, areas[point, family]) for point in spots
         if point[0] == system and (point, family) in areas]  # a seed may have been told at fewer temperatures
        for system in (name, other)
    )  # fmt: skip
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


def render(verdict: dict[str, Any]) -> str:
    def shown(value: dict[str, Any]) -> str:
        return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"

    lines = [
        "| system | T | distinct-2 | self-BLEU-4 | rep-4 | copied | relevance | words | letters | meanings |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for point in verdict["points"]:
        held = [point[key] for key in ("distinct_2", "self_bleu", "rep_4", "copied", "relevance")]
        cells = ["" if value is None else f"{value:.3f}" for value in held]
        cells += [shown(point[family]) for family in FAMILIES]
        lines.append(f"| {point['system']} | {point['temperature']:g} | {' | '.join(cells)} |")
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
            lines.append(f"\n{one['system']}: {one['verdict']}")
            lines += [f"  lacking: {reason}" for reason in one["provisional"]]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
