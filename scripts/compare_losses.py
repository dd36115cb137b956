"""One table of several evaluations that ran apart: python scripts/compare_losses.py BASELINE EVALUATION... --data data/a data/b

Each EVALUATION is a folder that `storyteller evaluate ... --out` wrote, on the same stories; BASELINE is the name of one of the
models in them. Prints bits per byte of every model on all stories and on those of each `--data` folder (a genre, whose test
split holds them), the paired difference from the baseline with its interval over works, and for each genre how many of its
stories each model predicts best.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from storyteller.corpus import read_split
from storyteller.errors import DataError
from storyteller.evaluate.bootstrap import ratio_interval
from storyteller.evaluate.loss import StoryLoss
from storyteller.evaluate.loss_report import compare

Losses = Mapping[str, Mapping[str, StoryLoss]]


def read(folders: Sequence[Path]) -> Losses:
    """The losses of every model by story; raises `ValueError` when the evaluations are of different stories."""
    found: dict[str, dict[str, StoryLoss]] = defaultdict(dict)
    for folder in folders:
        for line in (folder / "losses.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            model = row.pop("model")
            found[model][row["id"]] = StoryLoss(**row)
    stories = [set(losses) for losses in found.values()]
    if any(other != stories[0] for other in stories):
        raise ValueError(
            "the evaluations are of different stories; give all of them the same --data, --limit and --split."
        )
    return found


def bits(rows: Sequence[StoryLoss]) -> str:
    interval = ratio_interval(
        [row.nats / math.log(2) for row in rows], [row.bytes for row in rows], [row.work for row in rows]
    )
    return f"{interval.value:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("baseline")
    parser.add_argument("evaluations", nargs="+", type=Path)
    parser.add_argument("--data", nargs="+", type=Path, required=True)
    options = parser.parse_args()
    losses = read(options.evaluations)
    if options.baseline not in losses:
        raise DataError(f"no evaluation holds {options.baseline!r}. It is one of {', '.join(losses)}.")
    genre = {story.id: folder.name for folder in options.data for story in read_split(folder, "test")}
    stories = sorted(losses[options.baseline])
    groups = {"all": stories} | {
        folder.name: [story for story in stories if genre.get(story) == folder.name] for folder in options.data
    }
    print(
        f"| model | {' | '.join(f'{name}, {len(ids)}' for name, ids in groups.items())} | difference from {options.baseline} |"
    )
    print("|---|" + "---:|" * len(groups) + "---|")
    for name, rows in losses.items():
        cells = [bits([rows[story] for story in ids]) for ids in groups.values()]
        apart = compare([losses[options.baseline][story] for story in stories], [rows[story] for story in stories])
        print(f"| {name} | {' | '.join(cells)} | {'' if name == options.baseline else apart} |")
    best = {story: min(losses, key=lambda name: losses[name][story].nats) for story in stories}
    for name, ids in groups.items():
        print(
            f"\npredicted best, {name}: "
            + ", ".join(f"{m} {c}" for m, c in Counter(best[i] for i in ids).most_common())
        )


if __name__ == "__main__":
    main()
