"""`storyteller sweep RECIPE [a.b=c ...]`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from storyteller.errors import RecipeError

__all__ = ["sweep"]


def sweep(
    recipe: Annotated[str | None, typer.Argument(help="A recipe file or a bundled recipe, with a sweep block.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(help="Changes, such as sweep.trials=12.")] = None,
    out: Annotated[Path | None, typer.Option(help="The sweep's folder; default: sweeps/NAME.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the sweep in this folder.")] = None,
    worker: Annotated[
        Path | None, typer.Option(help="Work on a sweep that exists too; its folder, or a new one.")
    ] = None,
    database: Annotated[str | None, typer.Option(help="URL of a database that several machines share.")] = None,
    study: Annotated[str | None, typer.Option(help="With --database: which of its sweeps.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be searched.")] = False,
    report_lang: Annotated[str, typer.Option(help="The language of the report that is printed: en or zh.")] = "en",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Search for the best settings: many runs of one recipe, each a process and a folder of its own."""
    import yaml

    from storyteller.recipe.load import read_values, recipe_of
    from storyteller.stages.sweep import plan_sweep, sweep_recipe
    from storyteller.stages.sweep_report import report_path
    from storyteller.stages.sweep_words import WORDS

    language = next((known for known in WORDS if known == report_lang), None)
    if language is None:
        raise RecipeError(f"--report-lang is en or zh, not {report_lang!r}.")
    changes = list(overrides or [])
    if recipe is not None and "=" in recipe and (resume or worker):
        changes.insert(0, recipe)
        recipe = None
    if recipe is None and resume is None and worker is None:
        raise RecipeError("name a recipe with a sweep block; `storyteller recipes` lists the bundled ones.")
    if recipe is None and dry_run:
        raise RecipeError(
            f"--dry-run says what a recipe would search, and {worker or resume} is a sweep that has begun: name its recipe, or "
            "leave out --dry-run to go on with it."
        )
    values = read_values(recipe, changes) if recipe is not None else None
    if values is not None:
        checked = recipe_of(values, recipe)
        if dry_run:
            plan = plan_sweep(values)
            print(json.dumps(plan, ensure_ascii=False) if as_json else yaml.safe_dump(plan, sort_keys=False), end="")
            return
    folder = worker or resume or out or Path("sweeps") / checked.name
    report = sweep_recipe(
        folder,
        values,
        overrides=changes if values is None else (),
        database=database,
        name=study,
        join=worker is not None,
    )
    if as_json:
        print(json.dumps({"sweep": str(folder), **report}, ensure_ascii=False))
    else:
        print(report_path(folder, language).read_text(encoding="utf-8").rstrip())
