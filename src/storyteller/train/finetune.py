"""The fine-tuning stage: a recipe and prepared stories in, a run folder with a storyteller in it out.

locate the base -> tokenize -> load, adapt -> say what it will cost -> fit -> save the best -> check it -> write its card
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import nn

from storyteller.corpus import read_split
from storyteller.errors import RecipeError, TrainingError
from storyteller.models import (
    Located,
    load_weights,
    locate,
    reload_difference,
    save_model,
    stack_adapters,
)
from storyteller.models.adapters.adalora import Allocation
from storyteller.models.precision import resolve_precision
from storyteller.recipe import Recipe
from storyteller.recipe.rates import rate_warning
from storyteller.runs import Run, replacing_folder
from storyteller.runs.card import write_card
from storyteller.runs.console import say
from storyteller.runs.plot import plot_losses
from storyteller.runs.sinks import require_sinks
from storyteller.tokens import ReplayShards, Shards, StoryTokenizer, Template, tokenize
from storyteller.train.adapting import adapted_model
from storyteller.train.checkpoint import State
from storyteller.train.compiling import compile_layers
from storyteller.train.continual import anchor_of, score_old
from storyteller.train.distil import build_objective
from storyteller.train.estimate import Estimate, plan_of
from storyteller.train.loop import Plan
from storyteller.train.perturb import Perturbation
from storyteller.train.processes import open_accelerator
from storyteller.train.sharding import Sharding, check_sharding
from storyteller.train.stage import corpus_licences, models_of, needs_dev, resolved, take_best, train

__all__ = ["dry_run", "finetune"]

_ALLOCATION = "allocation.safetensors"
_ADAPTER = "adapter_model.safetensors"
_UPPER = "upper"
"""Where a checkpoint of a stacked run keeps what is trained, beside the adapter that it makes with the lower one."""


@dataclass(frozen=True)
class _Prepared:
    """A run that is ready to start: everything loaded and measured, nothing written."""

    recipe: Recipe
    located: Located
    tokenizer: StoryTokenizer
    template: Template
    shards: Shards
    old: tuple[Shards, ...]
    model: nn.Module
    objective: nn.Module
    accelerator: Accelerator
    estimate: Estimate
    allocation: Allocation | None = None
    sharding: Sharding | None = None

    @cached_property
    def models(self) -> dict[str, str]:
        """See `stage.models_of`."""
        return models_of(self.located, self.recipe.distil.teachers if self.recipe.distil else ())


def finetune(recipe: Recipe, folder: Path, *, resume: bool = False) -> Run:
    """Fine-tune as `recipe` says, in the run `folder`; with `resume`, go on from its last whole checkpoint.

    A resumed run keeps its own recipe, and is refused when another one is given. Raises what its parts raise, and
    `Interrupted` after Ctrl-C, when everything is saved.
    """
    return train(
        recipe, folder, command="finetune", prepare=_prepare, plan=_plan, finish=_finish, resume=resume,
        begin=lambda prepared, run: _score_old(prepared, run, "before"),
    )  # fmt: skip


def dry_run(recipe: Recipe) -> dict[str, Any]:
    """The resolved recipe, the data report and the cost of a run, without writing anything but token shards."""
    prepared = _prepare(recipe)
    return plan_of(prepared.recipe, prepared.shards, prepared.estimate)


def _prepare(recipe: Recipe) -> _Prepared:
    if recipe.pretrain is not None:
        raise RecipeError(f"the recipe {recipe.name!r} makes a new model: storyteller pretrain, not finetune.")
    require_sinks(recipe.train.sinks)
    # A corpus that is not there is told before a model is fetched.
    read_split(recipe.data.path, "train")
    precision, why = resolve_precision(recipe.train.precision)
    accelerator = open_accelerator(precision)
    sharded = check_sharding(recipe, accelerator)
    # What is fetched and tokenized is so once; the other processes find it there.
    with accelerator.main_process_first():
        located = locate(recipe.model.base)
        tokenizer = StoryTokenizer.load(located.folder)
        template = Template.for_tokenizer(tokenizer)
        shards = _shards(recipe, tokenizer, template)
        old = _old_shards(recipe, tokenizer, template)
    if recipe.continual is not None and recipe.continual.replay:
        shards = ReplayShards(shards, old, recipe.continual.replay)
    if accelerator.is_main_process:
        say(f"computing in {precision}: {why}")
        _tell_few(shards, recipe, accelerator.num_processes)
    model = adapted_model(recipe, located)
    if recipe.train.compile:
        compile_layers(model)
    objective = build_objective(recipe, model, tokenizer)
    sharding = Sharding(objective, accelerator) if sharded else None
    fixed, estimate = resolved(recipe, shards, objective, accelerator, precision, sharding)
    if accelerator.is_main_process and (warning := rate_warning(recipe)):
        say(warning)
    return _Prepared(
        fixed,
        located,
        tokenizer,
        template,
        shards,
        old,
        model,
        objective,
        accelerator,
        estimate,
        Allocation(model, recipe.model.adalora, estimate.steps) if recipe.model.method == "adalora" else None,
        sharding,
    )


def _shards(recipe: Recipe, tokenizer: StoryTokenizer, template: Template) -> Shards:
    shards = tokenize(recipe.data.path, None, tokenizer, recipe.data, template=template)
    needs_dev(shards, recipe)
    return shards


def _tell_few(shards: Shards, recipe: Recipe, processes: int) -> None:
    """Say so when one step reads more rows than there are; it is no error, since who has ten stories has no more."""
    train = recipe.train
    rows, read = shards.steps_per_epoch(1, recipe.data.context, train.seed), train.rows * train.accumulate * processes
    if rows < read:
        say(
            f"one step reads {read} rows, and all training stories together fill {rows}, so that it shows each of them "
            f"{read / rows:.1f} times: lower train.accumulate or train.rows, or prepare more stories"
        )


def _old_shards(recipe: Recipe, tokenizer: StoryTokenizer, template: Template) -> tuple[Shards, ...]:
    """What the base knew before, if the recipe names it: read as it is, without variants."""
    settings = recipe.data.model_copy(update={"augment": None})
    old = []
    for corpus in recipe.continual.corpora if recipe.continual else []:
        shards = tokenize(corpus, None, tokenizer, settings, template=template)
        if len(shards.splits["dev"]) == 0:
            raise TrainingError(
                f"continual.old: {corpus} has no dev split, so forgetting cannot be measured; prepare it with more works."
            )
        old.append(shards)
    return tuple(old)


def _plan(prepared: _Prepared, run: Run) -> Plan:
    recipe = prepared.recipe
    assert recipe.train.steps is not None, "_prepare resolves the number of steps"
    return Plan(
        recipe=recipe.train,
        run=run,
        shards=prepared.shards,
        context=recipe.data.context,
        steps=recipe.train.steps,
        save_model=_saver(prepared),
        load_model=lambda folder: _load(prepared, folder),
        samples=_sampler(prepared) if recipe.samples.prompts else None,
        sample_every=recipe.samples.every,
        begun=prepared.estimate.loss,
        allocation=prepared.allocation,
        perturbation=Perturbation(prepared.model, recipe.train.perturb) if recipe.train.perturb else None,
        anchor=anchor_of(recipe, prepared.model, prepared.old, run, prepared.accelerator),
    )


def _score_old(prepared: _Prepared, run: Run, when: str) -> dict[str, Any]:
    return score_old(prepared.recipe, prepared.objective, prepared.old, run, prepared.accelerator, when)


def _saver(prepared: _Prepared, *, check: bool = False) -> Callable[[Path], None]:
    continual = prepared.recipe.continual
    below = prepared.located.adapter if continual is not None and continual.stack else None

    def save(folder: Path) -> None:
        # Reloading to compare takes longer than saving, so it is done once, for what is handed on.
        # A base in four bits is not what is reloaded, so that there is nothing to compare.
        check_now = check and prepared.recipe.model.method != "qlora" and below is None
        save_model(prepared.model, folder, tokenizer_from=prepared.located.folder, check=check_now)
        if below is not None:
            # A checkpoint, too, is opened as a model: there it must be both adapters, and resumed with it is the upper one.
            if not check:
                (folder / _UPPER).mkdir()
                shutil.copyfile(folder / _ADAPTER, folder / _UPPER / _ADAPTER)
            stack_adapters(below, folder)
            if check:
                reload_difference(prepared.model, folder)
        prepared.template.save(folder)
        if prepared.allocation is not None and not check:
            save_file(prepared.allocation.tensors(), folder / _ALLOCATION)

    return save


def _load(prepared: _Prepared, folder: Path) -> None:
    _load_trained(prepared, folder)
    if prepared.allocation is not None:
        prepared.allocation.restore(load_file(folder / _ALLOCATION))


def _load_trained(prepared: _Prepared, folder: Path) -> None:
    upper = folder / _UPPER
    load_weights(prepared.model, upper if upper.is_dir() else folder)


def _sampler(prepared: _Prepared) -> Callable[[], str]:
    from storyteller.train.samples import tell_samples

    recipe = prepared.recipe
    return lambda: tell_samples(prepared.model, prepared.template, recipe.samples, recipe.train.seed)


def _finish(prepared: _Prepared, run: Run, state: State) -> None:
    """Put the best model into `final/`, prove that it reloads to the same, and describe it."""
    take_best(run, state, lambda folder: _load_trained(prepared, folder))
    with replacing_folder(run.final) as part:
        _saver(prepared, check=True)(part)
    train = prepared.shards.meta["splits"]["train"]
    remembered = _score_old(prepared, run, "after")
    improved = state.best_loss is None or state.best_step > 0
    if not improved:
        say(
            "training did not improve on the base: final/ holds the last weights, but they are not better than the base's"
        )
    write_card(
        run.final,
        prepared.recipe,
        languages=sorted(train["languages"]),
        licences=_licences(prepared.recipe),
        figures=_figures(run, state) | remembered,
        data={"stories": train["stories"], "examples": train["examples"], "shards": prepared.shards.meta["hash"]},
        notes=() if improved else ("**It did not improve on its base by held-out loss.**",),
    )
    plot_losses(run)
    run.event("finished")
    say(f'{run.final} is ready. Write with it: storyteller write "..." --model {run.folder}')


def _licences(recipe: Recipe) -> dict[str, int]:
    """Stories by licence, those of old corpora that are trained on, too."""
    counts = Counter(corpus_licences(recipe.data.path))
    if recipe.continual is not None and recipe.continual.replay:
        for corpus in recipe.continual.corpora:
            counts.update(corpus_licences(corpus))
    return dict(counts)


def _figures(run: Run, state: State) -> dict[str, Any]:
    lines = [line for line in run.metrics() if line["split"] == "dev"]
    if not lines:
        return {"steps": state.step, "target tokens": state.targets}
    best = min(lines, key=lambda line: line["loss"] if line["loss"] is not None else float("inf"))
    return {
        "dev bits per byte, base": lines[0]["bits_per_byte"],
        "dev bits per byte, best": best["bits_per_byte"],
        "best step": best["step"],
        "steps": state.step,
        "target tokens": state.targets,
    }
