"""The fine-tuning stage: a recipe and prepared stories in, a run folder with a storyteller in it out.

locate the base -> tokenize -> load, adapt -> say what it will cost -> fit -> save the best -> check it -> write its card
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file
from torch import nn

from storyteller.corpus import read_split
from storyteller.errors import CheckpointError, RecipeError, TrainingError
from storyteller.models import Located, adapt, count_parameters, load_model, load_weights, locate, save_model
from storyteller.models.adapters.adalora import Allocation
from storyteller.models.adapters.own import MERGEABLE, adapter_kind
from storyteller.models.adapters.qlora import four_bits
from storyteller.recipe import LoraRecipe, ModelRecipe, Recipe
from storyteller.recipe.rates import rate_warning
from storyteller.runs import Run, read_json, replacing_folder, write_json
from storyteller.runs.card import write_card
from storyteller.runs.console import say
from storyteller.runs.plot import plot_losses
from storyteller.runs.sinks import require_sinks
from storyteller.tokens import Shards, StoryTokenizer, Template, tokenize
from storyteller.train.checkpoint import State
from storyteller.train.estimate import Estimate, measure_cost, resolve_steps
from storyteller.train.interrupt import Interrupted
from storyteller.train.loop import Plan, fit
from storyteller.train.objectives import CausalObjective
from storyteller.train.precision import resolve_precision

__all__ = ["corpus_licences", "dry_run", "finetune", "same_recipe"]

_ALLOCATION = "allocation.safetensors"

#: What PEFT calls the adapters of our methods.
_KINDS = {
    "lora": "LORA",
    "dora": "DORA",
    "qlora": "LORA",
    "adalora": "ADALORA",
    "bottleneck": "BOTTLENECK",
    "prompt": "PROMPT_TUNING",
    "prefix": "PREFIX_TUNING",
    "ia3": "IA3",
}


@dataclass(frozen=True)
class _Prepared:
    """A run that is ready to start: everything loaded and measured, nothing written."""

    recipe: Recipe
    located: Located
    tokenizer: StoryTokenizer
    template: Template
    shards: Shards
    model: nn.Module
    accelerator: Accelerator
    estimate: Estimate
    allocation: Allocation | None = None


def finetune(recipe: Recipe, folder: Path, *, resume: bool = False) -> Run:
    """Fine-tune as `recipe` says, in the run `folder`; with `resume`, go on from its last whole checkpoint.

    A resumed run keeps its own recipe, and is refused when another one is given. Raises what its parts raise, and
    `Interrupted` after Ctrl-C, when everything is saved.
    """
    if resume:
        run = Run.open(folder)
        recipe = same_recipe(run, recipe)
        prepared = _prepare(recipe)
    else:
        prepared = _prepare(recipe)
        if prepared.accelerator.is_main_process:
            Run.create(folder, prepared.recipe, asked=recipe, data=prepared.shards.meta)
        prepared.accelerator.wait_for_everyone()
        run = Run.open(folder)
    if prepared.accelerator.is_main_process:
        say(str(prepared.estimate))
        write_json(run.folder / "estimate.json", asdict(prepared.estimate))
    try:
        state = fit(CausalObjective(prepared.model), _plan(prepared, run), prepared.accelerator, resume=resume)
    except Interrupted as stop:
        raise Interrupted(f"{stop}. Go on with: storyteller finetune --resume {folder}") from None
    if prepared.accelerator.is_main_process:
        _finish(prepared, run, state)
    prepared.accelerator.wait_for_everyone()
    return run


def dry_run(recipe: Recipe) -> dict[str, Any]:
    """The resolved recipe, the data report and the cost of a run, without writing anything but token shards."""
    prepared = _prepare(recipe)
    cost = prepared.estimate
    return {
        "recipe": prepared.recipe.model_dump(mode="json"),
        "data": prepared.shards.meta,
        "parameters": cost.parameters,
        "trained": cost.trained,
        "memory_bytes": cost.memory,
        "steps": cost.steps,
        "seconds": round(cost.seconds),
        "summary": str(cost),
    }


def _prepare(recipe: Recipe) -> _Prepared:
    if recipe.pretrain is not None:
        raise RecipeError(f"the recipe {recipe.name!r} makes a new model: storyteller pretrain, not finetune.")
    require_sinks(recipe.train.sinks)
    # A corpus that is not there is told before a model is fetched.
    read_split(recipe.data.path, "train")
    precision, why = resolve_precision(recipe.train.precision)
    # Accelerate holds one precision a process; an earlier run's must not bind this one.
    AcceleratorState._reset_state()
    accelerator = Accelerator(mixed_precision={"float32": "no", "bfloat16": "bf16", "float16": "fp16"}[precision])
    # What is fetched and tokenized is so once; the other processes find it there.
    with accelerator.main_process_first():
        located = locate(recipe.model.base)
        tokenizer = StoryTokenizer.load(located.folder)
        template = Template.for_tokenizer(tokenizer)
        shards = _shards(recipe, tokenizer, template)
    if accelerator.is_main_process:
        say(f"computing in {precision}: {why}")
    model = _adapted(recipe, located)
    context = recipe.data.context
    seconds, memory = measure_cost(CausalObjective(model), shards, recipe.train, context, accelerator)
    steps = resolve_steps(recipe.train, shards, context, seconds, accelerator.num_processes)
    resolved = recipe.train.model_copy(update={"steps": steps, "epochs": None, "minutes": None, "precision": precision})
    total, trained = count_parameters(model)
    method = recipe.model.method
    if accelerator.is_main_process and (warning := rate_warning(method, recipe.train.lr)):
        say(warning)
    return _Prepared(
        recipe.model_copy(update={"train": resolved}),
        located,
        tokenizer,
        template,
        shards,
        model,
        accelerator,
        Estimate(total, trained, memory, steps, steps * seconds),
        Allocation(model, recipe.model.adalora, steps) if method == "adalora" else None,
    )


def _shards(recipe: Recipe, tokenizer: StoryTokenizer, template: Template) -> Shards:
    shards = tokenize(recipe.data.path, None, tokenizer, recipe.data, template=template)
    if len(shards.splits["dev"]) == 0:
        say("the corpus has no dev split: no evaluation, no best checkpoint, no early stopping")
        if recipe.train.patience is not None:
            raise TrainingError("train.patience needs a dev split; prepare a corpus with more works, or drop the key.")
    return shards


def _adapted(recipe: Recipe, located: Located) -> nn.Module:
    torch.manual_seed(recipe.train.seed)
    # Full fine-tuning goes on from the model that an adapter makes; there is nothing left of the adapter then.
    full = recipe.model.method == "full"
    # An adapter goes on from the one that the base has; merged, it would need a base that nobody else has.
    before = None if full else located.adapter
    if full and located.adapter is not None and adapter_kind(located.adapter) not in MERGEABLE:
        raise TrainingError(
            f"{located.name} has an adapter that cannot be merged into its base, so not every weight can be trained. Name its "
            "base as model.base."
        )
    bits = four_bits(recipe.model.qlora) if recipe.model.method == "qlora" else {}
    model: nn.Module = load_model(
        located if full else replace(located, adapter=None), dtype="float32", merge=full, **bits
    )
    longest = getattr(model.config, "max_position_embeddings", None) or recipe.data.context
    virtual = {"prompt": recipe.model.prompt.tokens, "prefix": recipe.model.prefix.tokens}.get(recipe.model.method, 0)
    if recipe.data.context + virtual > longest:
        raise TrainingError(
            f"data.context is {recipe.data.context}{f' and {virtual} virtual tokens come before it' if virtual else ''}, but "
            f"{located.name} reads {longest} tokens at most."
        )
    if recipe.train.gradient_checkpointing:
        if recipe.model.method in ("prompt", "prefix"):
            raise TrainingError(
                f"train.gradient_checkpointing does not go with model.method={recipe.model.method}: what comes before the text "
                "would have to be made again in every layer. Set it to false; train.rows=1 saves memory, too."
            )
        model.gradient_checkpointing_enable(  # type: ignore[operator]
            gradient_checkpointing_kwargs={"use_reentrant": False}
        )
    adapted: nn.Module = adapt(model, recipe.model, recipe.train.seed, _first_ids(recipe, located))
    if before is not None:
        _go_on_from(adapted, before, recipe.model)
    return adapted


def _first_ids(recipe: Recipe, located: Located) -> list[int]:
    """The ids of the text that virtual tokens begin as."""
    method = recipe.model.method
    text = recipe.model.prompt.text if method == "prompt" else recipe.model.prefix.text if method == "prefix" else None
    return StoryTokenizer.load(located.folder).encode(text) if text else []


def _go_on_from(adapted: nn.Module, adapter: Path, asked: ModelRecipe) -> None:
    """Begin with the weights of an adapter that has the same form and scale as the one that is trained."""
    config = read_json(adapter / "adapter_config.json")
    kind = "DORA" if config.get("use_dora") else config["peft_type"]
    if kind != _KINDS[asked.method]:
        raise TrainingError(
            f"the base's own adapter ({adapter}) is of the kind {kind}, which model.method={asked.method} cannot go on from. "
            "Name its base as model.base, or train with its own method."
        )
    if asked.method in ("lora", "dora", "qlora"):
        lora: LoraRecipe = getattr(asked, asked.method)
        old = config["r"], float(config["lora_alpha"]), bool(config.get("use_rslora"))
        if old != (lora.rank, lora.alpha, lora.rank_stabilised):
            raise TrainingError(
                f"the base's own adapter ({adapter}) has rank {old[0]}, alpha {old[1]:g} and rank_stabilised "
                f"{str(old[2]).lower()}; set model.{asked.method} to the same to go on from it, or name its base as "
                "model.base."
            )
    load_weights(adapted, adapter)


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
        allocation=prepared.allocation,
    )


def _saver(prepared: _Prepared, *, check: bool = False) -> Callable[[Path], None]:
    def save(folder: Path) -> None:
        # Reloading to compare takes longer than saving, so it is done once, for what is handed on.
        # A base in four bits is not what is reloaded, so that there is nothing to compare.
        check_now = check and prepared.recipe.model.method != "qlora"
        save_model(prepared.model, folder, tokenizer_from=prepared.located.folder, check=check_now)
        prepared.template.save(folder)
        if prepared.allocation is not None and not check:
            save_file(prepared.allocation.tensors(), folder / _ALLOCATION)

    return save


def _load(prepared: _Prepared, folder: Path) -> None:
    load_weights(prepared.model, folder)
    if prepared.allocation is not None:
        prepared.allocation.restore(load_file(folder / _ALLOCATION))


def _sampler(prepared: _Prepared) -> Callable[[], str]:
    from storyteller.train.samples import tell_samples

    recipe = prepared.recipe
    return lambda: tell_samples(prepared.model, prepared.template, recipe.samples, recipe.train.seed)


def _finish(prepared: _Prepared, run: Run, state: State) -> None:
    """Put the best model into `final/`, prove that it reloads to the same, and describe it."""
    best = run.pointed("best")
    if best is not None and best[1].get("step") != state.step:
        load_weights(prepared.model, best[0])
    with replacing_folder(run.final) as part:
        _saver(prepared, check=True)(part)
    train = prepared.shards.meta["splits"]["train"]
    improved = state.best_loss is None or state.best_step > 0
    if not improved:
        say(
            "training did not improve on the base: final/ holds the last weights, but they are not better than the base's"
        )
    write_card(
        run.final,
        prepared.recipe,
        languages=sorted(train["languages"]),
        licences=corpus_licences(prepared.recipe.data.path),
        figures=_figures(run, state),
        data={"stories": train["stories"], "examples": train["examples"], "shards": prepared.shards.meta["hash"]},
        notes=() if improved else ("**It did not improve on its base by held-out loss.**",),
    )
    plot_losses(run)
    run.event("finished")
    say(f'{run.final} is ready. Write with it: storyteller write "..." --model {run.folder}')


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


def corpus_licences(corpus: Path) -> dict[str, int]:
    """Stories by licence as the corpus's own report counts them; none when the folder has no report."""
    with contextlib.suppress(OSError, json.JSONDecodeError):
        counts = read_json(corpus / "manifest.json").get("licences", {})
        return {str(name) or "not stated": int(count) for name, count in counts.items()}
    return {}


def same_recipe(run: Run, given: Recipe) -> Recipe:
    """The run's own recipe; `CheckpointError` with the differences when another one was asked for."""
    from storyteller.recipe import load_recipe

    asked = run.folder / "asked.yaml"
    if asked.exists() and given != Recipe():
        old, new = _dotted(load_recipe(asked).model_dump(mode="json")), _dotted(given.model_dump(mode="json"))
        changed = [f"  {key}: {old.get(key)}  ->  {new.get(key)}" for key in old | new if old.get(key) != new.get(key)]
        if changed:
            raise CheckpointError(
                f"{run.folder} was started with another recipe, and a run has one recipe:\n"
                + "\n".join(changed)
                + "\nResume it without a recipe, or start a new run with --out."
            )
    return run.recipe()


def _dotted(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, its keys as they are written on the command line."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
