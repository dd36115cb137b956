"""Pretraining by size: our loop against a bare PyTorch loop on the same rows, in turn, causal and masked.

    python benchmarks/pretraining.py [--sizes 1m,5m] [--objectives causal,masked] [--repetitions 5] [--processor] [--json]
    python benchmarks/pretraining.py --sizes 5m,110m --tokens 32768 --ours --compile --peak 989

The bare loop is what one would write in an afternoon: whole rows of a stream of tokens, `model(input_ids)`, the
cross-entropy of all (masked: of the hidden) logits, clipping, AdamW as ours sets it up. Ours is `fit`, with its packed
rows, logs and checks; what is measured is the time between the batches it asks for, so saving is not counted. Both run the
same precision, the same number of rows and steps, and take turns within a repetition; a ratio is taken within one, and the
median over the repetitions is printed with its range. On a machine that others use, `--processor` takes seconds of
processor time in one thread in place of seconds. Rows are full (one story of one context each), so that neither loop
gains by what it leaves out; `--stories` fills them with several, in which ours attends within stories only (on a processor
it saves by that, on a GPU it pays for the mask). `--ours` leaves the bare loop out, `--compile` compiles our layers.

`--peak` is what the chip can do in the precision, in TFLOP/s; with it the share that the model itself uses (MFU) is told: 6
operations a token and weight (of the output layer only for the tokens whose logits are made) and 12 x layers x width x
context for attention, as Chowdhery et al. 2022 (PaLM, appendix B) count them; nothing is left out for the causal mask.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn
from torch.nn.functional import cross_entropy

from storyteller.models.fresh import new_causal, new_masked
from storyteller.models.precision import resolve_precision
from storyteller.recipe import Recipe, load_recipe
from storyteller.runs import Run
from storyteller.tokens import Batch, Shards, StoryTokenizer
from storyteller.tokens.batches import NO_LABEL
from storyteller.train import loop
from storyteller.train.compiling import compile_layers
from storyteller.train.loop import Plan, fit
from storyteller.train.objectives import CausalObjective, MaskedObjective
from storyteller.train.optim import build_optimizer

Clock = Callable[[], float]

_HIDDEN = 0.3
_WARM = 3
"""Steps before the clock runs: allocators, and compilers that see a second kind of pass."""


class Rows(Shards):
    """Random full rows in place of shards, and the time of each request for a batch."""

    def __init__(self, vocabulary: int, masked: bool, clock: Clock, stories: int = 1) -> None:
        self.vocabulary, self.masked, self.clock, self.times = vocabulary, masked, clock, list[float]()
        self.stories = stories
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
            hidden = chance.random(size) < _HIDDEN
            labels, ids = np.where(hidden, ids, NO_LABEL), np.where(hidden, 1, ids)
        length = -(-size[1] // self.stories)
        places = np.arange(size[1])
        positions, segments = (np.broadcast_to(row, size).copy() for row in (places % length, 1 + places // length))
        return Batch(ids, labels, positions, segments, int(size[0] * size[1]))


def build(recipe: Recipe, masked: bool, device: str | None = None) -> nn.Module:
    """A new model of the recipe's size on a device, without a corpus to train a tokenizer on."""
    assert recipe.model.shape is not None
    assert recipe.pretrain is not None
    tokenizer: Any = type("Tokens", (), {})()
    tokenizer.vocabulary_size, tokenizer.bos_id = recipe.pretrain.tokenizer.vocabulary, 0
    tokenizer.stop_ids, tokenizer.pad_id = (0,), 0
    made: StoryTokenizer = tokenizer
    with torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")):
        return (new_masked if masked else new_causal)(recipe.model.shape, made, recipe.data.context, 1)


def ours(
    recipe: Recipe, masked: bool, steps: int, precision: str, clock: Clock, *, stories: int = 1, compiled: bool = False
) -> float:
    """Seconds a step of `fit`, the first ones left out."""
    AcceleratorState._reset_state()
    never = {"evaluate_every": 10**9, "save_every": 10**9, "save_minutes": 1e9, "log_every": 10}
    train = recipe.train.model_copy(update={"steps": steps + 1 + _WARM, "precision": precision, **never})
    model = build(recipe, masked).train()
    if compiled:
        compile_layers(model)
    rows = Rows(model.config.vocab_size, masked, clock, stories)
    mixed = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}[precision]
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(
            recipe=train,
            run=Run(Path(folder)),
            shards=rows,
            context=recipe.data.context,
            steps=steps + 1 + _WARM,
            save_model=lambda folder: None,
            load_model=lambda folder: None,
        )
        objective = (MaskedObjective if masked else CausalObjective)(model, packed=not compiled)
        # Nothing is saved, which for the large ones would take longer than the steps do.
        with mock.patch.object(loop, "_save"):
            fit(objective, plan, Accelerator(mixed_precision=mixed))
    return (rows.times[-1] - rows.times[_WARM]) / steps


def bare(recipe: Recipe, masked: bool, steps: int, precision: str, clock: Clock) -> float:
    """Seconds a step of the bare loop, the first ones left out."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model: Any = build(recipe, masked).to(device).train()
    optimizer = build_optimizer(model, recipe.train)
    rows = Rows(model.config.vocab_size, masked, clock)
    number, context = recipe.train.rows, recipe.data.context
    dtype = getattr(torch, precision)
    for step in range(steps + 1 + _WARM):
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
    return (firsts[-1] - firsts[_WARM]) / steps


def operations(recipe: Recipe, masked: bool) -> float:
    """Operations of a token forwards and backwards, as the docstring above counts them."""
    model: Any = build(recipe, masked, "meta")
    head = model.get_input_embeddings().weight.numel()
    layers, width = model.config.num_hidden_layers, model.config.hidden_size
    body = sum(p.numel() for p in model.parameters()) - head
    return 6 * (body + (_HIDDEN if masked else 1) * head) + 12 * layers * width * recipe.data.context


def measure(size: str, objective: str, options: argparse.Namespace) -> dict[str, Any]:
    """Tokens a second of both loops, and the ratio of ours to the bare one."""
    recipe = load_recipe(None, [f"model.size={size}"])
    masked = objective == "masked"
    rows = max(1, min(recipe.train.rows, options.most_tokens // recipe.data.context))
    if options.tokens:
        rows = max(1, options.tokens // recipe.data.context)
    train = recipe.train.model_copy(update={"rows": rows, "accumulate": 1})
    recipe = recipe.model_copy(update={"train": train})
    precision = resolve_precision("auto")[0]
    tokens = rows * recipe.data.context
    clock = time.process_time if options.processor else time.perf_counter
    row: dict[str, Any] = {"size": size, "objective": objective, "precision": precision, "tokens_a_step": tokens}
    row |= {"stories_a_row": options.stories, "compiled": options.compile}
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    mine = functools.partial(ours, stories=options.stories, compiled=options.compile)
    taken: dict[str, list[float]] = {"ours": [], "bare": []}
    for repetition in range(options.repetitions):
        order = [("ours", mine), ("bare", bare)] if repetition % 2 else [("bare", bare), ("ours", mine)]
        for name, run in order if not options.ours else [("ours", mine)]:
            taken[name].append(tokens / run(recipe, masked, options.steps, precision, clock))
            if torch.cuda.is_available() and name == "ours":
                row["memory_mb"] = torch.cuda.max_memory_allocated() / 1e6
    row["ours"] = statistics.median(taken["ours"])
    if options.peak:
        row["mfu"] = row["ours"] * operations(recipe, masked) / options.peak / 1e12
    if taken["bare"]:
        ratios = sorted(a / b for a, b in zip(taken["ours"], taken["bare"], strict=True))
        row |= {"bare": statistics.median(taken["bare"]), "ratio": statistics.median(ratios)}
        row["ratio_range"] = [ratios[0], ratios[-1]]
    return row


def told(row: dict[str, Any]) -> str:
    """A row as a line."""
    line = f"{row['size']:>5} {row['objective']:<7} {row['precision']}{' compiled' if row['compiled'] else ''}"
    line += f", {row['stories_a_row']} in a row: ours {row['ours']:,.0f} tokens/s"
    if "mfu" in row:
        line += f", MFU {row['mfu']:.1%}"
    if "memory_mb" in row:
        line += f", {row['memory_mb']:,.0f} MB"
    if "bare" in row:
        low, high = row["ratio_range"]
        line += f"; bare {row['bare']:,.0f}; ratio {row['ratio']:.2f} [{low:.2f}, {high:.2f}]"
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", default="1m,5m,15m")
    parser.add_argument("--objectives", default="causal,masked")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument(
        "--most-tokens", type=int, default=2048, help="tokens in a step at most, of the size's own batch"
    )
    parser.add_argument("--tokens", type=int, help="tokens in a step, whatever the size's own batch")
    parser.add_argument("--stories", type=int, default=1, help="stories in a row")
    parser.add_argument("--ours", action="store_true", help="only our loop")
    parser.add_argument("--compile", action="store_true", help="our layers compiled (torch.compile)")
    parser.add_argument("--peak", type=float, help="TFLOP/s of the chip: tells the share that is used")
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
                print(told(row), flush=True)
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
