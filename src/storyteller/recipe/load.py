"""Reading a recipe: YAML, one level of `extends`, dotted overrides, and errors that name the nearest key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from storyteller.errors import RecipeError
from storyteller.recipe.aliases import meant_key
from storyteller.recipe.models import TASKS, CriticRecipe, Recipe, RefineRecipe, RewardRecipe, SamplesRecipe

__all__ = [
    "bundled_recipes",
    "change_values",
    "differences",
    "dump_recipe",
    "find_recipe",
    "load_recipe",
    "merge",
    "override_values",
    "read_values",
    "recipe_of",
    "recipe_schema",
    "without_lessons",
]

_LENGTHS = ("steps", "epochs", "minutes")


def load_recipe(source: Path | str | None = None, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in the file `source` (or of that bundled name; none: all defaults) with `a.b=value` overrides on top.

    Raises `RecipeError` for a file that cannot be read, an unknown key, a value of the wrong kind.
    """
    return recipe_of(read_values(source, overrides), source)


def read_values(source: Path | str | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """What `load_recipe` reads, as it was written and not yet checked: only the keys that somebody has given."""
    values = _read(find_recipe(source), extends=True) if source is not None else {}
    return override_values(values, overrides)


def override_values(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """`values` with overrides of the command line (`a.b=value`) laid over them."""
    return _changed(values, map(_parse_override, overrides))


def recipe_of(values: Mapping[str, Any], source: Path | str | None = None) -> Recipe:
    """The recipe that `values` describe; `RecipeError` names `source` and the nearest keys."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise RecipeError(_explain(error, source)) from None


def as_refinement(recipe: Recipe) -> Recipe:
    """A recipe with its `refine` section, by default all defaults; `RecipeError` for keys that a refinement does not read.

    What a run has kept is not asked here: it goes on as it was begun.
    """
    values = recipe.model_dump(mode="json")
    whole = recipe_of({**values, "refine": values["refine"] or RefineRecipe().model_dump(mode="json")})
    if idle := _idle(recipe, recipe.refine or RefineRecipe()):
        ways = [f"\n  {name}: {way}." for name, way in idle.items() if way]
        raise RecipeError(f"{', '.join(idle)} would do nothing in refine; leave it out." + "".join(ways))
    return whole


def _idle(recipe: Recipe, refine: RefineRecipe) -> dict[str, str]:
    """The keys that were changed and that a refinement does not read, each with what to do instead, if there is something."""
    data, train, critic = recipe.data, recipe.train, refine.critic
    one = "a story gives one prompt; cut long ones into excerpts first (see docs/refinement.md)"
    known = {
        "train.compile": (train.compile, ""),
        "train.gradient_checkpointing": (train.gradient_checkpointing, ""),
        "train.parallel=sharded": (train.parallel == "sharded", ""),
        "data.augment": (data.augment is not None, ""),
        "data.tasks": (data.tasks != TASKS, "refine.rollout.prefix_share says how many prompts show a beginning"),
        "data.views": (data.views > 1, one),
        "data.max_parts": (data.max_parts is not None, one),
        "data.max_stories": (data.max_stories is not None, "refine.rollout.prompts says how many are learned from"),
        "data.max_share_form": (bool(data.max_share_form), "refine.rollout.only chooses stories by form"),
        "samples": (recipe.samples != SamplesRecipe(), "its samples are answers to the first dev prompts"),
        "refine.reward": (
            refine.trainer != "gail" and refine.reward != RewardRecipe(), "only refine.trainer=gail learns from a reward",
        ),
        "refine.critic.rank": (
            critic.reads != "adapter" and critic.rank != CriticRecipe().rank, "it belongs to refine.critic.reads=adapter",
        ),
        "refine.critic.encoder": (
            critic.reads != "encoder" and critic.encoder is not None, "it belongs to refine.critic.reads=encoder",
        ),
    }  # fmt: skip
    return {name: way for name, (changed, way) in known.items() if changed}


def without_lessons(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` without what a pipeline's refinement leaves to the other trainings: how they show stories, and samples."""
    kept = {key: value for key, value in values.items() if key != "samples"}
    if isinstance(data := kept.get("data"), Mapping):
        kept["data"] = {key: value for key, value in data.items() if key not in ("tasks", "views", "max_parts")}
    return kept


def change_values(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with those of dotted keys laid over them, as overrides on the command line are."""
    return _changed(values, ((dotted.split("."), value) for dotted, value in changes.items()))


def _changed(values: Mapping[str, Any], changes: Iterable[tuple[Sequence[str], Any]]) -> dict[str, Any]:
    """`values` with others at some keys, each key in its parts; one task's share changed keeps the others."""
    asked: dict[str, Any] = {}
    for keys, value in changes:
        asked = merge(asked, _nested(keys, value))
        data = values.get("data")
        given = isinstance(data, Mapping) and data.get("tasks") is not None
        if not given and len(keys) > 2 and [*keys[:2]] == ["data", "tasks"]:
            values = merge({"data": {"tasks": TASKS}}, values)
    return _overlay(dict(values), asked)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The dotted keys whose values differ, with both; None where one side has no such key."""
    before, after = _dotted(old), _dotted(new)
    keys = [*before, *(key for key in after if key not in before)]
    return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}


def recipe_schema() -> dict[str, Any]:
    """The JSON schema of a recipe."""
    return Recipe.model_json_schema()


def dump_recipe(recipe: Recipe) -> str:
    """The resolved recipe as YAML that `load_recipe` reads back to an equal recipe."""
    values = recipe.model_dump(mode="json")
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    # PyYAML writes some line ends of Unicode, such as NEL, as they are, and reads them back as spaces.
    return text if yaml.safe_load(text) == values else yaml.safe_dump(values, sort_keys=False)


def bundled_recipes() -> dict[str, Path]:
    """Name to path of the recipes that come with the package."""
    folder = Path(str(resources.files("storyteller") / "recipe" / "bundled"))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def merge(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `top` laid over it; mappings are merged key by key, everything else is replaced."""
    result = dict(base)
    for key, value in top.items():
        old = result.get(key)
        result[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def _overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """`merge`, in which a length given on top (steps, epochs or minutes) takes the place of the one below."""
    below, above = base.get("train"), top.get("train")
    if (
        isinstance(below, Mapping)
        and isinstance(above, Mapping)
        and any(above.get(key) is not None for key in _LENGTHS)
    ):
        base = {**base, "train": {key: value for key, value in below.items() if key not in _LENGTHS}}
    return merge(base, top)


def find_recipe(source: Path | str) -> Path:
    """The recipe file of that path, or the bundled one of that name; `RecipeError` if there is neither."""
    path = Path(source)
    if path.is_file():
        return path
    bundled = bundled_recipes()
    if str(source) in bundled:
        return bundled[str(source)]
    near = difflib.get_close_matches(str(source), bundled, n=1)
    hint = f"; did you mean the bundled recipe {near[0]!r}?" if near else "."
    raise RecipeError(f"no recipe file {str(source)!r}{hint} `storyteller recipes` lists the bundled ones.")


def _read(path: Path, *, extends: bool) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"cannot read the recipe {path}: {error}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path} must hold keys and values, not {type(values).__name__}.")
    parent = values.pop("extends", None)
    if parent is None:
        return values
    if not extends:
        raise RecipeError(f"{path} is extended by another recipe, so it cannot have `extends` itself (one level only).")
    beside = path.parent / str(parent)
    return _overlay(_read(beside if beside.is_file() else find_recipe(str(parent)), extends=False), values)


def _parse_override(override: str) -> tuple[list[str], Any]:
    dotted, separator, text = override.partition("=")
    keys = dotted.strip().split(".")
    if not separator or not all(keys):
        raise RecipeError(
            f"cannot understand {override!r}; write an override as key.key=value, for example train.lr=1e-4."
        )
    try:
        value = yaml.safe_load(text) if text.strip() else None
    except yaml.YAMLError as error:
        raise RecipeError(f"the value in {override!r} is not valid YAML: {error}") from None
    return keys, value


def _nested(keys: Sequence[str], value: Any) -> dict[str, Any]:
    return {keys[0]: _nested(keys[1:], value) if len(keys) > 1 else value}


def _dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return flat


def _explain(error: ValidationError, source: Path | str | None) -> str:
    where = f"recipe {source}" if source is not None else "the recipe"
    lines = []
    for problem in error.errors():
        location = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            meant = meant_key(location)
            lines.append(f"unknown key {location}" + (f"; did you mean {meant}?" if meant else ""))
        else:
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{location or 'recipe'}: {message} (got {problem['input']!r})")
    return f"{where}: " + "\n  ".join(lines)
