"""How fast variants of stories are made: MB of text in a second of processor time on one core.

    python benchmarks/augment.py CORPUS... [--stories 200] [--rounds 3] [--json]

Each CORPUS is a folder written by `storyteller prepare`; its first training stories are varied with synonyms, with names, and
with both. The fastest of the rounds counts, since a busy machine only ever adds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from pathlib import Path

from storyteller.corpus import read_split
from storyteller.recipe.robustness import AugmentRecipe
from storyteller.tokens.augment import variants

KINDS = {
    "synonyms": AugmentRecipe(names=False),
    "names": AugmentRecipe(synonyms=0.0),
    "both": AugmentRecipe(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+", type=Path)
    parser.add_argument("--stories", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = []
    for corpus in asked.corpora:
        stories = list(itertools.islice(read_split(corpus, "train"), asked.stories))
        megabytes = sum(len(story.text.encode()) for story in stories) / 1e6
        for story in stories[:3]:  # word lists and the Chinese dictionary are read once
            list(variants(story, AugmentRecipe(), 1))
        for kind, recipe in KINDS.items():
            times, made = [], 0
            for _ in range(asked.rounds):
                began = time.process_time()
                made = sum(1 for story in stories for _ in variants(story, recipe, 1))
                times.append(time.process_time() - began)
            rows.append(
                {
                    "corpus": corpus.name,
                    "stories": len(stories),
                    "mb": round(megabytes, 2),
                    "kind": kind,
                    "variants": made,
                    "mb_per_second": round(megabytes / min(times), 2),
                }
            )
    if asked.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
