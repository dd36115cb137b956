"""Several generators: members that differ, each a run of its own, and a stopped one that goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.adversarial.conftest import MakeRecipe, stand_in

from storyteller.adversarial import several
from storyteller.adversarial.prompts import make_prompts
from storyteller.adversarial.several import members, refine_several
from storyteller.errors import CheckpointError, DataError, ModelError, RecipeError
from storyteller.recipe.models import RolloutRecipe
from storyteller.runs import Run
from storyteller.tokens import Template


def test_members_differ_in_one_thing(small: MakeRecipe) -> None:
    recipe = small("name=sea")
    seeds = members(recipe, 3)
    assert [one.train.seed for one in seeds] == [1, 2, 3]
    assert [one.name for one in seeds] == ["sea-1", "sea-2", "sea-3"]
    assert {one.model_copy(update={"name": "", "train": recipe.train}).model_dump_json() for one in seeds} == {
        recipe.model_copy(update={"name": ""}).model_dump_json()
    }
    critics = members(recipe, 2, "critic")
    assert [one.refine.critic.layers for one in critics if one.refine] == [[1], [2]]
    slices = members(recipe, 0, slices=["fable", "screenplay"])
    assert [one.refine.rollout.only for one in slices if one.refine] == ["fable", "screenplay"]
    with pytest.raises(RecipeError, match="two or more"):
        members(recipe, 1)
    with pytest.raises(RecipeError, match="as many hidden states"):
        members(recipe, 9, "critic")


def test_the_layers_of_an_encoder_are_counted_whatever_its_kind_calls_them(small: MakeRecipe, tmp_path: Path) -> None:
    """GPT-2 writes `n_layer`; no weights are loaded to know it."""
    reads = ("refine.critic.reads=encoder", f"refine.critic.encoder={tmp_path}")
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "n_layer": 4, "n_head": 2, "n_embd": 8}', "utf-8")
    critics = members(small(*reads), 2, "critic")
    assert [one.refine.critic.layers for one in critics if one.refine] == [[2], [4]]
    (tmp_path / "config.json").unlink()
    with pytest.raises(ModelError, match="no model whose layers"):
        members(small(*reads), 2, "critic")


def test_a_slice_trains_on_its_stories_and_is_watched_on_all(small: MakeRecipe, template: Template) -> None:
    recipe = small()
    rollout = recipe.refine.rollout if recipe.refine else RolloutRecipe()
    whole = make_prompts(recipe.data, template, rollout, 1)
    part = make_prompts(recipe.data, template, rollout.model_copy(update={"only": "^screenplay$|^dialogue$"}), 1)
    assert 0 < len(part.train) + len(part.held) < len(whole.train) + len(whole.held)
    assert {one.story for one in part.train} <= {one.story for one in [*whole.train, *whole.held]}
    assert part.dev == whole.dev
    with pytest.raises(DataError, match="no story of train"):
        make_prompts(recipe.data, template, rollout.model_copy(update={"only": "zzzz"}), 1)
    with pytest.raises(RecipeError, match="no regular expression"):
        make_prompts(recipe.data, template, rollout.model_copy(update={"only": "("}), 1)


@pytest.mark.parametrize(
    ("pattern", "error", "message"),
    [("(", RecipeError, "no regular expression"), ("zzzz", DataError, "no story of train")],
)
def test_a_later_member_s_mistake_is_told_before_the_first_begins(
    small: MakeRecipe, tmp_path: Path, pattern: str, error: type[Exception], message: str
) -> None:
    """Else it would come to light after hours."""
    with pytest.raises(error, match=message):
        refine_several(members(small(), 0, slices=["story", pattern]), tmp_path / "two", stand_in)
    assert not (tmp_path / "two").exists()


def test_every_member_is_refined_once(small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storyteller.adversarial.report.plot_refinement", lambda *_: None)
    recipes = members(small("train.steps=1"), 2)
    runs = refine_several(recipes, tmp_path, stand_in)
    first, second = (load_file(run.folder / "checkpoints/step-000001/adversary.safetensors") for run in runs)
    assert not torch.equal(first["critic/projection"], second["critic/projection"])
    begun: list[Path] = []

    def again(recipe: object, folder: Path, score: object, *, check: object, resume: bool) -> Run:
        begun.append(folder)
        assert resume
        return Run.open(folder)

    events = tmp_path / "2" / "events.log"  # killed after its report was written, before it was told finished
    events.write_text("".join(events.read_text("utf-8").splitlines(keepends=True)[:-1]), "utf-8")
    monkeypatch.setattr(several, "refine", again)
    refine_several(recipes, tmp_path, stand_in)
    assert begun == [tmp_path / "2"]


def test_members_of_another_recipe_are_not_taken_for_done(
    small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs into the default folder, the second with other settings: the first one's members are not its."""
    monkeypatch.setattr("storyteller.adversarial.report.plot_refinement", lambda *_: None)
    refine_several(members(small("train.steps=1"), 2), tmp_path, stand_in)
    with pytest.raises(CheckpointError, match="another recipe") as error:
        refine_several(members(small("train.steps=1", "refine.trainer=coop"), 2), tmp_path, stand_in)
    assert "gail  ->  coop" in str(error.value)


def test_members_do_what_the_recipe_says_or_it_is_refused(small: MakeRecipe) -> None:
    with pytest.raises(RecipeError, match="leave one out"):
        members(small("refine.rollout.only=fable"), 0, slices=["sea", "moon"])
    with pytest.raises(RecipeError, match="name 2"):
        members(small("refine.critic.layers=[0,1,2]"), 2, "critic")
