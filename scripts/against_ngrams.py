"""A pretrained model against an interpolated modified Kneser-Ney 5-gram of the same data: bits a byte of held-out stories.

    python scripts/against_ngrams.py MODEL --data DIR [--split test] [--limit 60] [--max-tokens 512] [--out FILE]

The n-gram model is fitted on the whole train split in the model's own tokens. Both predict the same tokens of the same
stories from the beginning of the text (the end of the text is left out for both), so their bits a byte compare. The
difference is paired, with a bootstrap over works.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from pathlib import Path

import torch

from storyteller.corpus import read_split
from storyteller.evaluate.bootstrap import ratio_interval
from storyteller.evaluate.kneser_ney import fit_texts
from storyteller.evaluate.loss import StoryLoss, measure_losses
from storyteller.evaluate.loss_report import choose_stories, compare
from storyteller.models import load_model, locate
from storyteller.models.load import positions_of
from storyteller.runs import write_json
from storyteller.tokens import StoryTokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--order", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    located = locate(options.model)
    tokenizer = StoryTokenizer.load(located.folder)
    stories = choose_stories(options.data, options.split, options.limit, None)
    context = min(1024, positions_of(located.folder) or 1024)
    model = load_model(located, merge=True).to("cuda" if torch.cuda.is_available() else "cpu")
    mine = measure_losses(model, tokenizer, stories, context=context, max_tokens=options.max_tokens)
    ngrams = fit_texts([story.text for story in read_split(options.data, "train")], tokenizer, options.order)
    ids = [tokenizer.encode(story.text)[: options.max_tokens] for story in stories]
    costs = [float(-logs[:-1].sum()) for logs in ngrams.log_probabilities(ids)]
    theirs = [
        dataclasses.replace(row, nats=nats, tokens=len(read)) for row, nats, read in zip(mine, costs, ids, strict=True)
    ]
    report = {
        "stories": len(stories),
        "tokens": sum(row.tokens for row in mine),
        options.model: bits(mine),
        f"Kneser-Ney {options.order}-gram": bits(theirs),
        "difference": vars(compare(theirs, mine)),
    }
    print(json.dumps(report, indent=2))
    if options.out:
        write_json(options.out, report)


def bits(rows: list[StoryLoss]) -> dict[str, float | int | None]:
    """Bits a byte with its interval over works."""
    return vars(
        ratio_interval(
            [row.nats / math.log(2) for row in rows], [row.bytes for row in rows], [row.work for row in rows]
        )
    )


if __name__ == "__main__":
    main()
