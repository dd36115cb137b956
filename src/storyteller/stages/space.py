"""What a trial may draw: the recipe's `sweep.space`, checked at its ends, and as Optuna knows it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from storyteller.errors import RecipeError
from storyteller.recipe.load import change_values, recipe_of
from storyteller.recipe.methods import Method
from storyteller.recipe.several import RangeRecipe, SweepRecipe

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

__all__ = ["check_space", "distributions", "drawn", "starting_point", "without_several"]

Space = Mapping[str, list[Any] | RangeRecipe]


def without_several(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a recipe for one run: without `sweep` and `pipeline`."""
    return {key: value for key, value in values.items() if key not in ("sweep", "pipeline")}


def check_space(values: Mapping[str, Any], sweep: SweepRecipe) -> None:
    """Raise `RecipeError` when a value that could be drawn makes no recipe, or is of a method that no trial trains by.

    Better now than in the tenth trial, or in none.
    """
    for key, allowed in sweep.space.items():
        for value in allowed if isinstance(allowed, list) else allowed.ends:
            whole = isinstance(allowed, RangeRecipe) and allowed.whole
            try:
                recipe_of(change_values(without_several(values), {key: int(value) if whole else value}), "of a trial")
            except RecipeError as error:
                raise RecipeError(f"sweep.space.{key} may draw {value!r}, and that makes no recipe:\n{error}") from None
    method = recipe_of(without_several(values)).model.method
    methods = sweep.space.get("model.method", [method])
    for key in sweep.space:
        section, _, rest = key.removeprefix("model.").partition(".")
        if key.startswith("model.") and rest and section in get_args(Method) and section not in methods:
            raise RecipeError(
                f"sweep.space.{key} would do nothing, for model.method is {method}. Take it out of the space, or draw from "
                f"model.{method} instead, in a recipe of your own: storyteller recipes search > mine.yaml"
            )


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The space as Optuna knows it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for key, allowed in space.items():
        if isinstance(allowed, list):
            found[key] = CategoricalDistribution([_written(value) for value in allowed])
        elif allowed.whole:
            low, high = allowed.ends
            found[key] = IntDistribution(int(low), int(high), log=allowed.logarithmic)
        else:
            found[key] = FloatDistribution(*allowed.ends, log=allowed.logarithmic)
    return found


def drawn(parameters: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """What a study keeps of a trial as values of recipe keys."""
    values: dict[str, Any] = {}
    for key, value in parameters.items():
        allowed = space[key]
        if isinstance(allowed, list):
            values[key] = next(one for one in allowed if _written(one) == value)
        elif allowed.whole:
            values[key] = value
        else:
            # A short rate is easier to read, to compare and to type again; four digits are more than a run can tell.
            low, high = allowed.ends
            values[key] = min(max(float(f"{value:.4g}"), low), high)
    return values


def starting_point(values: Mapping[str, Any], space: Space) -> dict[str, Any] | None:
    """The recipe's own values as a trial, or None where one of them is not in the space."""
    resolved: Any = recipe_of(without_several(values)).model_dump(mode="json")
    point: dict[str, Any] = {}
    for key, allowed in space.items():
        value = resolved
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(allowed, list):
            if value not in allowed:
                return None
            point[key] = _written(next(one for one in allowed if one == value))
        elif not allowed.holds(value):
            return None
        else:
            point[key] = int(value) if allowed.whole else float(value)
    return point


def _written(value: Any) -> Any:
    """A value as a study can keep it; lists and mappings as JSON."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value, sort_keys=True)
