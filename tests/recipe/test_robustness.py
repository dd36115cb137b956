"""The keys of robust training and learning on: off by default, refused where they would do nothing."""

from __future__ import annotations

import pytest

from storyteller.errors import RecipeError
from storyteller.recipe import Recipe, load_recipe


def test_all_is_off_by_default() -> None:
    recipe = Recipe()
    assert recipe.continual is recipe.distil is recipe.data.augment is recipe.train.perturb is recipe.train.contrastive
    assert recipe.continual is None
    assert recipe.train.dropout == recipe.train.label_smoothing == 0


@pytest.mark.parametrize("stage", ["refine={}", "pretrain={}"])
@pytest.mark.parametrize(
    "key",
    ["train.label_smoothing=0.1", "train.perturb={method: fgm}", "continual={old: data/old}", "train.dropout=0.1"],
)
def test_a_key_that_would_do_nothing_is_refused(stage: str, key: str) -> None:
    with pytest.raises(RecipeError, match="would do nothing"):
        load_recipe(None, [stage, key])


@pytest.mark.parametrize(
    "key",
    ["train.compile=true", "train.gradient_checkpointing=true", "train.parallel=sharded", "data.augment={copies: 1}"],
)
def test_what_a_refinement_does_not_do_is_refused(key: str) -> None:
    with pytest.raises(RecipeError, match=f"{key.partition('=')[0]}.* would do nothing in refine"):
        load_recipe(None, ["refine={}", key])
    assert load_recipe(None, [key]).refine is None


def test_variants_that_change_nothing_are_refused() -> None:
    with pytest.raises(RecipeError, match="both off"):
        load_recipe(None, ["data.augment={names: false, synonyms: 0}"])


@pytest.mark.parametrize(
    ("asked", "meant"),
    [("train.label_smoothing_factor=0.1", "train.label_smoothing"), ("ewc_lambda=1", "continual.ewc"),
     ("replay_ratio=0.1", "continual.replay"), ("train.neftune_noise_alpha=5", "train.perturb.noise")],
)  # fmt: skip
def test_other_trainers_names_lead_to_ours(asked: str, meant: str) -> None:
    with pytest.raises(RecipeError, match=f"did you mean {meant}"):
        load_recipe(None, [asked])


@pytest.mark.parametrize("method", ["prompt", "prefix"])
def test_a_rate_by_layer_needs_layers(method: str) -> None:
    load_recipe(None, [f"model.method={method}", "train.layer_decay=1"])
    with pytest.raises(RecipeError, match=rf"layer_decay would do nothing, for model\.method={method}"):
        load_recipe(None, [f"model.method={method}", "train.layer_decay=0.9"])
