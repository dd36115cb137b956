"""The pretraining stage: a recipe and prepared stories in, a run folder with a new model in it out.

train the tokenizer -> tokenize -> make the model -> say what it will cost -> fit -> save the best -> check -> write its card
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn

from storyteller.corpus import read_split
from storyteller.errors import DataError, RecipeError
from storyteller.models import load_weights, locate, save_model
from storyteller.models.fresh import new_causal, new_masked
from storyteller.models.precision import resolve_precision
from storyteller.recipe import Recipe
from storyteller.recipe.pretraining import PretrainRecipe
from storyteller.recipe.rates import rate_warning
from storyteller.runs import Run, replacing_folder
from storyteller.runs.card import write_card
from storyteller.runs.console import say
from storyteller.runs.plot import plot_losses
from storyteller.runs.sinks import require_sinks
from storyteller.tokens import Shards, StoryTokenizer, Template, tokenize
from storyteller.tokens.documents import DocumentSettings
from storyteller.tokens.fresh import train_tokenizer
from storyteller.tokens.lexicon import count_words, load_words, save_words
from storyteller.tokens.masking import MaskedShards, Masking
from storyteller.train.checkpoint import State
from storyteller.train.compiling import compile_layers
from storyteller.train.estimate import Estimate, plan_of
from storyteller.train.loop import Plan
from storyteller.train.objectives import CausalObjective, MaskedObjective
from storyteller.train.processes import open_accelerator
from storyteller.train.sharding import Sharding, check_sharding
from storyteller.train.stage import corpus_licences, needs_dev, resolved, take_best, train

__all__ = ["dry_run", "pretrain"]


@dataclass(frozen=True)
class _Prepared:
    """A run that is ready to start: everything loaded and measured, nothing written."""

    recipe: Recipe
    tokenizer_folder: Path
    template: Template
    shards: Shards
    objective: nn.Module
    accelerator: Accelerator
    estimate: Estimate
    sharding: Sharding | None = None
    words: dict[str, int] | None = None

    @property
    def models(self) -> dict[str, str]:
        """None: what is trained is new."""
        return {}

    @property
    def model(self) -> Any:
        """The model that the objective trains."""
        return self.objective.model


def pretrain(recipe: Recipe, folder: Path, *, resume: bool = False) -> Run:
    """Train a new model as `recipe` says, in the run `folder`; with `resume`, go on from its last whole checkpoint.

    A resumed run keeps its own recipe, and is refused when another one is given. Raises what its parts raise, and
    `Interrupted` after Ctrl-C, when everything is saved.
    """
    return train(recipe, folder, command="pretrain", prepare=_prepare, plan=_plan, finish=_finish, resume=resume)


def dry_run(recipe: Recipe) -> dict[str, Any]:
    """The resolved recipe, the data report and the cost of a run; writes nothing but the tokenizer and token shards."""
    prepared = _prepare(recipe)
    return plan_of(prepared.recipe, prepared.shards, prepared.estimate)


def _prepare(recipe: Recipe) -> _Prepared:
    new = _checked(recipe)
    require_sinks(recipe.train.sinks)
    read_split(recipe.data.path, "train")
    precision, why = resolve_precision(recipe.train.precision)
    accelerator = open_accelerator(precision)
    sharded = check_sharding(recipe.model_copy(update={"pretrain": new}), accelerator)
    # What is trained and tokenized is so once; the other processes find it there.
    with accelerator.main_process_first():
        folder = _tokenizer(recipe, new)
        tokenizer = StoryTokenizer.load(folder)
        template = Template.for_tokenizer(tokenizer)
        shards = _shards(recipe, new, template)
        words = _words(recipe, shards) if new.objective == "masked" else None
    if accelerator.is_main_process:
        say(f"computing in {precision}: {why}")
    objective = _objective(recipe, new, tokenizer)
    _refuse_too_little(shards, recipe, accelerator.num_processes)
    sharding = Sharding(objective, accelerator) if sharded else None
    fixed, estimate = resolved(recipe, shards, objective, accelerator, precision, sharding)
    if accelerator.is_main_process and (warning := rate_warning(recipe)):
        say(warning)
    return _Prepared(
        fixed,
        folder,
        template,
        shards,
        objective,
        accelerator,
        estimate,
        sharding,
        words,
    )


def _checked(recipe: Recipe) -> PretrainRecipe:
    """What to pretrain; `RecipeError` for a recipe that does not say what to make."""
    if recipe.model.shape is None:
        raise RecipeError(
            "the recipe says nothing of the new model: set model.size (1m, 5m, 15m, 42m, 110m) or model.shape. To go on "
            "from a model that is there: storyteller finetune"
        )
    if recipe.model.method != "full":
        raise RecipeError(
            f"model.method={recipe.model.method} would do nothing: a new model is trained in every weight. Leave it out, or "
            "set it to full."
        )
    return recipe.pretrain or PretrainRecipe()


def _tokenizer(recipe: Recipe, new: PretrainRecipe) -> Path:
    if new.tokenizer.model is not None:
        return locate(new.tokenizer.model).folder
    return train_tokenizer(recipe.data.path, new.tokenizer, masked=new.objective == "masked")


def _shards(recipe: Recipe, new: PretrainRecipe, template: Template) -> Shards:
    masked = new.objective == "masked"
    settings = DocumentSettings(prompted=0.0 if masked else new.prompted, masked=masked)
    shards = tokenize(recipe.data.path, None, template.tokenizer, recipe.data, template=template, documents=settings)
    needs_dev(shards, recipe)
    if masked:
        return MaskedShards(shards, Masking.of(template, new.masked, new.whole_words))
    return shards


def _words(recipe: Recipe, shards: Shards) -> dict[str, int]:
    """The words of the train split, with which blanks are filled; counted once."""
    if not (words := load_words(shards.folder)):
        words = count_words(story.text for story in read_split(recipe.data.path, "train"))
        save_words(shards.folder, words)
    return words


def _objective(recipe: Recipe, new: PretrainRecipe, tokenizer: StoryTokenizer) -> nn.Module:
    assert recipe.model.shape is not None, "_checked refuses a recipe without a shape"
    make = new_masked if new.objective == "masked" else new_causal
    model = make(recipe.model.shape, tokenizer, recipe.data.context, recipe.train.seed)
    if recipe.train.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if recipe.train.compile:
        compile_layers(model)
    packed = not recipe.train.compile
    return MaskedObjective(model, packed=packed) if new.objective == "masked" else CausalObjective(model, packed=packed)


def _refuse_too_little(shards: Shards, recipe: Recipe, processes: int) -> None:
    """A corpus that does not fill one step would be learned by heart in it."""
    train, context = recipe.train, recipe.data.context
    tokens = shards.meta["splits"]["train"]["tokens"]
    needed = train.rows * train.accumulate * processes * context
    if tokens < needed:
        raise DataError(
            f"{recipe.data.path}: its train split has {tokens:,} tokens, and one step reads {needed:,} (train.rows x "
            "train.accumulate x data.context). Prepare a larger corpus, or lower these."
        )


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
        load_model=lambda folder: load_weights(prepared.model, folder),
        samples=_sampler(prepared),
        sample_every=recipe.samples.every,
        begun=prepared.estimate.loss,
    )


def _saver(prepared: _Prepared, *, check: bool = False) -> Callable[[Path], None]:
    def save(folder: Path) -> None:
        save_model(prepared.model, folder, tokenizer_from=prepared.tokenizer_folder, check=check)
        prepared.template.save(folder)
        if prepared.words is not None:
            save_words(folder, prepared.words)

    return save


def _sampler(prepared: _Prepared) -> Callable[[], str] | None:
    """Stories or, from a masked model, blanks filled, while it learns."""
    recipe = prepared.recipe
    if isinstance(prepared.objective, MaskedObjective):
        from storyteller.models.masked import BLANK, Filler

        prompts = [prompt for prompt in recipe.samples.prompts if BLANK.search(prompt)]
        filler = Filler(prepared.model, prepared.template.tokenizer, words=prepared.words)
        return (lambda: "\n".join(f"- {filler.best(prompt)}" for prompt in prompts) + "\n") if prompts else None
    if not recipe.samples.prompts:
        return None
    from storyteller.train.samples import tell_samples

    return lambda: tell_samples(prepared.model, prepared.template, recipe.samples, recipe.train.seed)


def _finish(prepared: _Prepared, run: Run, state: State) -> None:
    """Put the best model into `final/`, prove that it reloads to the same, and describe it."""
    take_best(run, state, lambda folder: load_weights(prepared.model, folder))
    with replacing_folder(run.final) as part:
        _saver(prepared, check=True)(part)
    train = prepared.shards.meta["splits"]["train"]
    write_card(
        run.final,
        prepared.recipe,
        languages=sorted(train["languages"]),
        licences=corpus_licences(prepared.recipe.data.path),
        figures=_figures(prepared, run, state),
        data={"stories": train["stories"], "tokens": train["tokens"], "shards": prepared.shards.meta["hash"]},
    )
    plot_losses(run)
    run.event("finished")
    if isinstance(prepared.objective, MaskedObjective):
        say(f'{run.final} is ready. Fill blanks with it: storyteller fill "The [blank] sang." --model {run.folder}')
    else:
        say(f'{run.final} is ready. Write with it: storyteller write "..." --model {run.folder}')


def _figures(prepared: _Prepared, run: Run, state: State) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "parameters": prepared.estimate.parameters,
        "vocabulary": prepared.template.tokenizer.vocabulary_size,
        "steps": state.step,
        "target tokens": state.targets,
    }
    lines = [line for line in run.metrics() if line["split"] == "dev"]
    if lines:
        best = min(lines, key=lambda line: line["loss"] if line["loss"] is not None else float("inf"))
        figures |= {"best step": best["step"], "dev loss, best": best["loss"]}
        figures |= {"dev bits per byte, best": best["bits_per_byte"]}
    return figures
