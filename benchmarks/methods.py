"""All fine-tuning methods on one base, one corpus and the same tokens: what each trains, what it learns, what it costs.

    python benchmarks/methods.py --data data/tales --steps 24

Each method is trained in a process of its own on the same batches, with the rate given for it in `METHODS`, and measured
on the same held-out stories: bits per byte with a 95 % bootstrap interval over stories, and the difference from the base,
paired by story. Time is processor time, since that is the same on a busy machine. What is done lies in `--out` and is not
done again, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from storyteller.corpus import prepare
from storyteller.evaluate.loss import StoryLoss, measure_losses, summarise
from storyteller.evaluate.loss_report import choose_stories, compare
from storyteller.models import load_model, locate
from storyteller.recipe import load_recipe
from storyteller.runs import read_json, write_json
from storyteller.tokens import StoryTokenizer, Template
from storyteller.train import finetune, loop

STORIES = Path(__file__).parent.parent / "examples" / "stories" / "en"
BASE = "base"

METHODS: dict[str, tuple[str, ...]] = {
    "full": ("model.method=full", "train.lr=5e-5"),
    "LoRA": ("model.method=lora", "model.lora.rank_stabilised=false", "train.lr=1e-3"),
    "rank-stabilised LoRA": ("model.method=lora", "train.lr=5e-4"),
    "DoRA": ("model.method=dora", "train.lr=5e-4"),
    "AdaLoRA": ("model.method=adalora", "train.lr=2e-3"),
    "bottleneck, Houlsby": ("model.method=bottleneck", "model.bottleneck.kind=houlsby", "train.lr=1e-3"),
    "bottleneck, Pfeiffer": ("model.method=bottleneck", "model.bottleneck.kind=pfeiffer", "train.lr=1e-3"),
    "prefix tuning": ("model.method=prefix", "train.lr=5e-3"),
    "prompt tuning": ("model.method=prompt", "train.lr=1e-2"),
    "IA3": ("model.method=ia3", "train.lr=1e-2"),
}


def recipe_of(options: argparse.Namespace, overrides: tuple[str, ...]) -> Any:
    """The recipe of one method; everything but the method and its rate is the same for all."""
    common = (
        f"model.base={options.model}",
        f"data.path={options.data}",
        f"data.context={options.context}",
        "data.tasks={write: 1}",
        "data.max_parts=2",
        f"train.steps={options.steps}",
        f"train.rows={options.rows}",
        f"train.accumulate={options.accumulate}",
        f"train.evaluate_every={options.steps}",
        "train.evaluate_rows=8",
        "train.save_minutes=1000",
        "train.precision=float32",
        "train.warmup=0.1",
        f"train.log_every={options.steps}",
        f"train.seed={options.seed}",
        "samples.prompts=[]",
    )
    return load_recipe(None, [*common, *overrides, *options.override])


def held_out(options: argparse.Namespace, folder: Path | None) -> list[StoryLoss]:
    """The loss of each held-out story after its request, under the model of a run, or under the base."""
    located = locate(folder or options.model)
    tokenizer = StoryTokenizer.load(located.folder)
    template = (
        Template.for_tokenizer(tokenizer) if folder is None else Template.load(located.template_folder, tokenizer)
    )
    stories = choose_stories(options.data, options.split, options.stories, None)
    model = load_model(located, merge=True)
    return measure_losses(model, tokenizer, stories, max_tokens=options.tokens, template=template)


def measure(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """Train and measure one method in this process."""
    if name == BASE:
        return {"losses": [vars(row) for row in held_out(options, None)]}
    recipe, spent, step = recipe_of(options, METHODS[name]), [], loop._train_step

    def timed(*arguments: Any) -> Any:
        began = time.process_time()
        done = step(*arguments)
        spent.append(time.process_time() - began)
        return done

    loop._train_step = timed
    with tempfile.TemporaryDirectory() as folder:
        run = finetune(recipe, Path(folder) / "run")
        (last,) = (line for line in run.metrics() if line["split"] == "train")
        estimate = read_json(run.folder / "estimate.json")
        size = sum(path.stat().st_size for path in run.final.glob("*.safetensors"))
        losses = held_out(options, run.folder)
    return {
        "lr": recipe.train.lr,
        "trained": estimate["trained"],
        "bytes": size,
        "seconds": sum(spent),
        "memory_mb": last["memory_mb"],
        "targets": last["targets"],
        "train_loss": last["loss"],
        "losses": [vars(row) for row in losses],
    }


def table(options: argparse.Namespace, results: dict[str, dict[str, Any]]) -> Iterator[str]:
    """What was done, and a line for each method in the order of the difference."""
    # A collection is one work, and a corpus of tales has few of them: the story is what is drawn again.
    rows = {
        name: [StoryLoss(**row | {"work": row["id"]}) for row in result["losses"]] for name, result in results.items()
    }
    base = rows[BASE]
    methods = [name for name in results if name != BASE]
    targets = {results[name]["targets"] for name in methods}
    yield (
        f"{options.model}, {options.steps} steps of {options.rows * options.accumulate} rows of {options.context} tokens "
        f"({' / '.join(f'{count:,}' for count in sorted(targets))} target tokens), {torch.get_num_threads()} thread(s); "
        f"{len(base)} held-out stories, their first {options.tokens} tokens\n"
    )
    yield "| method | rate | trained | file | held-out bits per byte | against the base | CPU s | peak MB |"
    yield "|---|---:|---:|---:|---|---|---:|---:|"
    yield f"| base, untrained | | | | {summarise(base)[0].bits_per_byte} | | | |"
    ordered = sorted(methods, key=lambda name: compare(base, rows[name]).value)
    for name in ordered:
        result = results[name]
        yield (
            f"| {name} | {result['lr']:g} | {result['trained']:,} | {result['bytes'] / 1e6:.2f} MB "
            f"| {summarise(rows[name])[0].bits_per_byte} | {compare(base, rows[name])} "
            f"| {result['seconds']:.0f} | {result['memory_mb']:,.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct", help="a name of the catalogue or a folder")
    parser.add_argument("--data", type=Path, help="a prepared corpus; default: one made of examples/stories/en")
    parser.add_argument("--split", default="test", help="the split that is held out for the measurement")
    parser.add_argument("--stories", type=int, default=40, help="held-out stories")
    parser.add_argument("--tokens", type=int, default=256, help="tokens measured at the beginning of each")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rows", type=int, default=2)
    parser.add_argument("--accumulate", type=int, default=2)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--override", nargs="*", default=[], help="changes of the recipe for all methods")
    parser.add_argument("--out", type=Path, default=Path("methods"), help="where each method's figures are kept")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.data is None:
        options.data = options.out / "corpus"
        if not options.data.exists():
            prepare([STORIES], options.data)
    if options.one:
        write_json(options.out / f"{options.one}.json", measure(options, options.one))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    for name in [BASE, *options.methods]:
        if not (options.out / f"{name}.json").exists():
            subprocess.run([sys.executable, *sys.argv, "--data", str(options.data), "--one", name], check=True)
    results = {name: read_json(options.out / f"{name}.json") for name in [BASE, *options.methods]}
    print(json.dumps(results) if options.json else "\n".join(table(options, results)))


if __name__ == "__main__":
    main()
