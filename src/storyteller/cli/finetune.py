"""`storyteller finetune RECIPE [a.b=c ...]`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from storyteller.cli.recipes import asked_recipe, planned_recipe

__all__ = ["finetune"]


def finetune(
    recipe: Annotated[str | None, typer.Argument(help="A recipe file, or the name of a bundled recipe.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(help="Changes, such as train.lr=1e-4.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; default: runs/NAME.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen and what it costs.")] = False,
    find_lr: Annotated[
        bool, typer.Option("--find-lr", help="Only test learning rates on a copy, plot them and suggest one.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fine-tune a model on prepared stories."""
    from storyteller.cli.output import print_dry_run, print_rates

    loaded = asked_recipe(recipe, overrides, resume)
    if find_lr:
        print_rates(loaded, out, resume, new=False, as_json=as_json)
        return
    # The heavy import comes after the recipe was read: a typo in a key is told at once.
    from storyteller.train.finetune import dry_run as plan
    from storyteller.train.finetune import finetune as run

    if dry_run:
        print_dry_run(plan(planned_recipe(loaded, resume)), as_json=as_json)
        return
    done = run(loaded, resume or out or Path("runs") / loaded.name, resume=resume is not None)
    if as_json:
        print(json.dumps({"run": str(done.folder), "final": str(done.final)}))
