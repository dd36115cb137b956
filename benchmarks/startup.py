"""How long the command takes to say something: `storyteller --help`, and the first text of `storyteller write`.

    python benchmarks/startup.py [--model NAME] [--repetitions 7] [--json]

Wall time from the start of the process: to its end for `--help`, to the first byte of the story for `write`, after one
run of each that is not counted. Importing PyTorch alone, which `--help` must not do, is shown beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = [sys.executable, "-c", "from storyteller.cli import main; main()"]


def seconds_to_end(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def seconds_to_first_byte(command: list[str]) -> float:
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        first = os.read(process.stdout.fileno(), 1)
        seconds = time.perf_counter() - started
        process.stdout.read()
    if not first or process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode} and wrote nothing; run it by hand to see why")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        story = ["A lighthouse keeper finds a talking seal", "--words", "30", "--seed", "1", "--model", options.model]
        write = [*COMMAND, "write", *story, "--out", str(Path(folder) / "story.md")]
        measured = {
            "storyteller --help": lambda: seconds_to_end([*COMMAND, "--help"]),
            "storyteller write, first text": lambda: seconds_to_first_byte(write),
            "python -c 'import torch'": lambda: seconds_to_end([sys.executable, "-c", "import torch"]),
        }
        times: dict[str, list[float]] = {name: [] for name in measured}
        for _ in range(options.repetitions + 1):
            for name, measure in measured.items():
                times[name].append(measure())
    counted = {name: taken[1:] for name, taken in times.items()}
    if options.json:
        print(json.dumps({name: {"median_s": statistics.median(taken), "s": taken} for name, taken in counted.items()}))
        return
    print("| command | median, s | least to most, s |\n|---|---:|---:|")
    for name, taken in counted.items():
        print(f"| {name} | {statistics.median(taken):.2f} | {min(taken):.2f} to {max(taken):.2f} |")


if __name__ == "__main__":
    main()
