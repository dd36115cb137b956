"""How results are printed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storyteller.errors import RecipeError

if TYPE_CHECKING:
    from storyteller.recipe import Recipe

__all__ = ["print_dry_run", "print_json", "print_rates"]


def print_json(value: Any) -> None:
    """One JSON value, for people and programs."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_dry_run(plan: Mapping[str, Any], *, as_json: bool) -> None:
    """The plan of a run: resolved recipe, data report and cost, as YAML or as one JSON object."""
    if as_json:
        print(json.dumps(plan, ensure_ascii=False))
        return
    import yaml

    for part in ("recipe", "data"):
        print(yaml.safe_dump({part: plan[part]}, sort_keys=False, allow_unicode=True))
    print(plan["summary"])


def print_rates(recipe: Recipe, out: Path | None, resume: Path | None, *, new: bool, as_json: bool) -> None:
    """Test rates for a recipe, of pretraining when it makes a `new` model, and print what was found."""
    if resume is not None:
        raise RecipeError("--find-lr starts from a recipe, not from a run; leave out --resume.")
    from storyteller.train.rate_range import find_rate

    folder = out or Path("runs") / f"{recipe.name}-lr"
    found = find_rate(recipe, folder, new=new)
    print(json.dumps(asdict(found)) if as_json else f"{found}\nThe plot is {folder / 'rates.svg'}.")
