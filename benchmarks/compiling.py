"""`train.compile` on a processor: forward and backward passes of the same batch, three ways in turn.

    python benchmarks/compiling.py [--model smollm2-135m-instruct] [--method lora] [--repetitions 7] [--json]

The three are what a run does (segments of a packed row one by one), one masked call of attention, and one masked call in
compiled layers. Each repetition does all three; ratios are medians over the repetitions, each taken within one. Counted is the
processor's time and not the clock's, so a busy machine does not choose the winner. The compilation itself comes first and is
told apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from storyteller.corpus import prepare
from storyteller.models import apply_lora, load_model, locate
from storyteller.recipe import DataRecipe, LoraRecipe
from storyteller.tokens import StoryTokenizer, tokenize
from storyteller.train.compiling import compile_layers
from storyteller.train.loop import batch_tensors
from storyteller.train.objectives import CausalObjective

STORIES = Path(__file__).parent.parent / "examples" / "stories"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--method", choices=("lora", "full"), default="lora")
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    result = measure(asked.model, asked.method, asked.rows, asked.context, asked.repetitions)
    if asked.json:
        print(json.dumps(result))
        return
    print(f"compiling took {result['compile_seconds']:.0f} s")
    for name, ratio in result["ratios"].items():
        print(
            f"{name}: {ratio['median']:.2f} of the time of segments (repetitions {ratio['low']:.2f} to {ratio['high']:.2f})"
        )


def measure(name: str, method: str, rows: int, context: int, repetitions: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        prepare([STORIES], Path(folder))
        located = locate(name)
        shards = tokenize(Path(folder), None, StoryTokenizer.load(located.folder), DataRecipe(context=context))
        batch = batch_tensors(shards.batch(1, 0, rows=rows, context=context), torch.device("cpu"))

    def objective(*, packed: bool, compiled: bool = False) -> CausalObjective:
        model = load_model(located, dtype="float32")
        model = model.requires_grad_(True) if method == "full" else apply_lora(model, LoraRecipe(), seed=1)
        if compiled:
            compile_layers(model)
        return CausalObjective(model, packed=packed).train()

    ways = {
        "segments": objective(packed=True),
        "masked": objective(packed=False),
        "compiled": objective(packed=False, compiled=True),
    }
    began = time.perf_counter()
    losses = {way: turn(one, batch)[1] for way, one in ways.items()}
    compiling = time.perf_counter() - began
    assert max(losses.values()) - min(losses.values()) < 1e-3 * losses["segments"], losses
    times = {way: [] for way in ways}
    for _ in range(repetitions):
        for way, one in ways.items():
            times[way].append(turn(one, batch)[0])
    ratios = {}
    for way in ("masked", "compiled"):
        each = [a / b for a, b in zip(times[way], times["segments"], strict=True)]
        ratios[way] = {"median": statistics.median(each), "low": min(each), "high": max(each)}
    return {
        "model": name,
        "method": method,
        "rows": rows,
        "context": context,
        "compile_seconds": compiling,
        "ratios": ratios,
    }


def turn(objective: CausalObjective, batch: dict[str, torch.Tensor]) -> tuple[float, float]:
    """Processor seconds of one pass forth and back, and its loss."""
    began = time.process_time()
    loss = objective(**batch)
    loss.backward()
    spent = time.process_time() - began
    objective.zero_grad(set_to_none=True)
    return spent, float(loss.detach())


if __name__ == "__main__":
    main()
