"""`storyteller run RECIPE [a.b=c ...]`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["run"]


def run(
    recipe: Annotated[str, typer.Argument(help="A recipe file or a bundled recipe, with a pipeline.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Changes, such as train.minutes=2.")] = None,
    out: Annotated[Path | None, typer.Option(help="The pipeline's folder; default: runs/NAME.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the stages and their commands.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a recipe's stages one after the other; the same command again goes on where it was stopped."""
    from storyteller.recipe.load import read_values, recipe_of
    from storyteller.stages.pipeline import plan_pipeline, run_pipeline

    values = read_values(recipe, overrides or [])
    folder = out or Path("runs") / recipe_of(values, recipe).name
    stages = plan_pipeline(values, folder) if dry_run else run_pipeline(values, folder)
    if as_json:
        print(json.dumps({"pipeline": str(folder), "stages": {one.folder.name: one.settings for one in stages}}))
    elif dry_run:
        print("\n".join(f"{stage}: storyteller {' '.join(stage.arguments)}" for stage in stages))
    else:
        print(f"{folder} is complete: {', '.join(stage.folder.name for stage in stages)}")
