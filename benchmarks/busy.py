"""Decoding the default base beside other busy processes: how long OpenMP's threads may spin while they wait.

    python benchmarks/busy.py [--beside N] [--seconds 6] [--repetitions 3]

Prints milliseconds for a pass of 1 and of 16 stories, each in a process of its own that has loaded PyTorch, as the studio has
once a critic or a scorer was asked: with OpenMP's own default, as the commands that write set it, and with one thread. `N`
processes (default: as many as there are cores) compute beside it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time

PASSES = """
import json, sys, time
import torch
from storyteller.generate.llama_batch import LlamaBatch
from storyteller.generate import Storyteller
teller = Storyteller.load("smollm2-135m-instruct", "llama")
rows, engine = int(sys.argv[1]), teller.engine
batch = LlamaBatch(engine._library, engine._model, rows, 2048, engine.vocabulary_size)
sequences = {row: [*teller.tokenizer.encode("Once upon a time"), 300 + row] for row in range(rows)}
batch.feed_many(sequences)
began, passes = time.perf_counter(), 0
while time.perf_counter() - began < float(sys.argv[2]) and passes < 1500:
    sequences = {row: [*ids, 400 + row] for row, ids in sequences.items()}
    batch.feed_many(sequences)
    passes += 1
print(json.dumps(1e3 * (time.perf_counter() - began) / passes))
"""

SETTINGS = {
    "OpenMP's default": {}, "as the commands that write set it": {"GOMP_SPINCOUNT": "500"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}  # fmt: skip


def compute() -> None:
    while True:
        sum(range(100_000))


def milliseconds(settings: dict[str, str], rows: int, seconds: float) -> float:
    command = [sys.executable, "-c", PASSES, str(rows), str(seconds)]
    said = subprocess.run(command, env=os.environ | settings, check=True, capture_output=True, text=True).stdout
    return float(json.loads(said))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--repetitions", type=int, default=3)
    asked = parser.parse_args()
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS"):
        os.environ.pop(name, None)
    others = [multiprocessing.Process(target=compute, daemon=True) for _ in range(asked.beside)]
    for other in others:
        other.start()
    time.sleep(1)
    found: dict[tuple[str, int], list[float]] = {}
    for _ in range(asked.repetitions):  # in turn, so that all see the same machine
        for name, settings in SETTINGS.items():
            for rows in (1, 16):
                found.setdefault((name, rows), []).append(milliseconds(settings, rows, asked.seconds))
    for (name, rows), times in found.items():
        print(f"{name}, {rows} stories: {statistics.median(times):.0f} ms a pass [{min(times):.0f}, {max(times):.0f}]")


if __name__ == "__main__":
    main()
