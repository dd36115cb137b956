"""`storyteller refine RECIPE [a.b=c ...]`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from storyteller.cli.recipes import asked_recipe
from storyteller.errors import RecipeError

if TYPE_CHECKING:
    from storyteller.recipe import Recipe

__all__ = ["refine"]


def refine(
    recipe: Annotated[str | None, typer.Argument(help="A recipe file, or the name of a bundled recipe.")] = None,
    overrides: Annotated[list[str] | None, typer.Argument(help="Changes, such as refine.trainer=coop.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; default: runs/NAME.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen.")] = False,
    members: Annotated[int | None, typer.Option(min=2, help="Refine so many storytellers that differ.")] = None,
    apart: Annotated[str, typer.Option(help="How members differ: seed, or critic (another depth each).")] = "seed",
    slices: Annotated[
        list[str] | None, typer.Option("--slice", help="A member for the stories that this pattern finds; repeat it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Refine a fine-tuned storyteller against a critic; it stays as it is unless it passes its gate."""
    from storyteller.cli.output import print_dry_run

    if (members or slices) and resume is not None and (recipe is None or "=" in recipe):
        raise RecipeError(
            "name the recipe again, as it was: members that are not begun are made from it, and those that are go on."
        )
    loaded = asked_recipe(recipe, overrides, resume)
    # The heavy imports come after the recipe was read: a typo in a key is told at once.
    from storyteller.adversarial.stage import dry_run as plan
    from storyteller.adversarial.stage import refine as run
    from storyteller.evaluate.refining import check_refinement, score_refinement

    if apart not in ("seed", "critic"):
        raise RecipeError(f"members differ by seed or critic, not by {apart!r}.")
    if apart != "seed" and members is None:
        raise RecipeError("--apart says how members differ; say with --members how many.")
    if members and slices:
        raise RecipeError("--slice makes a member of each pattern, so leave --members out.")
    if members or slices:
        several(
            loaded, members or 0, apart, slices or [], resume or out or Path("runs") / loaded.name, dry_run, as_json
        )
        return
    if dry_run:
        print_dry_run(plan(loaded, check=check_refinement, resume=resume), as_json=as_json)
        return
    folder = resume or out or Path("runs") / loaded.name
    done = run(loaded, folder, score_refinement, check=check_refinement, resume=resume is not None)
    if as_json:
        told = json.loads((done.folder / "refinement.json").read_text(encoding="utf-8"))
        print(json.dumps({"run": str(done.folder), "final": str(done.final), "passed": told["passed"]}))


def several(
    recipe: Recipe, count: int, apart: str, slices: list[str], folder: Path, dry_run: bool, as_json: bool
) -> None:
    """Refine several members, or say what would happen; print their folders."""
    from storyteller.adversarial.several import members, refine_several
    from storyteller.adversarial.stage import dry_run as plan
    from storyteller.cli.output import print_dry_run
    from storyteller.evaluate.refining import check_refinement, score_refinement

    recipes = members(recipe, count, apart, slices)  # type: ignore[arg-type]  # the command has checked the word
    if dry_run:
        plans = [plan(one, check=check_refinement) for one in recipes]
        if as_json:
            print(json.dumps(plans, ensure_ascii=False))
            return
        for one in plans:
            print_dry_run(one, as_json=False)
        return
    runs = refine_several(recipes, folder, score_refinement, check=check_refinement)
    told = [json.loads((run.folder / "refinement.json").read_text(encoding="utf-8")) for run in runs]
    if as_json:
        print(json.dumps([{"run": str(r.folder), "passed": t["passed"]} for r, t in zip(runs, told, strict=True)]))
    else:
        print(f"{sum(one['passed'] for one in told)} of {len(runs)} members passed their gate.")
        print(f"Draw from them in turn: storyteller ensemble --help. Members: {', '.join(str(r.final) for r in runs)}")
