"""Recipes: what is read is what was meant, and a mistake is told with the key that was meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from storyteller.errors import RecipeError
from storyteller.recipe import Recipe, load_recipe, recipe_schema
from storyteller.recipe.aliases import ALIASES, keys_of
from storyteller.recipe.load import bundled_recipes, dump_recipe, find_recipe, merge

_KEYS = st.sampled_from("abcd")
_TREES = st.recursive(st.integers(), lambda inner: st.dictionaries(_KEYS, inner, max_size=3), max_leaves=8)
_MAPPINGS = st.dictionaries(_KEYS, _TREES, max_size=3)

_NUMBER = st.floats(1e-6, 0.9)
_RECIPES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(min_size=1, max_size=20),
        "model": st.fixed_dictionaries(
            {},
            optional={
                "base": st.text(max_size=20),
                "method": st.sampled_from(["full", "lora"]),
                "lora": st.fixed_dictionaries(
                    {},
                    optional={
                        "rank": st.integers(1, 64),
                        "alpha": _NUMBER,
                        "targets": st.just("all-linear") | st.lists(st.text(max_size=8), min_size=1, max_size=3),
                    },
                ),
            },
        ),
        "data": st.fixed_dictionaries(
            {},
            optional={
                "path": st.sampled_from(["data/stories", "故事/集", "with space"]),
                "context": st.integers(16, 4096),
                "tasks": st.dictionaries(st.sampled_from(["write", "continue"]), _NUMBER, min_size=1),
                "max_share_form": st.dictionaries(st.sampled_from(["fable", "chapter"]), _NUMBER),
            },
        ),
        "train": st.fixed_dictionaries(
            {},
            optional={
                "minutes": st.none() | _NUMBER,
                "lr": _NUMBER,
                "betas": st.tuples(_NUMBER, _NUMBER),
                "clip": st.none() | _NUMBER,
                "sinks": st.lists(st.sampled_from(["tensorboard", "wandb", "trackio"])),
            },
        ),
        "samples": st.fixed_dictionaries({}, optional={"prompts": st.lists(st.text(max_size=20), max_size=3)}),
    },
)


def write(path: Path, values: object) -> Path:
    path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    return path


@settings(max_examples=60, deadline=None)
@given(_RECIPES)
def test_what_is_dumped_is_read_back(tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]) -> None:
    recipe = Recipe.model_validate(values)
    path = tmp_path_factory.getbasetemp() / "recipe.yaml"
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(path) == recipe


@given(_MAPPINGS, _MAPPINGS)
def test_merging_keeps_both_and_prefers_the_top(base: dict[str, object], top: dict[str, object]) -> None:
    before = json.dumps([base, top])
    merged = merge(base, top)
    assert merge(base, {}) == base
    assert merge({}, top) == top
    assert merge(merged, top) == merged
    assert merged.keys() == base.keys() | top.keys()
    assert all(merged[key] == base[key] for key in base.keys() - top.keys())
    assert json.dumps([base, top]) == before


def test_no_recipe_is_all_defaults() -> None:
    assert load_recipe() == Recipe()


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Recipe().train.lr = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("train.lr=1e-4", "train.lr", 1e-4),
        ("train.clip=null", "train.clip", None),
        ("train.clip=", "train.clip", None),
        ("train.gradient_checkpointing=true", "train.gradient_checkpointing", True),
        ("name=nan", "name", "nan"),
        ("name=海豹", "name", "海豹"),
        ("name=a=b", "name", "a=b"),
        ("model.lora.targets=[q_proj, v_proj]", "model.lora.targets", ["q_proj", "v_proj"]),
        ("data.tasks.continue=0.5", "data.tasks.continue", 0.5),
        ("data.tasks={write: 1}", "data.tasks.write", 1),
        ("data.path=somewhere/else", "data.path", "somewhere/else"),
    ],
)
def test_overrides(tmp_path: Path, override: str, key: str, value: object) -> None:
    written = {"data": {"tasks": {"write": 1.0}}, "train": {"rows": 3}}
    found: object = load_recipe(write(tmp_path / "r.yaml", written), [override]).model_dump(mode="json")
    for part in key.split("."):
        assert isinstance(found, dict)
        found = found[part]
    assert found == value


def test_later_overrides_win(tmp_path: Path) -> None:
    recipe = load_recipe(None, ["train.lr=0.1", "train.rows=2", "train.lr=0.2"])
    assert (recipe.train.lr, recipe.train.rows) == (0.2, 2)


def test_extends_one_level_beside_the_file_or_bundled(tmp_path: Path) -> None:
    write(tmp_path / "base.yaml", {"name": "base", "train": {"lr": 0.01, "rows": 2}})
    child = write(tmp_path / "child.yaml", {"extends": "base.yaml", "name": "child", "train": {"rows": 3}})
    recipe = load_recipe(child)
    assert (recipe.name, recipe.train.lr, recipe.train.rows) == ("child", 0.01, 3)
    assert load_recipe(write(tmp_path / "b.yaml", {"extends": "full"})) == load_recipe("full")
    write(tmp_path / "base.yaml", {"extends": "full"})
    with pytest.raises(RecipeError, match="one level only"):
        load_recipe(child)
    with pytest.raises(RecipeError, match="no recipe file"):
        load_recipe(write(tmp_path / "c.yaml", {"extends": "nothing.yaml"}))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.learning_rat=1", r"unknown key train\.learning_rat; did you mean train\.lr\?"),
        ("train.learning_rate=1e-4", r"did you mean train\.lr\?"),
        ("learning-rate=1e-4", r"did you mean train\.lr\?"),
        ("train.batch_size=4", r"did you mean train\.rows\?"),
        ("train.max_steps=4", r"did you mean train\.steps\?"),
        ("num_epochs=4", r"did you mean train\.epochs\?"),
        ("train.block_size=4", r"did you mean data\.context\?"),
        ("data.max_length=4", r"did you mean data\.context\?"),
        ("model.r=4", r"did you mean model\.lora\.rank\?"),
        ("model.rank=4", r"did you mean model\.lora\.rank\?"),
        ("model.lora_alpha=4", r"did you mean model\.lora\.alpha\?"),
        ("train.bf16=true", r"did you mean train\.precision\?"),
        ("train.gradient_accumulation_steps=2", r"did you mean train\.accumulate\?"),
        ("train.output_dir=x", "did you mean --out FOLDER?"),
        ("base_model=x", r"did you mean model\.base\?"),
        ("train.xyzzy=1", r"unknown key train\.xyzzy$"),
        ("train.stepz=1", "did you mean train.steps?"),
        ("trian.lr=1e-3", "did you mean train.lr?|did you mean train?"),
        ("lr=1e-3", r"did you mean train\.lr\?"),
        ("model.lora.rnak=4", r"did you mean model\.lora\.rank\?"),
        ("train.lr=fast", r"train\.lr: .*number.*'fast'"),
        ("train.lr=.nan", r"train\.lr"),
        ("train.minutes=.inf", r"train\.minutes"),
        ("train.rows=0", r"train\.rows: .*greater than or equal to 1"),
        ("train.sinks=[mlflow]", r"'tensorboard', 'wandb' or 'trackio'.*mlflow"),
        ("train.schedule=cosin", "'cosine'"),
        ("data.tasks.wirte=1", "'write'"),
        ("data.tasks={write: 0}", "one must be over 0"),
        ("refine.entropy_band=[1.1, 1.2]", r"\[1.1, 1.2\] must hold 1"),
        ("train.lr", "key.key=value"),
        ("=3", "key.key=value"),
        ("train..lr=3", "key.key=value"),
        ("train.lr=[1", "not valid YAML"),
        ("train=3", "train: .*dictionary|train: .*valid"),
    ],
)
def test_mistakes_are_named(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(None, [override])


def test_another_trainers_name_is_never_ours_and_leads_to_a_key() -> None:
    keys = set(keys_of(Recipe))
    assert set(ALIASES.values()) - keys == {"--out FOLDER"}
    assert not ALIASES.keys() & {key.rpartition(".")[2] for key in keys}


def test_only_one_length() -> None:
    with pytest.raises(RecipeError, match="give one of steps, epochs and minutes, not steps and minutes"):
        load_recipe(None, ["train.steps=3", "train.minutes=2"])


@pytest.mark.parametrize("content", [b"- a\n- b\n", b"a: [\n", b"\xff\xfe\x00", b"just words"])
def test_a_file_that_is_no_recipe(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"r\.yaml"):
        load_recipe(path)


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("# nothing yet\n", encoding="utf-8")
    assert load_recipe(tmp_path / "r.yaml") == Recipe()


def test_a_misspelt_bundled_recipe() -> None:
    with pytest.raises(RecipeError, match="did you mean the bundled recipe 'tales'"):
        find_recipe("tale")


@pytest.mark.parametrize("name", bundled_recipes())
def test_bundled_recipes_are_short_and_valid(name: str) -> None:
    text = bundled_recipes()[name].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40
    assert text.startswith("# ")
    assert load_recipe(name).name == name


def test_who_browses_the_repository_finds_the_same_recipes() -> None:
    folder = Path(__file__).parents[2] / "recipes"
    assert not folder.readlink().is_absolute()
    assert {path.stem: path.resolve() for path in folder.glob("*.yaml")} == {
        name: path.resolve() for name, path in bundled_recipes().items()
    }


def test_there_are_at_most_fifteen_bundled_recipes() -> None:
    assert 0 < len(bundled_recipes()) <= 15


def test_the_schema_explains_every_key() -> None:
    schema = recipe_schema()
    sections = [part for name, part in schema["$defs"].items() if name != "ModelRecipe"]
    assert all("description" in value for part in sections for value in part["properties"].values())


def test_a_length_on_top_takes_the_place_of_the_one_below(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("train: {steps: 10, lr: 1.0e-3}", encoding="utf-8")
    (tmp_path / "child.yaml").write_text("extends: base.yaml\ntrain: {epochs: 2}", encoding="utf-8")
    child = load_recipe(tmp_path / "child.yaml").train
    assert (child.steps, child.epochs, child.lr) == (None, 2, 1e-3)
    asked = load_recipe(tmp_path / "base.yaml", ["train.minutes=3"]).train
    assert (asked.steps, asked.minutes, asked.lr) == (None, 3, 1e-3)
    with pytest.raises(RecipeError, match="give one of"):
        load_recipe(tmp_path / "base.yaml", ["train.minutes=3", "train.epochs=1"])


def test_a_size_sets_what_the_recipe_leaves_out() -> None:
    recipe = load_recipe(None, ["model.size=1m"])
    assert recipe.model.shape is not None
    assert recipe.pretrain is not None
    assert (recipe.model.shape.width, recipe.pretrain.tokenizer.vocabulary, recipe.data.context) == (128, 2048, 256)
    assert (recipe.train.steps, recipe.train.lr, recipe.model.method) == (10_000, 3e-3, "full")
    changed = load_recipe(None, ["model.size=1m", "train.minutes=5", "train.lr=1e-4", "model.shape.layers=2"])
    assert changed.model.shape is not None
    assert (changed.model.shape.layers, changed.model.shape.width) == (2, 128)
    assert (changed.train.steps, changed.train.minutes, changed.train.lr, changed.train.rows) == (None, 5, 1e-4, 8)


@pytest.mark.parametrize("size", ["1m", "5m", "15m", "42m", "110m"])
def test_a_size_survives_being_written_and_has_its_parameters(tmp_path: Path, size: str) -> None:
    recipe = load_recipe(None, [f"model.size={size}", "train.rows=3"])
    path = tmp_path / "r.yaml"
    path.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(path) == recipe
    shape = recipe.model.shape
    assert shape is not None
    assert recipe.pretrain is not None
    block = 4 * shape.width**2 + 3 * shape.width * shape.inner
    parameters = shape.layers * block + recipe.pretrain.tokenizer.vocabulary * shape.width
    assert parameters == pytest.approx(float(size[:-1]) * 1e6, rel=0.08)


def test_an_unknown_size_names_the_sizes() -> None:
    with pytest.raises(
        RecipeError, match=r"model\.size: Input should be '1m', '5m', '15m', '42m' or '110m' \(got '7m'\)"
    ):
        load_recipe(None, ["model.size=7m"])
    with pytest.raises(RecipeError, match="3 heads do not divide a width of 32"):
        load_recipe(None, ["model.shape={width: 32, heads: 3}"])


def test_one_share_of_the_tasks_changed_keeps_the_others() -> None:
    tasks = load_recipe(None, ["data.tasks.continue=0.3"]).data.tasks
    assert tasks == {"write": 0.6, "continue": 0.3, "infill": 0.1, "passage": 0.1}
    assert load_recipe(None, ["data.tasks={write: 1}"]).data.tasks == {"write": 1}


def test_a_rate_that_yaml_takes_for_a_word_is_a_number_in_a_sweep() -> None:
    recipe = load_recipe(None, ["sweep.space={train.lr: [1e-4, 3e-4], train.schedule: [linear, cosine]}"])
    assert recipe.sweep is not None
    assert recipe.sweep.space == {"train.lr": [1e-4, 3e-4], "train.schedule": ["linear", "cosine"]}
