"""`storyteller recipes [NAME]`, and how the commands that train read the one that they are given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storyteller.errors import RecipeError

if TYPE_CHECKING:
    from storyteller.recipe import Recipe

__all__ = ["asked_recipe", "planned_recipe", "recipes"]


def recipes(
    name: Annotated[str | None, typer.Argument(help="Print this recipe, to be copied and changed.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of a recipe.")] = False,
) -> None:
    """List the bundled recipes, or print one."""
    from storyteller.recipe.load import bundled_recipes, find_recipe, recipe_schema

    if schema:
        print(json.dumps(recipe_schema(), indent=2))
    elif name is not None:
        print(find_recipe(name).read_text(encoding="utf-8"), end="")
    else:
        for known, path in bundled_recipes().items():
            print(f"{known:20} {path.read_text(encoding='utf-8').splitlines()[0].removeprefix('# ')}")


def asked_recipe(recipe: str | None, overrides: list[str] | None, resume: Path | None) -> Recipe:
    """The recipe that was named, with its overrides; that of a resumed run, which need not be named, is in its folder.

    Overrides alone are laid over what that run was asked, so that resuming it can tell what they would change.
    """
    from storyteller.recipe import Recipe, load_recipe

    if recipe is not None and resume is not None and "=" in recipe:
        from storyteller.runs import Run

        return load_recipe(Run.open(resume).asked_path, [recipe, *(overrides or [])])
    if recipe is not None:
        return load_recipe(recipe, overrides or [])
    if resume is None:
        raise RecipeError("name a recipe; `storyteller recipes` lists the bundled ones.")
    return Recipe()


def planned_recipe(asked: Recipe, resume: Path | None) -> Recipe:
    """What a dry run plans: the recipe that was asked for, or that of the run to go on with."""
    if resume is None:
        return asked
    from storyteller.runs import Run
    from storyteller.train.stage import same_recipe

    return same_recipe(Run.open(resume), asked)
