"""`storyteller recipes [NAME]`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

__all__ = ["recipes"]


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
