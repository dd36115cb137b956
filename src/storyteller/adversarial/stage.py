"""The refinement stage: a fine-tuned model and prepared stories in, a run folder with a refined model in it out.

locate -> prompts by work -> pool of the model's own stories -> probes, critic's warm-up -> loop -> scale, gate -> report
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from storyteller.adversarial.adversary import Adversary, pairs_to_tensors, tensors_to_pairs
from storyteller.adversarial.critics import make_critic
from storyteller.adversarial.final import Decision, decide
from storyteller.adversarial.measuring import Score
from storyteller.adversarial.policy import Policy
from storyteller.adversarial.probes import refuse_shortcuts
from storyteller.adversarial.prompts import Prompt, PromptSets, make_prompts
from storyteller.adversarial.refinement import Refinement
from storyteller.adversarial.report import write_report
from storyteller.adversarial.rewards import flat
from storyteller.corpus import read_split
from storyteller.corpus.story import Language
from storyteller.errors import CheckpointError, DataError, RecipeError, TrainingError
from storyteller.models import Located, apply_lora, load_model, load_weights, locate, save_model, stack_adapters
from storyteller.models.adapters.factors import read_factors
from storyteller.models.ensemble_file import tokenizer_hash
from storyteller.models.precision import resolve_precision
from storyteller.recipe import Recipe
from storyteller.recipe.load import as_refinement
from storyteller.recipe.models import RefineRecipe
from storyteller.runs import Metrics, Run, file_sha256, read_json, replacing_folder, write_json
from storyteller.runs.card import write_card
from storyteller.runs.console import say
from storyteller.runs.sinks import require_sinks
from storyteller.tokens import StoryTokenizer, Template
from storyteller.train.checkpoint import clear_leftovers, newest_whole, set_aside
from storyteller.train.drive import drive
from storyteller.train.interrupt import Interrupted
from storyteller.train.loop import mix
from storyteller.train.optim import trainable
from storyteller.train.stage import models_of, same_data, same_models, same_recipe

__all__ = ["Check", "dry_run", "refine", "whole_recipe"]

_RELIEF = (
    "train.rows=1 with a larger train.accumulate (the same result), a smaller refine.rollout.group, fewer "
    "refine.rollout.new_tokens, a smaller refine.critic.pool"
)

Check = Callable[[Sequence[str], Sequence[str], Language], None]
"""(human texts, works, language): raises `DataError` where no stories beside these texts could be judged."""


@dataclass(frozen=True)
class _Prepared:
    """A refinement that is ready to start: everything loaded, nothing written."""

    recipe: Recipe
    located: Located
    template: Template
    prompts: PromptSets
    policy: Policy
    adversary: Adversary


def refine(recipe: Recipe, folder: Path, score: Score, *, check: Check | None = None, resume: bool = False) -> Run:
    """Refine the model of `recipe` in the run `folder`; with `resume`, go on from its last whole checkpoint, exactly.

    `score` is the independent judge, see `measuring.Score`, and `check` says at the start what it could not judge. What the
    gate does not pass is not shipped: `final/` is then the model unchanged, and `report.md` says so. Raises what its parts
    raise, and `Interrupted` after Ctrl-C.
    """
    run = Run.open(folder) if resume else None
    whole, corpus = whole_recipe(recipe, run)
    prepared = _prepare(whole, None if resume else check)
    models = models_of(prepared.located)
    if run:
        same_models(run, models)
    data = {**prepared.prompts.counts(), "hash": corpus, "models": models}
    run = run or Run.create(folder, prepared.recipe, asked=recipe, data=data)
    stage = _stage(prepared, run, score)
    newest = _newest(stage) if resume else None
    stage.metrics = Metrics(run, prepared.recipe.train.sinks, stage.at if newest else -1)
    try:
        with _exact_products():
            if newest is None:
                _begin(stage)
            drive(stage, relief=_RELIEF)
            if why := stage.why_ended():
                say(f"ended at step {stage.at} of {stage.steps}: {why}")
                run.event(f"ended at step {stage.at}: {why}")
            _finish(prepared, stage)
    except Interrupted as stop:
        raise Interrupted(f"{stop}. Go on with: storyteller refine --resume {folder}") from None
    finally:
        stage.metrics.close()
    return run


def dry_run(recipe: Recipe, *, check: Check | None = None, resume: Path | None = None) -> dict[str, Any]:
    """The resolved recipe, the prompts of each set and the size of a step, without writing anything; with `resume`, those
    of the run in that folder.

    Raises what `refine` would raise before it begins.
    """
    whole, _ = whole_recipe(recipe, Run.open(resume) if resume else None)
    prepared = _prepare(whole, None if resume else check)
    refine, train = prepared.recipe.refine or RefineRecipe(), prepared.recipe.train
    stories = train.rows * train.accumulate * refine.rollout.group
    heads = sum(parameter.numel() for parameter in trainable(prepared.adversary.critic).values())
    return {
        "recipe": prepared.recipe.model_dump(mode="json"),
        "data": prepared.prompts.counts(),
        "steps": train.steps,
        "stories_per_step": stories,
        "critic_parameters": heads,
        "summary": (
            f"{refine.trainer}: {train.steps} steps of {stories} stories of at most {refine.rollout.new_tokens} tokens; "
            f"a critic of {heads / 1e6:.2f} M parameters {_reads(prepared)}"
        ),
    }


def whole_recipe(recipe: Recipe, run: Run | None) -> tuple[Recipe, str]:
    """The recipe that a new run is to follow, or that of the `run` that goes on, and the hash of its corpus.

    Raises `CheckpointError` where the run is of another recipe or corpus.
    """
    whole = same_recipe(run, recipe) if run else as_refinement(recipe)
    corpus = _corpus_hash(whole.data.path)
    if run:
        # Else works would change sides between training and gate. Runs from before the hash was kept are not asked.
        same_data(run, corpus, read_json(run.folder / "data.json").get("hash", corpus))
    return whole, corpus


def _prepare(recipe: Recipe, check: Check | None) -> _Prepared:
    refine, train = recipe.refine or RefineRecipe(), recipe.train
    if recipe.model.method != "lora":
        raise RecipeError("refinement trains an adapter, so that the reference is there too; set model.method=lora.")
    if recipe.model.lora.dropout:
        raise RecipeError("refinement needs the log-probabilities of what was drawn; set model.lora.dropout=0.")
    if train.epochs is not None or train.minutes is not None:
        raise RecipeError("refinement counts steps; give train.steps, and refine.minutes to end by the clock.")
    require_sinks(train.sinks)
    read_split(recipe.data.path, "train")
    recipe = recipe.model_copy(
        update={"refine": refine, "train": train.model_copy(update={"steps": train.steps or 60})}
    )
    located = locate(recipe.model.base)
    if located.adapter is not None:
        read_factors(located.adapter)  # raises now what would be raised when both adapters are joined in the end
        _check_tokenizer(located, located.adapter)
    tokenizer = StoryTokenizer.load(located.folder)
    template = Template.load(located.adapter or located.folder, tokenizer)
    prompts = make_prompts(recipe.data, template, refine.rollout, train.seed)
    if prompts.unjudged:
        say(prompts.unjudged)
    if check is not None:
        _check_judge(prompts, check, recipe.data.path, refine.rollout.dev_prompts)
    # The adapter of fine-tuning becomes part of the reference; the one that is trained starts as nothing.
    model = load_model(located, dtype="float32", merge=True)
    _check_vocabulary(model, tokenizer, located)
    if torch.cuda.is_available():
        model = model.to("cuda")
    precision, why = resolve_precision(train.precision)
    if precision == "float16":
        raise RecipeError("refinement computes in bfloat16 or float32; set train.precision=float32.")
    say(f"computing in {precision}: {why}")
    # Measured once: a resumed run on another machine, or a busier one, must not compute in another.
    rollout = refine.rollout.model_copy(update={"precision": resolve_precision(refine.rollout.precision)[0]})
    refine = refine.model_copy(update={"rollout": rollout})
    train = recipe.train.model_copy(update={"precision": precision})
    recipe = recipe.model_copy(update={"refine": refine, "train": train})
    policy = Policy(apply_lora(model, recipe.model.lora, seed=train.seed), getattr(torch, precision))
    critic = make_critic(refine.critic, policy, located, tokenizer, train.seed)
    return _Prepared(recipe, located, template, prompts, policy, Adversary(critic, refine.critic, train.seed))


def _check_judge(prompts: PromptSets, check: Check, path: Path, count: int) -> None:
    """Raise `DataError` where the judge could not judge as many stories as an evaluation draws, on dev or gate.

    The first evaluation would tell it, but only after the pool was drawn and the critic has learned. A warning where it
    could not judge two thirds of them: drawn stories of another length than people's are left out.
    """

    def judge(told: Sequence[Prompt]) -> None:
        check([prompt.text for prompt in told], [prompt.work for prompt in told], prompts.judged)

    for name, own in (("dev", prompts.dev), ("gate", prompts.gate)):
        told = [prompt for prompt in own if prompt.language == prompts.judged] * math.ceil(count / len(own))
        if len(own) < count:
            advice = (
                "Its split dev has no more: prepare a corpus with more works in it (storyteller prepare --dev 0.2)."
            )
        else:
            advice = f"Raise refine.rollout.dev_prompts, now {count}."
        works = len({prompt.work for prompt in told})
        which = f"{path}: stories to the prompts of {name} ({len(own)}, from works: {works})"
        try:
            judge(told)
        except DataError as error:
            raise DataError(f"{which} could not be judged: {error} {advice}") from error
        try:
            judge([prompt for place, prompt in enumerate(told) if place % 3])
        except DataError as error:
            say(f"{which} may not be judged when a third of them has another length than people's: {error} {advice}")


def _corpus_hash(path: Path) -> str:
    """Of what prompts, rules and known copies are made from: the splits train and dev. `DataError` where they are not."""
    read_split(path, "train")
    sums = [file_sha256(path / f"{split}.jsonl") for split in ("train", "dev")]
    return hashlib.sha256("".join(sums).encode()).hexdigest()


def _reads(prepared: _Prepared) -> str:
    layers = prepared.adversary.critic.layers
    return f"on hidden states {layers} of the reference" if layers else "with states of its own"


def _check_tokenizer(located: Located, adapter: Path) -> None:
    """An adapter carries the tokenizer that it was trained with; the base's may give the same words other ids."""
    if (adapter / "tokenizer.json").is_file() and tokenizer_hash(adapter) != tokenizer_hash(located.folder):
        raise TrainingError(
            f"{located.name}: the adapter {adapter} was trained with another tokenizer than its base {located.base} has, so "
            "it knows other words by the same ids. Put the base that it was trained on in its place, or fine-tune this one."
        )


def _check_vocabulary(model: Any, tokenizer: StoryTokenizer, located: Located) -> None:
    rows = model.get_output_embeddings().weight.shape[0]
    if tokenizer.vocabulary_size > rows:
        raise TrainingError(
            f"{located.name}: the tokenizer has {tokenizer.vocabulary_size} tokens, the model {rows}: they are not of one "
            "kind, and reference and critic would read other words than the policy wrote. Fetch the model again."
        )


def _stage(prepared: _Prepared, run: Run, score: Score) -> Refinement:
    model = prepared.policy.model

    def save(folder: Path) -> None:
        save_model(model, folder, tokenizer_from=prepared.located.folder, check=False)
        if (below := prepared.located.adapter) is not None:
            # What is trained lies over the base with the fine-tuned adapter in it. Over the base alone it would be another
            # model, and load without a word.
            config = read_json(folder / "adapter_config.json")
            write_json(folder / "adapter_config.json", config | {"base_model_name_or_path": str(below)})

    return Refinement(
        prepared.recipe, run, prepared.policy, prepared.adversary, prepared.template, prepared.prompts, score, save,
        lambda folder: load_weights(model, folder),
    )  # fmt: skip


def _begin(stage: Refinement) -> None:
    """Before the first step: a pool of the reference's stories, probes for short cuts, and a critic that has learned."""
    from safetensors.torch import save_file

    refine, seed = stage.refine, stage.recipe.train.seed
    if stage.prompts.unjudged:
        stage.run.event(stage.prompts.unjudged)
    if refine.trainer == "iq":
        return  # nothing learns from drawn stories
    chance = random.Random(seed)
    train, held = list(stage.prompts.train), list(stage.prompts.held)
    chance.shuffle(train)
    say(f"drawing {refine.critic.pool} stories of the reference for the critic to begin with")
    pool = stage.spread(train, refine.critic.pool, mix(seed, 101))
    apart = stage.spread(held, refine.critic.pool // 4, mix(seed, 102))
    tokens = sum(len(story) for each in pool for story in each.stories)
    stage.balance.entropy = sum(each.entropy * sum(map(len, each.stories)) for each in pool) / tokens if tokens else 0.0
    probes = refuse_shortcuts(pool, stage.template.tokenizer, refine.critic.probe_limit)
    told = ", ".join(f"{name} {value:.3f}" for name, value in probes.items())
    stage.run.event(f"short cuts that a critic could take, AUC of each alone: {told}")
    stage.adversary.memory.pool = flat(each.pairs() for each in pool)
    held_pairs = flat(each.pairs() for each in apart)
    done, stands = stage.adversary.warm_up(held_pairs, refine.critic.warm_up, refine.critic.warm_up_accuracy)
    told = f"the critic learned {done} steps: on works that it has not seen it is {stands}"
    say(told)
    stage.run.event(told)
    tensors = {
        name: value.clone().contiguous() for name, value in pairs_to_tensors(stage.adversary.memory.pool).items()
    }
    path = stage.run.folder / "pool.safetensors"
    part = path.with_name(".pool.part")
    save_file(tensors, part)
    part.replace(path)


def _newest(stage: Refinement) -> Path | None:
    """Restore the newest whole checkpoint, and the pool that stands beside all of them."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    clear_leftovers(stage.run)
    folder, damaged = newest_whole(stage.run)
    set_aside(stage.run, damaged)
    if folder is None:
        say("no whole checkpoint in the run yet: starting at step 0")
        return None
    if stage.trainer != "iq":
        pool = stage.run.folder / "pool.safetensors"
        try:
            stage.adversary.memory.pool = tensors_to_pairs(load_file(pool))
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f"{pool} cannot be read ({error}), and the critic learns from it in every step: the run cannot go on. "
                "Start a new one with --out."
            ) from error
    stage.resume(folder)
    say(f"resumed at step {stage.at} of {stage.steps}")
    stage.run.event(f"resumed at step {stage.at}")
    return folder


def _finish(prepared: _Prepared, stage: Refinement) -> None:
    """Choose scale and weights, pass the gate or not, write what is shipped, and tell the truth about it."""
    run = stage.run
    best = run.pointed("best")
    if best is not None and best[1].get("step") != stage.at:
        stage.go_back(best[0])
    decision, weights = decide(stage, stage.policy.weights(), stage.averaged)
    stage.policy.load(weights)
    notes = [] if decision.passed else ["**The refinement was not shipped: this is the model unchanged.**"]
    notes += [prepared.prompts.unjudged] if prepared.prompts.unjudged else []
    with replacing_folder(run.final) as part:
        _save_final(prepared, part, decision)
        write_card(
            part, prepared.recipe, languages=[prepared.prompts.judged], licences={}, figures=_figures(stage, decision),
            data=read_json(run.folder / "data.json"), notes=notes,
        )  # fmt: skip
    write_report(run, stage, decision)
    run.event(f"finished: scale {decision.scale:g}: {decision.why}")
    say(f"{'refined' if decision.passed else 'UNCHANGED'}: {decision.why}. See {run.folder / 'report.md'}")


def _save_final(prepared: _Prepared, folder: Path, decision: Decision) -> None:
    located = prepared.located
    # What is saved belongs on weights in float32, and can only be checked beside such.
    check = located.adapter is None and prepared.policy.dtype == torch.float32
    save_model(prepared.policy.model, folder, tokenizer_from=located.folder, check=check)
    if located.adapter is not None and decision.passed:
        stack_adapters(located.adapter, folder)
    elif located.adapter is not None:
        for name in ("adapter_model.safetensors", "adapter_config.json"):
            shutil.copyfile(located.adapter / name, folder / name)
    prepared.template.save(folder)


def _figures(stage: Refinement, decision: Decision) -> dict[str, Any]:
    figures: dict[str, Any] = {"trainer": stage.trainer, "steps": stage.at, "adapter scale": decision.scale}
    if decision.gate:
        figures |= {
            "judge AUC, before": decision.reference["judge_auc"],
            "judge AUC, after": decision.gate["judge_auc"],
        }
    return figures


@contextlib.contextmanager
def _exact_products() -> Iterator[None]:
    """On a GPU, float32 products by its tensor cores: weights in bfloat16 would round a small adapter's update away."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if torch.cuda.is_available() else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
