"""Fine-tuning by LoRA on stories of mixed length: our loop, Hugging Face Trainer and bare PyTorch loops, in turn.

    python benchmarks/training.py [--data CORPUS] [--precision bfloat16] [--repetitions 5] [--json]

In each repetition all candidates train on the same examples in as many optimizer steps: ours and the bare loops on
`steps` packed batches of `rows` rows, Trainer on the examples in these one in a row, in random order, `rows` rows in a
forward pass, padded to the longest, accumulated to `steps` optimizer steps. So the largest forward pass of each is
`rows` x `context`, which is what a user sizes memory by. Speed is targets (tokens with a loss) in a second; ratios are
medians over the repetitions, each taken within one. Each candidate has its own process, so that its peak of memory and
its threads are its own. A repetition of one row warms up and is not counted. The defaults are those of the recipe
`tales` and take about seven minutes on two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from storyteller.corpus import prepare
from storyteller.models import apply_lora, load_model, locate
from storyteller.recipe import DataRecipe, LoraRecipe, TrainRecipe
from storyteller.runs import Run
from storyteller.tokens import Batch, Shards, StoryTokenizer, tokenize
from storyteller.train.loop import Plan, batch_tensors, fit
from storyteller.train.objectives import CausalObjective

STORIES = Path(__file__).parent.parent / "examples" / "stories"
TRAINER, BARE = "transformers.Trainer, padded", "bare loop, full logits"

#: Seconds, and the peak of memory so far in MiB.
Turn = tuple[float, float]


@dataclass(frozen=True)
class Setting:
    """What every candidate is given; `steps` are the optimizer steps of one repetition."""

    model: str
    shards: Path
    steps: int
    rows: int
    context: int
    precision: str

    @property
    def recipe(self) -> TrainRecipe:
        """Our recipe; the rate is constant, and nothing is evaluated, saved or stopped on the way."""
        never = {"evaluate_every": 10**9, "save_every": 10**9, "save_minutes": 10**9}
        return TrainRecipe(
            steps=10**6, rows=self.rows, accumulate=1, schedule="constant", warmup=0, precision=self.precision, **never
        )

    def batch(self, shards: Shards, step: int) -> Batch:
        """The batch of a step, the same for every candidate; the first repetition only warms up, on one row."""
        rows = self.rows if step >= self.steps else 1
        return shards.batch(self.recipe.seed, step, rows=rows, context=self.context)

    def autocast(self, device: torch.device) -> contextlib.AbstractContextManager[Any]:
        """Mixed precision as a bare loop would have it."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16")


class Turns:
    """A candidate's end of the pipe: it waits for its turn, and reports how long the turn took."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._started = pipe, 0.0

    def start(self) -> None:
        """Wait for the next repetition; raises `EOFError` when there is none."""
        self._pipe.recv()
        self._started = time.perf_counter()

    def stop(self) -> None:
        """Report the repetition's seconds and the peak memory so far."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self._pipe.send((time.perf_counter() - self._started, peak_mib()))


def peak_mib() -> float:
    """Peak memory: of the GPU where there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


class TimedShards(Shards):
    """Shards whose batches are where the loop waits for its turn."""

    def __init__(self, setting: Setting, turns: Turns) -> None:
        self._opened, self._setting, self._turns = Shards.open(setting.shards), setting, turns
        super().__init__(self._opened.folder, self._opened.meta)
        del self.splits["dev"]  # nothing is evaluated

    def batch(self, seed: int, step: int, **shape: Any) -> Batch:
        """The batch of a step; a turn ends where the next one begins, so that all that the loop does is counted."""
        if step % self._setting.steps == 0:
            if step:
                self._turns.stop()
            self._turns.start()
        return self._setting.batch(self._opened, step)


def our_loop(setting: Setting, model: nn.Module, turns: Turns) -> None:
    """`fit` itself, with its log and metrics."""
    mixed = {"float32": "no", "bfloat16": "bf16"}[setting.precision]
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(
            recipe=setting.recipe,
            run=Run(Path(folder)),
            shards=TimedShards(setting, turns),
            context=setting.context,
            steps=10**6,
            save_model=lambda folder: None,
            load_model=lambda folder: None,
        )
        fit(CausalObjective(model), plan, Accelerator(mixed_precision=mixed))


def bare_loop(setting: Setting, model: nn.Module, turns: Turns, loss_of: Callable[..., Tensor]) -> None:
    """Forward, backward, clip, step: what one writes by hand. `loss_of` takes a batch's tensors to the mean loss."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shards, recipe = Shards.open(setting.shards), setting.recipe
    model.to(device).train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, recipe.lr, recipe.betas, weight_decay=recipe.weight_decay)
    for step in range(10**6):
        if step % setting.steps == 0:
            turns.start()
        tensors = batch_tensors(setting.batch(shards, step), device)
        with setting.autocast(device):
            loss = loss_of(**tensors)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, recipe.clip or float("inf"))
        optimizer.step()
        optimizer.zero_grad()
        loss.item()
        if (step + 1) % setting.steps == 0:
            turns.stop()


def full_logits(setting: Setting, model: nn.Module, turns: Turns) -> None:
    """The packed batches under a block mask, all logits at once, PyTorch's cross-entropy."""

    def loss_of(input_ids: Tensor, labels: Tensor, position_ids: Tensor, segment_ids: Tensor) -> Tensor:
        mask = segment_ids[:, None, :, None].eq(segment_ids[:, None, None, :]).tril()
        logits = model(input_ids, attention_mask=mask, position_ids=position_ids, use_cache=False).logits
        return cross_entropy(logits.float().flatten(0, 1), labels.flatten())

    bare_loop(setting, model, turns, loss_of)


def our_objective(setting: Setting, model: nn.Module, turns: Turns) -> None:
    """Our objective in a bare loop: what is left between it and our loop is the loop's own cost."""
    objective = CausalObjective(model)
    bare_loop(setting, model, turns, lambda **tensors: objective(**tensors) / tensors["labels"].ne(-100).sum())


def trainer(setting: Setting, model: nn.Module, turns: Turns) -> None:
    """Trainer on the examples of the same steps; making it is not counted, only what it does from its first step on."""
    from transformers import (
        DataCollatorForSeq2Seq,
        PreTrainedTokenizerFast,
        PrinterCallback,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    class Clock(TrainerCallback):
        def on_train_begin(self, *given: Any, **named: Any) -> None:
            turns.start()

        def on_train_end(self, *given: Any, **named: Any) -> None:
            turns.stop()

    shards, recipe = Shards.open(setting.shards), setting.recipe
    tokenizer = PreTrainedTokenizerFast.from_pretrained(locate(setting.model).folder)
    tokenizer.pad_token_id = shards.meta["pad_id"]
    for repetition in range(10**6):
        rows = examples(setting, shards, repetition)
        passes = -(-len(rows) // setting.rows)
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder,
                num_train_epochs=1,
                per_device_train_batch_size=setting.rows,
                gradient_accumulation_steps=-(-passes // setting.steps),
                learning_rate=recipe.lr,
                lr_scheduler_type="constant",
                weight_decay=recipe.weight_decay,
                max_grad_norm=recipe.clip or 0.0,
                bf16=setting.precision == "bfloat16",
                use_cpu=not torch.cuda.is_available(),
                remove_unused_columns=False,
                dataloader_pin_memory=torch.cuda.is_available(),
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
                seed=repetition,
            )
            loop = Trainer(model, arguments, DataCollatorForSeq2Seq(tokenizer), rows, callbacks=[Clock()])
            loop.remove_callback(PrinterCallback)
            loop.train()
            vars(model).pop("forward", None)  # mixed precision would be wrapped around it once more


def examples(setting: Setting, shards: Shards, repetition: int) -> list[dict[str, list[int]]]:
    """The examples in the packed batches of a repetition, with labels as transformers has them: not shifted."""
    found = []
    for step in range(repetition * setting.steps, (repetition + 1) * setting.steps):
        batch = setting.batch(shards, step)
        for ids, labels, segments in zip(batch.input_ids, batch.labels, batch.segment_ids, strict=True):
            for segment in range(1, int(segments.max()) + 1):
                here = segments == segment
                shifted = [-100, *labels[here][:-1].tolist()]
                found.append({"input_ids": ids[here].tolist(), "labels": shifted})
    return found


CANDIDATES: dict[str, Callable[[Setting, nn.Module, Turns], None]] = {
    "storyteller, fit": our_loop,
    "bare loop, our objective": our_objective,
    BARE: full_logits,
    TRAINER: trainer,
}


def work(name: str, setting: Setting, pipe: Connection) -> None:
    """One candidate in its own process: its peak of memory, its threads."""
    model = apply_lora(load_model(locate(setting.model)), LoraRecipe(), seed=1)
    with contextlib.suppress(EOFError):
        CANDIDATES[name](setting, model, Turns(pipe))


def measure(setting: Setting, repetitions: int) -> dict[str, list[Turn]]:
    """Every candidate's turns, in the order of the repetitions."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name in CANDIDATES:
        pipes[name], theirs = context.Pipe()
        processes.append(context.Process(target=work, args=(name, setting, theirs), daemon=True))
        processes[-1].start()
        theirs.close()  # so that nobody waits for a candidate that died
    taken: dict[str, list[Turn]] = {name: [] for name in pipes}
    try:
        for repetition in range(repetitions + 1):
            # Every other round is taken the other way about: no candidate always follows the same one.
            for name in list(pipes)[:: 1 if repetition % 2 else -1]:
                pipes[name].send(True)
                taken[name].append(pipes[name].recv())
    except (EOFError, OSError):
        sys.exit(f"{name}: its process died; the reason stands above, or there was too little memory")
    finally:
        for pipe in pipes.values():
            pipe.close()
        for process in processes:
            process.join()
    return {name: turns[1:] for name, turns in taken.items()}


def report(setting: Setting, taken: dict[str, list[Turn]]) -> dict[str, Any]:
    """Medians of speed, its ratios to the two peers within each repetition, and memory against the bare loop's."""
    shards = Shards.open(setting.shards)
    turns = [examples(setting, shards, number) for number in range(1, len(taken[BARE]) + 1)]
    targets = [sum(label != -100 for row in rows for label in row["labels"]) for rows in turns]
    lengths = [len(row["input_ids"]) for rows in turns for row in rows]
    bare, padded = taken[BARE], taken[TRAINER]
    loops = {}
    for name, mine in taken.items():
        rates = [count / seconds for count, (seconds, _) in zip(targets, mine, strict=True)]
        loops[name] = {
            "targets_per_second": statistics.median(rates),
            "least": min(rates),
            "most": max(rates),
            "over_trainer": statistics.median(peer[0] / own[0] for peer, own in zip(padded, mine, strict=True)),
            "over_bare": statistics.median(peer[0] / own[0] for peer, own in zip(bare, mine, strict=True)),
            "peak_mib": mine[-1][1],
            "memory_over_bare": mine[-1][1] / bare[-1][1],
        }
    given = {name: value for name, value in dataclasses.asdict(setting).items() if name != "shards"}
    return {
        "setting": given | {"repetitions": len(turns), "threads": torch.get_num_threads()},
        "data": {
            "examples": len(lengths),
            "length_quartiles": statistics.quantiles(lengths, n=4),
            "targets": sum(targets),
            "packed_rows_filled": sum(lengths) / (len(turns) * setting.steps * setting.rows * setting.context),
        },
        "loops": loops,
    }


def markdown(result: dict[str, Any]) -> Iterator[str]:
    """A line on what was trained on, and the table."""
    setting, data = result["setting"], result["data"]
    low, middle, high = map(round, data["length_quartiles"])
    yield (
        f"{setting['model']}, LoRA, {setting['precision']}, {setting['rows']} rows of {setting['context']}, "
        f"{setting['threads']} threads, {setting['repetitions']} x {setting['steps']} steps: {data['examples']} examples "
        f"of {low} / {middle} / {high} tokens (quartiles), {data['targets']:,} targets\n"
    )
    yield "| loop | targets/s | least to most | x Trainer | x bare | peak MiB | x bare's peak |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for name, loop in result["loops"].items():
        yield (
            f"| {name} | {loop['targets_per_second']:.1f} | {loop['least']:.1f} to {loop['most']:.1f} "
            f"| {loop['over_trainer']:.2f} | {loop['over_bare']:.2f} | {loop['peak_mib']:,.0f} "
            f"| {loop['memory_over_bare']:.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct", help="a name of the catalogue or a folder")
    parser.add_argument("--data", type=Path, help="a prepared corpus; default: one made of examples/stories")
    parser.add_argument("--steps", type=int, default=1, help="optimizer steps in a repetition")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--context", type=int, default=768)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = options.data or Path(folder) / "corpus"
        if options.data is None:
            prepare([STORIES], corpus)
        # Two thousand stories are more than it will see; two parts of each, so that novels do not make all rows full.
        recipe = DataRecipe(path=corpus, context=options.context, max_stories=2000, max_parts=2)
        shards = tokenize(corpus, Path(folder) / "shards", StoryTokenizer.load(locate(options.model).folder), recipe)
        setting = Setting(options.model, shards.folder, options.steps, options.rows, options.context, options.precision)
        result = report(setting, measure(setting, options.repetitions))
    print(json.dumps(result) if options.json else "\n".join(markdown(result)))


if __name__ == "__main__":
    main()
