"""What fine-tuning and pretraining have in common: begin or go on with a run, fit, and hand on the best of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Protocol, TypeVar

from accelerate import Accelerator
from torch import nn

from storyteller.errors import CheckpointError, TrainingError
from storyteller.models import Located, count_parameters, locate
from storyteller.models.precision import Precision
from storyteller.recipe import Recipe
from storyteller.runs import Run, read_json, write_json
from storyteller.runs.console import say
from storyteller.tokens import Shards
from storyteller.train.checkpoint import State
from storyteller.train.estimate import Estimate, measure_cost, resolve_steps
from storyteller.train.interrupt import Interrupted
from storyteller.train.loop import Plan, fit
from storyteller.train.processes import open_accelerator
from storyteller.train.sharding import Sharding

__all__ = [
    "Prepared", "corpus_licences", "models_of", "needs_dev", "resolved", "same_data", "same_models", "same_recipe",
    "take_best", "train",
]  # fmt: skip


class Prepared(Protocol):
    """A run that is ready to start: everything loaded and measured, nothing written."""

    @property
    def recipe(self) -> Recipe:
        """The recipe with every number resolved."""

    @property
    def shards(self) -> Shards:
        """What is learned from."""

    @property
    def objective(self) -> nn.Module:
        """What is minimised."""

    @property
    def accelerator(self) -> Accelerator:
        """Where it is computed."""

    @property
    def estimate(self) -> Estimate:
        """What it will cost."""

    @property
    def sharding(self) -> Sharding | None:
        """How the weights lie on several devices, if they are sharded."""

    @property
    def models(self) -> Mapping[str, str]:
        """The hashes of the models that are read, by name (`models_of`)."""


Ready = TypeVar("Ready", bound=Prepared)


def train(
    recipe: Recipe,
    folder: Path,
    *,
    command: str,
    prepare: Callable[[Recipe], Ready],
    plan: Callable[[Ready, Run], Plan],
    finish: Callable[[Ready, Run, State], None],
    begin: Callable[[Ready, Run], object] = lambda prepared, run: None,
    resume: bool = False,
) -> Run:
    """Train what `prepare` makes of `recipe` in the run `folder`; with `resume`, go on from its last whole checkpoint.

    `begin` is called on every process before the first step, `finish` on the main one after the last. A resumed run keeps
    its own recipe, and is refused when another one is given. Raises what the parts raise, and `Interrupted` after Ctrl-C,
    when everything is saved.
    """
    if resume:
        run = Run.open(folder)
        prepared = prepare(_same_rows(run, same_recipe(run, recipe), open_accelerator("float32")))
        same_data(run, prepared.shards.meta["hash"], read_json(run.folder / "data.json").get("hash"))
        same_models(run, prepared.models)
    else:
        prepared = prepare(recipe)
        if prepared.accelerator.is_main_process:
            processes = prepared.accelerator.num_processes
            data = {**prepared.shards.meta, "models": prepared.models}
            Run.create(folder, prepared.recipe, asked=recipe, data=data, processes=processes)
        prepared.accelerator.wait_for_everyone()
        run = Run.open(folder)
    if prepared.accelerator.is_main_process:
        say(str(prepared.estimate))
        write_json(run.folder / "estimate.json", asdict(prepared.estimate))
    begin(prepared, run)
    try:
        state = fit(
            prepared.objective, plan(prepared, run), prepared.accelerator, resume=resume, sharding=prepared.sharding
        )
    except Interrupted as stop:
        raise Interrupted(f"{stop}. Go on with: storyteller {command} --resume {folder}") from None
    if prepared.accelerator.is_main_process:
        finish(prepared, run, state)
    prepared.accelerator.wait_for_everyone()
    return run


def _same_rows(run: Run, recipe: Recipe, accelerator: Accelerator) -> Recipe:
    """The recipe with as many passes in a step as make the rows it began with, by however many processes.

    Which stories a step reads follows from the number of its rows: with another one, the rest would be another run.
    `CheckpointError` when these processes cannot make it.
    """
    train, processes = recipe.train, accelerator.num_processes
    begun = read_json(run.folder / "environment.json").get("processes", processes)
    passes, rest = divmod(train.accumulate * begun, processes)
    if rest:
        fitting = [str(n) for n in range(1, train.accumulate * begun + 1) if train.accumulate * begun % n == 0]
        raise CheckpointError(
            f"a step of {run.folder} takes {train.rows * train.accumulate * begun} rows (train.rows {train.rows} x "
            f"train.accumulate {train.accumulate} x {begun} processes), which {processes} processes of {train.rows} rows "
            f"cannot share evenly. Resume it with {', '.join(fitting)} of them."
        )
    if passes == train.accumulate:
        return recipe
    if accelerator.is_main_process:
        say(
            f"begun with {begun} processes, going on with {processes}: train.accumulate is {passes} now, for as many rows"
        )
    return recipe.model_copy(update={"train": train.model_copy(update={"accumulate": passes})})


def models_of(base: Located | None, others: Sequence[str] = ()) -> dict[str, str]:
    """The hash of the weights of each model that a run reads, by name: its base, and `others` such as teachers."""
    found = {base.name: base.sha256} if base is not None else {}
    return found | {name: locate(name).sha256 for name in others}


def same_models(run: Run, now: Mapping[str, str]) -> None:
    """`CheckpointError` when a model that the run reads is no longer the one that it began with.

    A run as a base is such a model: it is its best checkpoint while it goes on, and its `final/` when it has ended. Runs
    from before the hashes were kept are not asked.
    """
    begun = read_json(run.folder / "data.json").get("models", {})
    for name in sorted(begun.keys() & now.keys()):
        if begun[name] != now[name]:
            raise CheckpointError(
                f"the weights of {name} have changed since {run.folder} began (their hash was {begun[name][:12]}, and is "
                f"{now[name][:12]}): what was learned so far belongs to the others. Put them back, or begin a new run."
            )


def same_data(run: Run, now: str, begun: str | None) -> None:
    """`CheckpointError` when the corpus is no longer the one that the run began with: half a model of each helps nobody.

    `begun` and `now` are its hashes, of the data report and of today.
    """
    if begun != now:
        raise CheckpointError(
            f"the corpus of {run.folder} has changed since the run began (its hash was {str(begun)[:12]}, and is "
            f"{now[:12]}). Prepare it again as it was, or begin a new run."
        )


def resolved(
    recipe: Recipe,
    shards: Shards,
    objective: nn.Module,
    accelerator: Accelerator,
    precision: Precision,
    sharding: Sharding | None,
) -> tuple[Recipe, Estimate]:
    """The recipe with its steps and precision as numbers of this machine, and what it will cost: measured, not guessed."""
    train, measured = recipe.train, sharding.objective if sharding else objective
    seconds, memory, loss = measure_cost(measured, shards, train, recipe.data.context, accelerator)
    steps = resolve_steps(train, shards, recipe.data.context, seconds, accelerator.num_processes)
    fixed = train.model_copy(update={"steps": steps, "epochs": None, "minutes": None, "precision": precision})
    total, trained = count_parameters(objective)
    return recipe.model_copy(update={"train": fixed}), Estimate(total, trained, memory, steps, steps * seconds, loss)


def needs_dev(shards: Shards, recipe: Recipe) -> None:
    """Say what is missing without a dev split; raise `TrainingError` for a recipe that cannot do without."""
    if len(shards.splits["dev"]) > 0:
        return
    say("the corpus has no dev split: no evaluation, no best checkpoint, no early stopping")
    if recipe.train.patience is not None:
        raise TrainingError("train.patience needs a dev split; prepare a corpus with more works, or drop the key.")


def take_best(run: Run, state: State, load: Callable[[Path], None]) -> None:
    """Fill the model from the best checkpoint by `load`, if that is not what it is already."""
    best = run.pointed("best")
    if best is not None and best[1].get("step") != state.step:
        load(best[0])


def corpus_licences(corpus: Path) -> dict[str, int]:
    """Stories by licence as the corpus's own report counts them; none when the folder has no report."""
    with contextlib.suppress(OSError, json.JSONDecodeError):
        counts = read_json(corpus / "manifest.json").get("licences", {})
        return {str(name) or "not stated": int(count) for name, count in counts.items()}
    return {}


def same_recipe(run: Run, given: Recipe) -> Recipe:
    """The run's own recipe; `CheckpointError` with the differences when another one was asked for."""
    from storyteller.recipe.load import differences, load_recipe

    if run.asked_path.exists() and given != Recipe():
        found = differences(load_recipe(run.asked_path).model_dump(mode="json"), given.model_dump(mode="json"))
        changed = [f"  {key}: {old}  ->  {new}" for key, (old, new) in found.items()]
        if changed:
            raise CheckpointError(
                f"{run.folder} was started with another recipe, and a run has one recipe:\n"
                + "\n".join(changed)
                + "\nResume it without a recipe, or start a new run with --out."
            )
    return run.recipe()
