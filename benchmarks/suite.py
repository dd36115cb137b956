"""How long the stories suite takes once the texts exist: 500 stories of 150 words of each of two systems, beside people's.

    python benchmarks/suite.py --data data/tales [--stories 500]

The systems are other passages of the corpus, which cost as much to measure as a model's texts. One run; the time of each
part, and the share of the three minutes that the whole may take on two cores.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

from storyteller.corpus import read_split
from storyteller.evaluate import measure_stories
from storyteller.evaluate.prompts import choose_prompts
from storyteller.evaluate.texts import HUMAN, Text

LIMIT = 180  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a prepared folder")
    parser.add_argument("--stories", type=int, default=500, help="of each system")
    options = parser.parse_args()
    stories = [story for story in read_split(options.data, "train") if story.language == "en"]
    chosen = choose_prompts(stories, 3 * options.stories, words=150)
    size = len(chosen) // 3
    people = [Text(p.reference, HUMAN, p.id, work=p.work, prompt=p.asked, request=p.request) for p in chosen[:size]]
    texts = list(people)
    for name, passages in (("first", chosen[size : 2 * size]), ("second", chosen[2 * size :])):
        texts += [replace(a, text=b.reference, system=name, seed=1) for a, b in zip(people, passages, strict=False)]
    started = time.perf_counter()
    found = measure_stories(texts, background=stories[:300])[0]
    seconds = time.perf_counter() - started
    print(f"{size} stories of each of 2 systems and of people\n\n| part | seconds |\n|---|---:|")
    for part, taken in found.seconds.items():
        print(f"| {part} | {taken:.1f} |")
    print(f"| **whole** | **{seconds:.1f}** |\n\n{seconds / LIMIT:.2f} of the {LIMIT} seconds that it may take")


if __name__ == "__main__":
    main()
