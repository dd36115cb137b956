"""All fine-tuning methods on one base, one corpus and the same tokens: what each trains, what it learns, what it costs.

    python benchmarks/methods.py --data data/tales --steps 24 [--rates]
    python benchmarks/methods.py --data data/tales --rows 8 --accumulate 1 --context 512 --time

Each method is trained in a process of its own on the same batches, with the rate given for it in `METHODS` or, with
`--rates`, with each of those given, of which the dev split chooses. It is measured on held-out stories that chose
nothing: bits per byte with a 95 % bootstrap interval over stories, and the difference from the base, paired by story. On
a CPU time is processor time, since that is the same on a busy machine; on a GPU it is that of the clock, and memory is
the GPU's. What is done lies in `--out` and is not done again, so that a run that was stopped goes on. `--time` measures
only the speed of ten steps of each method, one after the other, and wants the machine for itself.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib.util
import json
import statistics
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
from storyteller.runs import Run, read_json, write_json
from storyteller.tokens import StoryTokenizer, Template
from storyteller.train import finetune, loop
from storyteller.train.checkpoint import State
from storyteller.train.memory import peak_memory
from storyteller.train.optim import build_optimizer

STORIES = Path(__file__).parent.parent / "examples" / "stories" / "en"
BASE, QLORA = "base", "QLoRA"

METHODS: dict[str, tuple[tuple[str, ...], tuple[float, ...]]] = {
    "full": (("model.method=full",), (5e-5, 2e-5, 1e-4)),
    QLORA: (("model.method=qlora",), (5e-4, 1e-3)),
    "LoRA": (("model.method=lora", "model.lora.rank_stabilised=false"), (1e-3, 2e-3)),
    "rank-stabilised LoRA": (("model.method=lora",), (5e-4, 1e-3)),
    "DoRA": (("model.method=dora",), (5e-4, 1e-3)),
    "AdaLoRA": (("model.method=adalora",), (2e-3, 5e-3)),
    "bottleneck, Houlsby": (("model.method=bottleneck", "model.bottleneck.kind=houlsby"), (1e-3, 3e-3)),
    "bottleneck, Pfeiffer": (("model.method=bottleneck", "model.bottleneck.kind=pfeiffer"), (1e-3, 3e-3)),
    "prefix tuning": (("model.method=prefix",), (5e-3, 2e-2)),
    "prompt tuning": (("model.method=prompt",), (1e-2, 5e-2, 2e-1)),
    "IA3": (("model.method=ia3",), (1e-2, 3e-2)),
}
"""What makes a method, its usual rate, and what else is tried with `--rates`."""


def possible() -> list[str]:
    """The methods that this machine can run."""
    four_bits = torch.cuda.is_available() and importlib.util.find_spec("bitsandbytes") is not None
    return [name for name in METHODS if name != QLORA or four_bits]


def recipe_of(options: argparse.Namespace, name: str, rate: float) -> Any:
    """The recipe of one method; everything but the method and its rate is the same for all."""
    gpu = torch.cuda.is_available()
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
        f"train.evaluate_rows={options.dev_rows}",
        "train.save_minutes=1000",
        f"train.precision={'auto' if gpu else 'float32'}",
        "train.warmup=0.1",
        f"train.log_every={options.steps}",
        f"train.seed={options.seed}",
        "samples.prompts=[]",
    )
    return load_recipe(None, [*common, *METHODS[name][0], f"train.lr={rate}", *options.override])


def held_out(options: argparse.Namespace, folder: Path | None) -> list[StoryLoss]:
    """The loss of each held-out story after its request, under the model of a run, or under the base."""
    located = locate(folder or options.model)
    tokenizer = StoryTokenizer.load(located.folder)
    template = (
        Template.for_tokenizer(tokenizer) if folder is None else Template.load(located.template_folder, tokenizer)
    )
    stories = choose_stories(options.data, options.split, options.stories, None)
    model = load_model(located, merge=True).to("cuda" if torch.cuda.is_available() else "cpu")
    return measure_losses(model, tokenizer, stories, context=768, max_tokens=options.tokens, template=template)


def measure(options: argparse.Namespace, name: str, rate: float) -> dict[str, Any]:
    """Train and measure one method with one rate in this process."""
    if name == BASE:
        return {"losses": [vars(row) for row in held_out(options, None)]}
    recipe, spent, step = recipe_of(options, name, rate), [], loop._train_step
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

    def timed(*arguments: Any) -> Any:
        began = clock()
        done = step(*arguments)
        spent.append(clock() - began)
        return done

    loop._train_step = timed
    try:
        with tempfile.TemporaryDirectory() as folder:
            run = finetune(recipe, Path(folder) / "run")
            (last,) = (line for line in run.metrics() if line["split"] == "train")
            dev = [line["bits_per_byte"] for line in run.metrics() if line["split"] == "dev"]
            estimate = read_json(run.folder / "estimate.json")
            size = sum(path.stat().st_size for path in run.final.glob("*.safetensors"))
            losses = held_out(options, run.folder)
    finally:
        loop._train_step = step
    return {
        "lr": recipe.train.lr,
        "trained": estimate["trained"],
        "bytes": size,
        "seconds": sum(spent),
        "memory_mb": last["memory_mb"],
        "targets": last["targets"],
        "train_loss": last["loss"],
        "dev": dev[-1] if dev else None,
        "dev_base": dev[0] if dev else None,
        "losses": [vars(row) for row in losses],
    }


def time_steps(options: argparse.Namespace, name: str, steps: int = 10) -> dict[str, Any]:
    """Tokens a second of the median of ten steps of one method, after two, and its peak memory, in this process."""
    stage: Any = importlib.import_module("storyteller.train.finetune")
    gpu = torch.cuda.is_available()
    gc.collect()
    if gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    prepared = stage._prepare(recipe_of(options, name, METHODS[name][1][0]))
    with tempfile.TemporaryDirectory() as folder:
        plan = stage._plan(prepared, Run(Path(folder)))
    optimizer = build_optimizer(prepared.objective, prepared.recipe.train)
    wrapped, stepper = prepared.accelerator.prepare(prepared.objective, optimizer)
    state, seconds, tokens = State(), [], []
    for number in range(steps + 2):
        began = time.perf_counter()
        batch = loop._train_step(wrapped, stepper, state, plan, prepared.accelerator)[0]
        if gpu:
            torch.cuda.synchronize()
        if number >= 2:
            seconds.append(time.perf_counter() - began)
            tokens.append(int((batch.segment_ids > 0).sum()))
    return {
        "step_seconds": statistics.median(seconds),
        "tokens_per_second": statistics.median(t / s for t, s in zip(tokens, seconds, strict=True)),
        "memory_mb": peak_memory(prepared.accelerator.device) / 1e6,
        "trained": prepared.estimate.trained,
    }


def table(options: argparse.Namespace, results: dict[str, dict[float, dict[str, Any]]]) -> Iterator[str]:
    """What was done, and a line for each method in the order of the difference, with the rate that dev chose."""
    chosen = {name: min(tried.values(), key=lambda result: result.get("dev") or 0.0) for name, tried in results.items()}
    # A collection is one work, and a corpus of tales has few of them: the story is what is drawn again.
    rows = {
        name: [StoryLoss(**row | {"work": row["id"]}) for row in result["losses"]] for name, result in chosen.items()
    }
    base = rows[BASE]
    methods = [name for name in results if name != BASE]
    targets = {chosen[name]["targets"] for name in methods}
    yield (
        f"{options.model}, {options.steps} steps of {options.rows * options.accumulate} rows of {options.context} tokens "
        f"({' / '.join(f'{count:,}' for count in sorted(targets))} target tokens), {torch.get_num_threads()} thread(s); "
        f"{len(base)} held-out stories, their first {options.tokens} tokens\n"
    )
    yield "| method | rate | trained | file | held-out bits per byte | against the base | s | peak MB | dev, by rate |"
    yield "|---|---:|---:|---:|---|---|---:|---:|---|"
    yield f"| base, untrained | | | | {summarise(base)[0].bits_per_byte} | | | | |"
    ordered = sorted(methods, key=lambda name: compare(base, rows[name]).value)
    for name in ordered:
        result = chosen[name]
        tried = ", ".join(
            f"{rate:g}: {one['dev']:.4f}" for rate, one in sorted(results[name].items()) if one.get("dev")
        )
        yield (
            f"| {name} | {result['lr']:g} | {result['trained']:,} | {result['bytes'] / 1e6:.2f} MB "
            f"| {summarise(rows[name])[0].bits_per_byte} | {compare(base, rows[name])} "
            f"| {result['seconds']:.0f} | {result['memory_mb']:,.0f} | {tried} |"
        )


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """What is asked for."""
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
    parser.add_argument("--dev-rows", type=int, default=8, help="packed rows of the dev split that choose the rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--methods", nargs="*", default=possible(), choices=list(METHODS))
    parser.add_argument("--rates", action="store_true", help="try all rates of a method")
    parser.add_argument("--override", nargs="*", default=[], help="changes of the recipe for all methods")
    parser.add_argument("--out", type=Path, default=Path("methods"), help="where each method's figures are kept")
    parser.add_argument("--time", action="store_true", help="only the speed of ten steps of each method")
    parser.add_argument("--show", action="store_true", help="only the table of what is there")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, default=0.0, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(words)


def result_file(options: argparse.Namespace, name: str, rate: float) -> Path:
    """Where the figures of a method with a rate are kept."""
    out: Path = options.out
    return out / (f"{name}.json" if name == BASE else f"{name} {rate:g}.json")


def asked(options: argparse.Namespace) -> list[tuple[str, float]]:
    """The base, each method with its usual rate, and then the other rates."""
    rest = [(name, rate) for name in options.methods for rate in METHODS[name][1][1:]] if options.rates else []
    return [(BASE, 0.0), *((name, METHODS[name][1][0]) for name in options.methods), *rest]


def main() -> None:
    options = parse()
    if options.data is None:
        options.data = options.out / "corpus"
        if not options.data.exists():
            prepare([STORIES], options.data)
    if options.one:
        write_json(result_file(options, options.one, options.rate), measure(options, options.one, options.rate))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    if options.time:
        for name in options.methods:
            write_json(options.out / f"time {name}.json", timed := time_steps(options, name))
            print(f"{name}: {json.dumps(timed)}", flush=True)
        return
    results: dict[str, dict[float, dict[str, Any]]] = {}
    if options.show:
        options.methods, options.rates = list(METHODS), True
    for name, rate in asked(options):
        path = result_file(options, name, rate)
        if options.show and not path.exists():
            continue
        if not path.exists():
            more = ["--data", str(options.data), "--one", name, "--rate", str(rate)]
            subprocess.run([sys.executable, *sys.argv, *more], check=True)
        results.setdefault(name, {})[rate] = read_json(path)
    print(json.dumps(results) if options.json else "\n".join(table(options, results)))


if __name__ == "__main__":
    main()
