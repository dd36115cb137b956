"""Speed and memory of `storyteller prepare`, with and without deduplication, at two sizes of a synthetic corpus.

    python benchmarks/prepare.py [--stories 20000 80000]

Each row is a fresh process, so that its peak memory is its own. When `datasketch` is installed, its MinHash LSH runs
over the same stories beside our near-duplicate search. Speed is megabytes of UTF-8 text in a second of processor time,
so that a busy machine does not change it; everything runs on one core.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = 300


def write_corpus(path: Path, stories: int) -> None:
    """Stories of 300 words from a vocabulary drawn once; one in fifty is a near duplicate of the story before it."""
    draw = random.Random(1)
    vocabulary = [
        "".join(draw.choice("abcdefghilmnoprstuvw") for _ in range(draw.randrange(2, 9))) for _ in range(8000)
    ]
    vocabulary += [
        "the",
        "and",
        "of",
        "to",
        "that",
        "he",
        "she",
        "it",
        "his",
        "her",
        "with",
        "you",
        "for",
        "had",
        "was",
        "said",
    ] * 300
    tokens: list[str] = []
    with path.open("w", encoding="utf-8") as file:
        for number in range(stories):
            if number % 50 == 1:
                tokens[7] = "altered"
            else:
                tokens = draw.choices(vocabulary, k=WORDS)
            text = "\n\n".join(" ".join(tokens[start : start + 60]).capitalize() + "." for start in range(0, WORDS, 60))
            file.write(json.dumps({"text": text, "author": f"Author {number // 5}"}) + "\n")


def prepare_once(path: Path, deduplicate: bool) -> dict[str, float]:
    from storyteller.corpus import PrepareSettings, prepare

    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        report = prepare([path], Path(folder) / "out", settings=PrepareSettings(deduplicate=deduplicate))
    return {"megabytes": report.megabytes, "seconds": time.process_time() - started, "removed": report.near_duplicates}


def datasketch_once(path: Path) -> dict[str, float]:
    from datasketch import MinHash, MinHashLSH

    started, size, removed = time.process_time(), 0, 0
    index = MinHashLSH(threshold=0.8, num_perm=128)
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            text = json.loads(line)["text"]
            size += len(text)
            words = text.lower().split()
            minhash = MinHash(num_perm=128)
            minhash.update_batch([" ".join(words[i : i + 3]).encode() for i in range(len(words) - 2)])
            removed += bool(index.query(minhash))
            index.insert(str(number), minhash)
    return {"megabytes": size / 1e6, "seconds": time.process_time() - started, "removed": removed}


def one(kind: str, path: Path) -> None:
    figures = datasketch_once(path) if kind == "datasketch" else prepare_once(path, kind == "deduplicated")
    figures["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stories", type=int, nargs="+", default=[20_000, 80_000])
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        return one(arguments.one[0], Path(arguments.one[1]))
    kinds = ["plain", "deduplicated"] + ["datasketch"] * (importlib.util.find_spec("datasketch") is not None)
    print("| run | stories | MB of text | MB/s | peak MiB | near duplicates |\n| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for stories in arguments.stories:
            path = Path(folder) / f"{stories}.jsonl"
            write_corpus(path, stories)
            for kind in kinds:
                command = [sys.executable, __file__, "--one", kind, str(path)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                row = json.loads(done.stdout)
                cells = f"{row['megabytes']:.1f} | {row['megabytes'] / row['seconds']:.1f} | {row['memory']:.0f}"
                print(f"| {kind} | {stories:,} | {cells} | {row['removed']:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
