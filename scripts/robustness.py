"""What each way of training robustly is worth on few stories, and what each way of learning on forgets.

python scripts/robustness.py options TALES OUT [--seeds 1 2 3] [--base MODEL] [a.b=c ...]
python scripts/robustness.py continual TALES PLAYS [CHINESE ...] OUT [--seeds 1 2 3] [--base MODEL] [a.b=c ...]

TALES, PLAYS and so on are folders written by `storyteller prepare`. Each option is a small fine-tune of the default model
beside a plain one with the same seed: the same stories in the same order. What is measured is the model at the end of the
training, on test stories, and in a column of its own the one that the dev split chose, which is what early stopping keeps.
`continual` learns one corpus after the other, and measures all of them after each. OUT holds one folder a line of the
table; what is there already is not run again, so the script may be stopped and started. It prints the tables and writes
OUT/*.json.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import statistics
from pathlib import Path
from typing import Any

import torch

from storyteller.evaluate.degeneration import degeneration
from storyteller.evaluate.loss import measure_losses, summarise
from storyteller.evaluate.loss_report import choose_stories
from storyteller.generate import Storyteller
from storyteller.models import load_model, locate
from storyteller.recipe import load_recipe
from storyteller.runs import Run, read_json, write_json
from storyteller.runs.files import replacing_folder
from storyteller.tokens import StoryTokenizer, Template
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
    "weight decay 0.1": ["train.weight_decay=0.1"],
    "dropout 0.1": ["train.dropout=0.1"],
    "adapter dropout 0.1": ["model.lora.dropout=0.1"],
    "contrastive": ["train.contrastive={weight: 1.0}"],
    "freelb": ["train.perturb={method: freelb, ascent: 2}"],
}
PROMPTS = (
    "A lighthouse keeper finds a talking seal.", "Two sisters inherit a clock that runs backwards.",
    "A boy trades his shadow for a kite.", "An old ferryman refuses his last passenger.",
    "A fox and a crow share a winter.", "The baker's bread begins to sing.",
    "A girl follows a river to its end.", "A king forgets his own name.",
    "Three brothers guard an empty well.", "A snail sets out to see the moon.",
    "The smallest drum in the army goes missing.", "A tailor sews a coat for the wind.",
)  # fmt: skip
CONTINUAL = {
    "plain": "",
    "replay 0.25": "replay: 0.25",
    "EWC 100": "ewc: 100",
    "both": "replay: 0.25, ewc: 100",
    "stacked": "stack: true",
    "EWC 10000": "ewc: 10000",
}
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}
"""The 97.5 % point of Student's t for so many seeds."""


def options(folders: list[Path], asked: argparse.Namespace) -> None:
    """One run for each option and seed; held-out bits per byte and repetition beside the plain run's."""
    tales, out = folders
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for seed, name in itertools.product(asked.seeds, OPTIONS | MORE):
        found.setdefault(name, {})[seed] = option(tales, out, name, seed, asked)
        write_json(out / "options.json", found)
    table(found)


def option(tales: Path, out: Path, name: str, seed: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Train with one option and one seed and measure, unless that is done; returns the measures."""
    folder = out / f"{name.replace(' ', '-')}-{seed}"
    told = folder / "measured.json"
    if not told.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        common = [*SMALL, f"model.base={asked.base}", f"train.seed={seed}", *asked.overrides]
        run = finetune(load_recipe(None, [*common, f"data.path={tales}", *(OPTIONS | MORE)[name]]), folder)
        write_json(told, measure(run, tales, asked))
        shutil.rmtree(run.checkpoints, ignore_errors=True)
    found: dict[str, Any] = read_json(told)
    return found


def measure(run: Run, tales: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Bits per byte of the last model and of the one that dev chose, and how much the last one's texts repeat themselves."""
    dev = [(line["step"], line["bits_per_byte"]) for line in run.metrics() if line["split"] == "dev"]
    last = run.pointed("last")
    assert last is not None, "a run that has ended has a last checkpoint"
    ended = held_out(last[0], tales, asked.stories, asked.tokens)
    best = run.pointed("best")
    same = best is not None and best[0] == last[0]
    teller = Storyteller.load(str(last[0]), engine="torch")
    texts = ["" for _ in PROMPTS]
    for index, told in teller.tell_many(PROMPTS, seeds=list(range(len(PROMPTS))), words=asked.words_told):
        texts[index] = getattr(told, "text", "")
    teller.close()
    write_json(run.folder / "told.json", texts)
    rows = degeneration(texts, "en")
    return {
        "dev": dev,
        "bits_per_byte": ended,
        "chosen": ended if same else held_out(run.final, tales, asked.stories, asked.tokens),
        "rep_4": statistics.mean(row.rep_4 for row in rows),
        "rep_2": statistics.mean(row.rep_2 for row in rows),
    }


def held_out(model: Path | str, corpus: Path, stories: int, tokens: int) -> float:
    """Bits per byte of the beginnings of test stories that follow their request."""
    located = locate(model)
    tokenizer = StoryTokenizer.load(located.folder)
    template = Template.load(located.template_folder, tokenizer)
    loaded = load_model(located, merge=True).to("cuda" if torch.cuda.is_available() else "cpu")
    chosen = choose_stories(corpus, "test", stories, None)
    losses = measure_losses(loaded, tokenizer, chosen, context=1024, max_tokens=tokens, template=template)
    return float(summarise(losses)[0].bits_per_byte.value)


def table(found: dict[str, dict[int, dict[str, Any]]]) -> None:
    """Means over seeds, and the paired differences from plain with their 95 % intervals (Student's t)."""
    print("| option | seeds | at the end | less plain | chosen by dev | less plain | rep-2 | less plain |")
    print("|---|---:|---:|---|---:|---|---:|---|", flush=True)
    for name, runs in found.items():
        both = sorted(set(runs) & set(found["plain"]))
        cells = []
        for key in ("bits_per_byte", "chosen", "rep_2"):
            apart = [runs[seed][key] - found["plain"][seed][key] for seed in both]
            cells += [f"{statistics.mean(run[key] for run in runs.values()):.4f}", _interval(apart)]
        print(f"| {name} | {len(both)} | {' | '.join(cells)} |", flush=True)


def _interval(values: list[float]) -> str:
    mean = statistics.mean(values)
    if len(values) < 2 or not any(values):
        return f"{mean:+.4f}"
    half = STUDENT[len(values)] * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:+.4f} [{mean - half:+.4f}, {mean + half:+.4f}]"


def continual(folders: list[Path], asked: argparse.Namespace) -> None:
    """Learn one corpus after the other, with and without what is meant against forgetting."""
    *corpora, out = folders
    found: dict[str, dict[int, list[dict[str, float]]]] = {}
    ways = [way for way in CONTINUAL if way in ("plain", *(asked.ways or CONTINUAL))]
    for seed, name in itertools.product(asked.seeds, ways):
        found.setdefault(name, {})[seed] = chain(corpora, out, name, seed, asked)
        write_json(out / "continual.json", found)
    forgotten(found, [corpus.name for corpus in corpora])


def first_stage(corpora: list[Path], out: Path, seed: int, asked: argparse.Namespace) -> Path:
    """The run that has learnt the first corpus, from which all ways go on."""
    folder = out / f"first-{seed}"
    if not (folder / "measured.json").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        common = [*SMALL, f"model.base={asked.base}", f"train.seed={seed}", *asked.overrides]
        run = finetune(load_recipe(None, [*common, f"data.path={corpora[0]}"]), folder)
        write_json(folder / "measured.json", scores(run.final, corpora, asked))
        shutil.rmtree(run.checkpoints, ignore_errors=True)
    return folder


def chain(corpora: list[Path], out: Path, name: str, seed: int, asked: argparse.Namespace) -> list[dict[str, float]]:
    """Learn the corpora in turn in one way, unless that is done; bits per byte of each corpus after each of them."""
    before = first_stage(corpora, out, seed, asked)
    stages: list[dict[str, float]] = [read_json(before / "measured.json")]
    for number, corpus in enumerate(corpora[1:], start=1):
        folder = out / f"{name.replace(' ', '-')}-{number}-{seed}"
        if not (folder / "measured.json").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            old = corpora[0] if number == 1 else joined(corpora[:number], out / f"old-{number}")
            block = f"continual={{old: {old}, evaluate_rows: 12, fisher_rows: 32, {CONTINUAL[name]}}}"
            common = [*SMALL, f"train.seed={seed}", *asked.overrides]
            given = [*common, f"model.base={before / 'final'}", f"data.path={corpus}", block]
            run = finetune(load_recipe(None, given), folder)
            write_json(folder / "measured.json", scores(run.final, corpora, asked))
            shutil.rmtree(run.checkpoints, ignore_errors=True)
            (folder / "fisher.safetensors").unlink(missing_ok=True)
        stages.append(read_json(folder / "measured.json"))
        before = folder
    return stages


def scores(model: Path, corpora: list[Path], asked: argparse.Namespace) -> dict[str, float]:
    """Held-out bits per byte of each corpus."""
    return {corpus.name: held_out(model, corpus, asked.stories, asked.tokens) for corpus in corpora}


def joined(corpora: list[Path], out: Path, most: int = 150) -> Path:
    """A folder that holds at most so many stories of each split of each corpus: all that was learnt before."""
    with replacing_folder(out) as part:
        for split in ("train", "dev", "test"):
            lines = [(corpus / f"{split}.jsonl").read_text("utf-8").splitlines(keepends=True) for corpus in corpora]
            even = [one[:: max(1, -(-len(one) // most))] for one in lines]
            (part / f"{split}.jsonl").write_text("".join(itertools.chain(*even)), "utf-8")
        write_json(part / "manifest.json", read_json(corpora[0] / "manifest.json"))
    return out


def forgotten(found: dict[str, dict[int, list[dict[str, float]]]], names: list[str]) -> None:
    """What each way has forgotten of each corpus since it was learnt, and how well it learnt the last one."""
    for stage in range(1, len(names)):
        old = names[:stage]
        print(f"\nAfter {names[stage]}: bits per byte gained since it was learnt, and those of {names[stage]}\n")
        print(f"| way | seeds | {' | '.join(f'{name}, forgotten' for name in old)} | {names[stage]} | less plain |")
        print(f"|---|---:|{'---|' * len(old)}---:|---|")
        for way, runs in found.items():
            cells = [
                _interval([run[stage][name] - run[index][name] for run in runs.values()])
                for index, name in enumerate(old)
            ]
            learnt = [run[stage][names[stage]] for run in runs.values()]
            both = sorted(set(runs) & set(found["plain"]))
            apart = [runs[seed][stage][names[stage]] - found["plain"][seed][stage][names[stage]] for seed in both]
            print(
                f"| {way} | {len(runs)} | {' | '.join(cells)} | {statistics.mean(learnt):.4f} | {_interval(apart)} |",
                flush=True,
            )


def parse(words: list[str] | None = None) -> tuple[argparse.Namespace, list[Path]]:
    """What is asked for, and the folders."""
    parser = argparse.ArgumentParser()
    parser.add_argument("study", choices=["options", "continual"])
    parser.add_argument("words", nargs="+", help="folders, then overrides")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--ways", nargs="+", choices=sorted(CONTINUAL), help="continual: plain and these ways only")
    parser.add_argument("--base", default="smollm2-135m-instruct")
    parser.add_argument("--stories", type=int, default=40, help="test stories of each corpus that are measured")
    parser.add_argument("--tokens", type=int, default=256, help="tokens measured at the beginning of each")
    parser.add_argument("--words-told", type=int, default=60, help="length of the texts in which repetition is counted")
    asked = parser.parse_intermixed_args(words)
    folders = [Path(word) for word in asked.words if "=" not in word]
    asked.overrides = [word for word in asked.words if "=" in word]
    return asked, folders


def main() -> None:
    """Parse, and run one of the two studies."""
    asked, folders = parse()
    (options if asked.study == "options" else continual)(folders, asked)


if __name__ == "__main__":
    main()
