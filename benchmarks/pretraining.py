"""Pretraining by size: our loop against a bare PyTorch loop on the same rows, in turn, causal and masked.

    python benchmarks/pretraining.py [--sizes 1m,5m] [--objectives causal,masked] [--repetitions 5] [--processor] [--json]

The bare loop is what one would write in an afternoon: whole rows of a stream of tokens, `model(input_ids)`, the
cross-entropy of all (masked: of the hidden) logits, clipping, AdamW as ours sets it up. Ours is `fit`, with its packed
rows, logs and checks; what is measured is the time between the batches it asks for, so saving is not counted. Both run the
same precision, the same number of rows and steps, and take turns within a repetition; a ratio is taken within one, and the
median over the repetitions is printed with its range. On a machine that others use, `--processor` takes seconds of
processor time in one thread in place of seconds. Rows are full (one story of one context each), so that neither loop
gains by what it leaves out; on rows of several short stories ours does, because it attends within stories only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn
from torch.nn.functional import cross_entropy

from storyteller.models.fresh import new_causal, new_masked
from storyteller.recipe import Recipe, load_recipe
from storyteller.runs import Run
from storyteller.tokens import Batch, Shards, StoryTokenizer
from storyteller.tokens.batches import NO_LABEL
from storyteller.train.loop import Plan, fit
from storyteller.train.objectives import CausalObjective, MaskedObjective
from storyteller.train.optim import build_optimizer
from storyteller.train.precision import resolve_precision

Clock = Callable[[], float]


class Rows(Shards):
    """Random full rows in place of shards, and the time of each request for a batch."""

    def __init__(self, vocabulary: int, masked: bool, clock: Clock) -> None:
        self.vocabulary, self.masked, self.clock, self.times = vocabulary, masked, clock, list[float]()
        self.splits, self.meta = {}, {}

    def batch(self, seed: int, step: int, **shape: Any) -> Batch:
        """The batch of a step, the same for both loops."""
        self.times.append(self.clock())
        size = (shape["rows"], shape["context"])
        chance = np.random.default_rng([seed, step])
        ids = chance.integers(16, self.vocabulary, size)
        labels = np.roll(ids, -1, axis=1)
        labels[:, -1] = NO_LABEL
        if self.masked:
            hidden = chance.random(size) < 0.3
            labels, ids = np.where(hidden, ids, NO_LABEL), np.where(hidden, 1, ids)
        positions = np.broadcast_to(np.arange(size[1]), size).copy()
        return Batch(ids, labels, positions, np.ones_like(ids), int(size[0] * size[1]))


def build(recipe: Recipe, masked: bool) -> nn.Module:
    """A new model of the recipe's size, without a corpus to train a tokenizer on."""
    assert recipe.model.shape is not None
    assert recipe.pretrain is not None
    tokenizer: Any = type("Tokens", (), {})()
    tokenizer.vocabulary_size, tokenizer.bos_id = recipe.pretrain.tokenizer.vocabulary, 0
    tokenizer.stop_ids, tokenizer.pad_id = (0,), 0
    made: StoryTokenizer = tokenizer
    return (new_masked if masked else new_causal)(recipe.model.shape, made, recipe.data.context, 1)


def ours(recipe: Recipe, masked: bool, steps: int, precision: str, clock: Clock) -> float:
    """Seconds a step of `fit`, the first step left out."""
    AcceleratorState._reset_state()
    never = {"evaluate_every": 10**9, "save_every": 10**9, "save_minutes": 1e9, "log_every": 10}
    train = recipe.train.model_copy(update={"steps": steps + 2, "precision": precision, **never})
    model = build(recipe, masked).train()
    rows = Rows(model.config.vocab_size, masked, clock)
    mixed = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}[precision]
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(
            recipe=train,
            run=Run(Path(folder)),
            shards=rows,
            context=recipe.data.context,
            steps=steps + 2,
            save_model=lambda folder: None,
            load_model=lambda folder: None,
        )
        fit((MaskedObjective if masked else CausalObjective)(model), plan, Accelerator(mixed_precision=mixed))
    return (rows.times[-1] - rows.times[1]) / steps


def bare(recipe: Recipe, masked: bool, steps: int, precision: str, clock: Clock) -> float:
    """Seconds a step of the bare loop, the first step left out."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model: Any = build(recipe, masked).to(device).train()
    optimizer = build_optimizer(model, recipe.train)
    rows = Rows(model.config.vocab_size, masked, clock)
    number, context = recipe.train.rows, recipe.data.context
    dtype = getattr(torch, precision)
    for step in range(steps + 2):
        for part in range(recipe.train.accumulate):
            batch = rows.batch(1, step * recipe.train.accumulate + part, rows=number, context=context)
            ids, labels = (torch.from_numpy(a).to(device) for a in (batch.input_ids, batch.labels))
            with torch.autocast(device.type, dtype, enabled=precision != "float32"):
                logits = model(input_ids=ids).logits
                loss = cross_entropy(logits.float().flatten(0, 1), labels.flatten(), ignore_index=NO_LABEL)
            (loss / recipe.train.accumulate).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    if device.type == "cuda":
        torch.cuda.synchronize()
    firsts = rows.times[:: recipe.train.accumulate]
    return (firsts[-1] - firsts[1]) / steps


def measure(size: str, objective: str, options: argparse.Namespace) -> dict[str, Any]:
    """Tokens a second of both loops, and the ratio of ours to the bare one."""
    recipe = load_recipe(None, [f"model.size={size}"])
    masked = objective == "masked"
    rows = max(1, min(recipe.train.rows, options.most_tokens // recipe.data.context))
    train = recipe.train.model_copy(update={"rows": rows, "accumulate": 1})
    recipe = recipe.model_copy(update={"train": train})
    precision = resolve_precision("auto")[0]
    tokens = rows * recipe.data.context
    clock = time.process_time if options.processor else time.perf_counter
    pairs = []
    for repetition in range(options.repetitions):
        order = (ours, bare) if repetition % 2 else (bare, ours)
        taken = {loop.__name__: loop(recipe, masked, options.steps, precision, clock) for loop in order}
        pairs.append((tokens / taken["ours"], tokens / taken["bare"]))
    ratios = sorted(a / b for a, b in pairs)
    return {
        "size": size,
        "objective": objective,
        "precision": precision,
        "tokens_a_step": tokens,
        "ours": statistics.median(a for a, _ in pairs),
        "bare": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(ratios),
        "ratio_range": [ratios[0], ratios[-1]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", default="1m,5m,15m")
    parser.add_argument("--objectives", default="causal,masked")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--most-tokens", type=int, default=2048, help="tokens in a step, whatever the size's own batch")
    parser.add_argument("--processor", action="store_true", help="seconds of processor time, in one thread")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.processor:
        torch.set_num_threads(1)
    rows = []
    for size in options.sizes.split(","):
        for objective in options.objectives.split(","):
            row = measure(size, objective, options)
            rows.append(row)
            if not options.json:
                low, high = row["ratio_range"]
                print(
                    f"{size:>5} {objective:<7} {row['precision']}: ours {row['ours']:,.0f} tokens/s, bare "
                    f"{row['bare']:,.0f}; ratio {row['ratio']:.2f} [{low:.2f}, {high:.2f}]",
                    flush=True,
                )
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
