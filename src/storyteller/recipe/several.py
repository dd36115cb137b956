"""The keys of what takes several runs: `sweep:`, a search over settings, and `pipeline:`, one stage after the other."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from storyteller.recipe.section import Section

__all__ = ["RangeRecipe", "StageName", "StageRecipe", "SweepRecipe"]


class RangeRecipe(Section):
    """The values that one key may take: exactly one of the four, as [lowest, highest]."""

    uniform: tuple[float, float] | None = Field(None, description="any number between")
    log_uniform: tuple[float, float] | None = Field(None, description="any number, each order of magnitude as often")
    integer: tuple[int, int] | None = Field(None, description="any whole number, both ends too")
    log_integer: tuple[int, int] | None = Field(None, description="any whole number, small ones more often")

    @model_validator(mode="after")
    def _one_range(self) -> Self:
        given = [(name, ends) for name, ends in self if ends is not None]
        if len(given) != 1:
            raise ValueError("give one of uniform, log_uniform, integer and log_integer, as [lowest, highest]")
        name, (low, high) = given[0]
        if not low < high:
            raise ValueError(f"{name}: the lowest value {low} must be under the highest, {high}")
        if name.startswith("log_") and low <= 0:
            raise ValueError(f"{name}: the lowest value {low} must be over 0")
        return self

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest value."""
        low, high = next(ends for _, ends in self if ends is not None)
        return low, high

    @property
    def whole(self) -> bool:
        """Whether the values are whole numbers."""
        return self.integer is not None or self.log_integer is not None

    @property
    def logarithmic(self) -> bool:
        """Whether each order of magnitude is drawn as often."""
        return self.log_uniform is not None or self.log_integer is not None

    def holds(self, value: Any) -> bool:
        """Whether `value` is one of the range."""
        low, high = self.ends
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            return False
        return low <= value <= high and (not self.whole or float(value).is_integer())


class SweepRecipe(Section):
    """A search over a recipe's settings: many runs of it, each with other values, for the lowest held-out loss."""

    stage: Literal["finetune", "pretrain"] = Field("finetune", description="the command that each trial runs")
    space: dict[str, list[Any] | RangeRecipe] = Field(
        {},
        description="what is searched: a dotted key, and a list of values or a range such as log_uniform: [1.0e-5, 1.0e-3]",
    )
    objective: Literal["bits_per_byte", "loss"] = Field(
        "bits_per_byte", description="what is made small: its lowest value on dev after step 0"
    )
    trials: int = Field(20, ge=1, description="runs in all, those that fail or are cut short among them")
    minutes: float | None = Field(None, gt=0, description="no run begins after so many minutes; null: no limit")
    sampler: Literal["tpe", "random"] = Field("tpe", description="how the next values are chosen (tpe learns)")
    pruner: Literal["median", "halving", "none"] = Field(
        "median", description="which runs are cut short: worse than the median so far, all but the best third, none"
    )
    startup: int = Field(5, ge=1, description="runs drawn at random, and runs before the first is cut short")
    patience: int = Field(2, ge=0, description="evaluations of a run before it may be cut short")
    failures: int = Field(3, ge=1, description="failed runs, with none that ended well, after which the sweep gives up")
    keep: Literal["final", "all"] = Field(
        "final", description="final: the checkpoints of an ended trial are deleted, what came out of it stays"
    )
    seed: int = Field(1, ge=0, description="seed of the search; each run has train.seed")

    @field_validator("space")
    @classmethod
    def _values_to_search(cls, space: dict[str, list[Any] | RangeRecipe]) -> dict[str, list[Any] | RangeRecipe]:
        space = {
            key: [_number(v) for v in values] if isinstance(values, list) else values for key, values in space.items()
        }
        for key, values in space.items():
            if isinstance(values, list) and len(values) != len({repr(value) for value in values}):
                raise ValueError(f"{key}: a value stands there twice")
            if isinstance(values, list) and not values:
                raise ValueError(f"{key}: the list of values is empty")
            if key.split(".")[0] in ("name", "sweep", "pipeline"):
                raise ValueError(f"{key} is not a setting of a run")
        return space


def _number(value: Any) -> Any:
    """`value`, or the number that it spells: to YAML, 1e-4 without a point is a word."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


StageName = Literal["prepare", "pretrain", "finetune", "refine", "evaluate"]


class StageRecipe(Section):
    """One stage of a pipeline: a command of that name, which reads what the stages before it have left."""

    stage: StageName = Field(description="the command: prepare, pretrain, finetune, refine or evaluate")
    paths: list[Path] = Field([], description="prepare: files and folders of stories")
    options: dict[str, bool | int | float | str] = Field(
        {}, description="prepare and evaluate: the command's options, such as dev: 0.1 or suite: losses"
    )
    change: dict[str, Any] = Field(
        {}, description="pretrain, finetune and refine: dotted keys of this recipe with other values, train.lr: 1.0e-4"
    )

    @model_validator(mode="after")
    def _what_it_takes(self) -> Self:
        if self.stage == "prepare" and not self.paths:
            raise ValueError("prepare needs paths, a list of files and folders")
        if self.stage != "prepare" and self.paths:
            raise ValueError(f"paths are for prepare; {self.stage} reads what the stage before it has left")
        trains = self.stage not in ("prepare", "evaluate")
        if trains and self.options:
            raise ValueError(f"options are for prepare and evaluate; {self.stage} takes change")
        if not trains and self.change:
            raise ValueError(f"change is for training; {self.stage} takes options")
        return self
