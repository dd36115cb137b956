"""What the lab finds in TextGAIL's released endings (Wu et al. 2021): python scripts/reproduce_textgail.py FILE

FILE is JSON Lines (also .xz) of `system` (mle or textgail), `temperature`, `seed`, `index`, `human`, `generated`. Prints
for each system and temperature distinct-2 and the AUC of both judges (mean of the seeds, lower is more real), then the
differences at matched diversity with paired bootstrap over the prompts, and Holm's correction over the family.

An ending of one word is left out with its human one. The gate of length complains: human endings are shorter (8.6 words,
not 10.8). So everything is said twice: as it is, with the gate overridden, and on the pairs whose endings have as many
words as their human ones, where the gate of length is open.
"""

from __future__ import annotations

import argparse
import json
import lzma
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from storyteller.corpus.language import count_words
from storyteller.evaluate.diversity import distinct
from storyteller.evaluate.judges import Verdict, difference, judge
from storyteller.evaluate.matching import equalise
from storyteller.evaluate.ngrams import words
from storyteller.evaluate.statistics import Resampled, holm

TEMPERATURES = (0.5, 0.7, 0.8, 0.9, 1.0)
MATCHED = ((1.0, 0.9), (0.9, 0.8), (0.8, 0.7))
"""Temperatures of MLE and of TextGAIL with about the same distinct-2."""

Endings = Mapping[tuple[str, float], Sequence[Sequence[dict[str, Any]]]]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("file", type=Path)
    arguments.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments.add_argument("--families", nargs="+", default=["word", "char"])
    arguments.add_argument("--temperatures", type=float, nargs="+", default=list(TEMPERATURES))
    options = arguments.parse_args()
    endings = read(options.file, options.temperatures, options.seeds)
    for matched in (False, True):
        print("\nPairs of equal length" if matched else "All pairs, the gate overridden")
        verdicts = {
            family: {key: [verdict(rows, family, matched) for rows in runs] for key, runs in endings.items()}
            for family in options.families
        }
        show(endings, verdicts)
        compare(verdicts)


def read(path: Path, temperatures: Sequence[float], seeds: Sequence[int]) -> Endings:
    found: dict[tuple[str, float], dict[int, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            shorter = min(count_words(row[side], "en") for side in ("human", "generated"))
            if row["temperature"] in temperatures and row["seed"] in seeds and shorter > 1:
                found[row["system"], row["temperature"]][row["seed"]].append(row)
    return {key: list(runs.values()) for key, runs in sorted(found.items())}


def verdict(rows: Sequence[dict[str, Any]], family: Any, matched: bool) -> Verdict:
    human, system = [row["human"] for row in rows], [row["generated"] for row in rows]
    prompts = [str(row["index"]) for row in rows]
    if matched:
        equal = equalise(human, system, "en", tolerance=0.0)
        human, system, prompts = equal.human, equal.system, [prompts[place] for place in equal.kept]
    # Five words can be the same ending of two stories by chance: such pairs stand in one fold.
    allow = {"duplicates", "punctuation"} | (set() if matched else {"length"})
    return judge(human, system, prompts=prompts, language="en", family=family, allow=allow)  # type: ignore[arg-type]


def show(endings: Endings, verdicts: Mapping[str, Mapping[tuple[str, float], Sequence[Verdict]]]) -> None:
    families = list(verdicts)
    print("system    T    distinct-2  pairs  length  punctuation  " + "  ".join(f"AUC {name}" for name in families))
    for key, runs in endings.items():
        found = verdicts[families[0]][key]
        probes = [mean([v.probes[name].value for v in found]) for name in ("length", "punctuation")]
        areas = [
            "refused "
            if any(v.refused for v in verdicts[name][key])
            else f"{mean([v.auc.value for v in verdicts[name][key] if v.auc]):8.3f}"
            for name in families
        ]
        pairs = mean([len(v.clusters) for v in found])
        diversity = mean([distinct([words(row["generated"]) for row in rows], 2) for rows in runs])
        print(
            f"{key[0]:9} {key[1]:.1f}  {diversity:10.3f}  {pairs:5.0f}  {probes[0]:6.3f}  {probes[1]:11.3f}  {'  '.join(areas)}"
        )


def compare(verdicts: Mapping[str, Mapping[tuple[str, float], Sequence[Verdict]]]) -> None:
    found: dict[str, Resampled] = {}
    for family, by_system in verdicts.items():
        for mle, gail in MATCHED:
            pair = [by_system.get(key, []) for key in (("mle", mle), ("textgail", gail))]
            if all(pair) and not any(v.refused for side in pair for v in side):
                found[f"{family}: MLE at {mle} - TextGAIL at {gail}"] = difference(*pair)
    corrected = holm({name: gap.p_value() for name, gap in found.items()})
    for name, gap in found.items():
        print(f"{name:36} {gap.interval()}  p = {corrected[name]:.4f} (Holm)")


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
