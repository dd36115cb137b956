"""The keys of robust training and learning on: off by default, refused where they would do nothing."""

from __future__ import annotations

import pytest

from storyteller.errors import RecipeError
from storyteller.recipe import Recipe, load_recipe
from storyteller.recipe.load import as_refinement


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
    ["train.compile=true", "train.gradient_checkpointing=true", "train.parallel=sharded", "data.augment={copies: 1}",
     "data.tasks={write: 1}", "data.views=2", "data.max_parts=4", "data.max_stories=9", "data.max_share_form={chapter: 0.2}",
     "samples={words: 9}"],
)  # fmt: skip
def test_what_a_refinement_does_not_do_is_refused(key: str) -> None:
    for section in (["refine={}"], []):  # the command `refine` adds the section where there is none
        with pytest.raises(RecipeError, match=f"{key.partition('=')[0]}.* would do nothing in refine"):
            as_refinement(load_recipe(None, [*section, key]))
    load_recipe(None, ["refine={}", key])  # what an earlier run has kept is still read


@pytest.mark.parametrize(
    ("key", "way"),
    [
        ("refine.reward.variety=0.3", "refine.trainer=gail"),
        ("refine.critic.encoder=folder", "refine.critic.reads=encoder"),
        ("refine.critic.rank=4", "refine.critic.reads=adapter"),
    ],
)
def test_what_another_choice_would_read_is_refused_with_that_choice(key: str, way: str) -> None:
    name = "refine.reward" if "reward" in key else key.partition("=")[0]
    with pytest.raises(RecipeError, match=f"{name} would do nothing in refine.*\n.*{way}"):
        as_refinement(load_recipe(None, ["refine.trainer=coop", key]))
    as_refinement(load_recipe(None, ["refine.trainer=coop", key, way]))
    load_recipe(None, ["refine.trainer=coop", key])  # what an earlier run has kept is still read


def test_the_bundled_refinement_is_read_whole_by_every_trainer() -> None:
    for trainer in ("gail", "coop", "pairs", "iq"):
        as_refinement(load_recipe("refine", [f"refine.trainer={trainer}"]))


def test_a_refinement_without_its_section_is_checked_as_one_with_it() -> None:
    with pytest.raises(RecipeError, match="dropout would do nothing in refine"):
        as_refinement(load_recipe(None, ["train.dropout=0.1"]))
    assert as_refinement(load_recipe(None, ["train.steps=3"])).refine is not None


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
