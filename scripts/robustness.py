"""What each way of training robustly is worth on few stories, and what each way of learning on forgets.

python scripts/robustness.py options TALES OUT [--seeds 1 2 3] [--base MODEL] [a.b=c ...]
python scripts/robustness.py continual TALES PLAYS OUT [--seeds 1 2 3] [--base MODEL] [a.b=c ...]

TALES and PLAYS are folders written by `storyteller prepare`. Each option is a small fine-tune of the default model beside a
plain one with the same seed: the same stories in the same order. OUT holds one run a line of the table; what is there
already is not run again, so the script may be stopped and started. It prints the tables and writes OUT/*.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import statistics
from pathlib import Path
from typing import Any

from storyteller.evaluate.degeneration import degeneration
from storyteller.generate import Storyteller
from storyteller.recipe import load_recipe
from storyteller.runs import Run, read_json, write_json
from storyteller.train import finetune

SMALL = (
    "data.context=192", "data.max_stories=100", "data.max_parts=1", "train.steps=10", "train.rows=4",
    "train.accumulate=1", "train.lr=5e-4", "train.warmup=1", "train.evaluate_every=100", "train.evaluate_rows=12",
    "train.save_every=100", "train.keep=1", "samples.prompts=[]", "train.log_every=5",
)  # fmt: skip
OPTIONS = {
    "plain": [],
    "neftune": ["train.perturb={method: neftune, noise: 5}"],
    "label smoothing 0.1": ["train.label_smoothing=0.1"],
    "fgm": ["train.perturb={method: fgm}"],
    "augment": ["data.augment={copies: 1}"],
}
MORE = {
    "contrastive": ["train.contrastive={weight: 1.0}"],
    "dropout 0.1": ["train.dropout=0.1"],
    "freelb": ["train.perturb={method: freelb, ascent: 2}"],
}
PROMPTS = (
    "A lighthouse keeper finds a talking seal.", "Two sisters inherit a clock that runs backwards.",
    "A boy trades his shadow for a kite.", "An old ferryman refuses his last passenger.",
)  # fmt: skip
CONTINUAL = {
    "plain": "",
    "replay 0.25": "replay: 0.25",
    "EWC 100": "ewc: 100",
    "both": "replay: 0.25, ewc: 100",
}
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
"""The 97.5 % point of Student's t for so many seeds."""


def options(tales: Path, out: Path, asked: argparse.Namespace) -> None:
    """One run for each option and seed; held-out bits per byte and repetition beside the plain run's."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for group, seed in itertools.product((OPTIONS, MORE), asked.seeds):
        for name, more in group.items():
            folder = out / f"{name.replace(' ', '-')}-{seed}"
            told = folder / "measured.json"
            if not told.is_file():
                shutil.rmtree(folder, ignore_errors=True)
                common = [*SMALL, f"model.base={asked.base}", f"train.seed={seed}", *asked.overrides]
                given = [*common, f"data.path={tales}", *more]
                run = finetune(load_recipe(None, given), folder)
                write_json(told, measure(run))
                shutil.rmtree(run.checkpoints, ignore_errors=True)
            found.setdefault(name, {})[seed] = read_json(told)
            write_json(out / "options.json", found)
        table(found)


def measure(run: Run) -> dict[str, float]:
    """Dev bits per byte before and after, and how much of what the model writes it has written before."""
    dev = [line for line in run.metrics() if line["split"] == "dev"]
    teller = Storyteller.load(str(run.final), engine="torch")
    texts = ["" for _ in PROMPTS]
    for index, told in teller.tell_many(PROMPTS, seeds=list(range(len(PROMPTS))), words=50):
        texts[index] = getattr(told, "text", "")
    teller.close()
    write_json(run.folder / "told.json", texts)
    rows = degeneration(texts, "en")
    return {
        "before": dev[0]["bits_per_byte"],
        "bits_per_byte": dev[-1]["bits_per_byte"],
        "rep_4": statistics.mean(row.rep_4 for row in rows),
        "rep_2": statistics.mean(row.rep_2 for row in rows),
    }


def table(found: dict[str, dict[int, dict[str, float]]]) -> None:
    """Means over seeds, and the paired differences from plain with their 95 % intervals (Student's t)."""
    print("| option | seeds | dev bits per byte | difference from plain | rep-2 | difference from plain |")
    print("|---|---:|---:|---|---:|---|", flush=True)
    for name, runs in found.items():
        both = sorted(set(runs) & set(found["plain"]))
        cells = []
        for key in ("bits_per_byte", "rep_2"):
            apart = [runs[seed][key] - found["plain"][seed][key] for seed in both]
            cells += [f"{statistics.mean(run[key] for run in runs.values()):.4f}", _interval(apart)]
        print(f"| {name} | {len(both)} | {' | '.join(cells)} |", flush=True)


def _interval(values: list[float]) -> str:
    mean = statistics.mean(values)
    if len(values) < 2 or not any(values):
        return f"{mean:+.4f}"
    half = STUDENT[len(values)] * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}]"


def continual(tales: Path, plays: Path, out: Path, asked: argparse.Namespace) -> None:
    """First the tales, then the plays, with and without what is meant against forgetting."""
    found: dict[str, Any] = {}
    for seed in asked.seeds:
        common = [*SMALL, f"model.base={asked.base}", f"train.seed={seed}", *asked.overrides]
        first = out / f"tales-{seed}"
        if not (first / "final").is_dir():
            shutil.rmtree(first, ignore_errors=True)
            finetune(load_recipe(None, [*common, f"data.path={tales}"]), first)
        for name, more in CONTINUAL.items():
            folder = out / f"{name.replace(' ', '-')}-{seed}"
            if not (folder / "final").is_dir():
                shutil.rmtree(folder, ignore_errors=True)
                block = f"continual={{old: {tales}, evaluate_rows: 12, fisher_rows: 16, {more}}}"
                given = [*common, f"model.base={first / 'final'}", f"data.path={plays}", block]
                finetune(load_recipe(None, given), folder)
            told = read_json(folder / "continual.json")
            dev = [line["bits_per_byte"] for line in Run.open(folder).metrics() if line["split"] == "dev"]
            found[f"{name}/{seed}"] = {
                "old_before": told["before"]["bits_per_byte"],
                "old_after": told["after"]["bits_per_byte"],
                "new_before": dev[0],
                "new_after": dev[-1],
            }
            write_json(out / "continual.json", found)
            print(name, seed, json.dumps(found[f"{name}/{seed}"]), flush=True)


def main() -> None:
    """Parse, and run one of the two studies."""
    parser = argparse.ArgumentParser()
    parser.add_argument("study", choices=["options", "continual"])
    parser.add_argument("words", nargs="+", help="folders, then overrides")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--base", default="smollm2-135m-instruct")
    asked = parser.parse_args()
    folders = [Path(word) for word in asked.words if "=" not in word]
    asked.overrides = [word for word in asked.words if "=" in word]
    study: Any = options if asked.study == "options" else continual
    study(*folders, asked)


if __name__ == "__main__":
    main()
