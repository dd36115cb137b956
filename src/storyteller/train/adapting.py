"""From a recipe and the base that it names to the model that is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from storyteller.errors import TrainingError
from storyteller.models import Located, adapt, load_model, load_weights
from storyteller.models.adapters.factors import read_factors
from storyteller.models.adapters.own import MERGEABLE, adapter_kind
from storyteller.models.adapters.qlora import four_bits
from storyteller.recipe import LoraRecipe, ModelRecipe, Recipe
from storyteller.runs import read_json
from storyteller.tokens import StoryTokenizer
from storyteller.train.dropout import apply_dropout

__all__ = ["adapted_model"]

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


def adapted_model(recipe: Recipe, located: Located) -> nn.Module:
    """The model in memory, with what the recipe trains laid over it; `TrainingError` when the two do not go together."""
    torch.manual_seed(recipe.train.seed)
    # Full fine-tuning goes on from the model that an adapter makes; there is nothing left of the adapter then.
    full = recipe.model.method == "full"
    stack = recipe.continual is not None and recipe.continual.stack
    # An adapter goes on from the one that the base has, or, stacked, becomes one with it when it is saved for good;
    # merged only, it would need a base that nobody else has.
    merge = full or stack
    before = None if merge else located.adapter
    if stack:
        _check_stackable(recipe, located)
    if full and located.adapter is not None and adapter_kind(located.adapter) not in MERGEABLE:
        raise TrainingError(
            f"{located.name} has an adapter that cannot be merged into its base, so not every weight can be trained. Name its "
            "base as model.base."
        )
    bits = four_bits(recipe.model.qlora) if recipe.model.method == "qlora" else {}
    model: nn.Module = load_model(
        located if merge else replace(located, adapter=None), dtype="float32", merge=merge, **bits
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
    apply_dropout(model, recipe.train.dropout)
    adapted: nn.Module = adapt(model, recipe.model, recipe.train.seed, _first_ids(recipe, located))
    if before is not None:
        _go_on_from(adapted, before, recipe.model)
    return adapted


def _check_stackable(recipe: Recipe, located: Located) -> None:
    if recipe.model.method != "lora":
        raise TrainingError(
            f"continual.stack needs model.method=lora, not {recipe.model.method}: only LoRA can be stacked."
        )
    if located.adapter is None:
        raise TrainingError(
            f"continual.stack: {located.name} has no adapter to stack another one on; leave the key out."
        )
    read_factors(located.adapter)  # told before training, not after it


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
    if config.get("rank_pattern") and kind == "ADALORA":
        raise TrainingError(
            f"the base's own adapter ({adapter}) is AdaLoRA's with its ranks settled: the directions out of use are gone, so "
            "they cannot move on. Name a checkpoint of its run, which has them all, or train with model.method=full."
        )
    if own := [key for key in ("rank_pattern", "alpha_pattern") if config.get(key)]:
        raise TrainingError(
            f"the base's own adapter ({adapter}) has ranks or scales of their own in some layers ({', '.join(own)}), which "
            "a recipe cannot say, so it would go on as another model. Train with model.method=full, which merges it first, or "
            "name its base as model.base."
        )
    if asked.method == "adalora":
        begun = config.get("init_r"), float(config["lora_alpha"])
        if begun != (asked.adalora.first_rank, asked.adalora.alpha):
            raise TrainingError(
                f"the base's own adapter ({adapter}) has first_rank {begun[0]} and alpha {begun[1]:g}; set model.adalora to "
                "the same to go on from it, or name its base as model.base."
            )
    if asked.method == "bottleneck":
        form = {key: getattr(asked.bottleneck, key) for key in ("kind", "width", "activation")}
        if other := {key: config.get(key) for key, value in form.items() if config.get(key) != value}:
            told = ", ".join(f"{key}={value}" for key, value in other.items())
            raise TrainingError(
                f"the base's own adapter ({adapter}) has {told}; set model.bottleneck to the same to go on from it, or name "
                "its base as model.base."
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
