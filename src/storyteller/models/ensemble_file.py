"""`ensemble.yaml`: the members of an ensemble, their weights, and how they are mixed at each token."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from storyteller.errors import ModelError
from storyteller.runs.files import read_json, write_atomic

__all__ = [
    "ENSEMBLE_FILE",
    "Ensemble",
    "Gate",
    "Member",
    "Rule",
    "check_weights",
    "named_weights",
    "read_ensemble",
    "tokenizer_hash",
    "write_ensemble",
]

ENSEMBLE_FILE = "ensemble.yaml"

Rule = Literal["arithmetic", "geometric", "contrastive"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Member(_Section):
    """One model of an ensemble."""

    model: str = Field(min_length=1, description="a model's name, or its folder, seen from the ensemble's own")
    weight: float | None = Field(None, description="its share; all are equal where none is given")


class Gate(_Section):
    """When the members are mixed; without either value, at every token.

    The first member is the one that writes alone otherwise, so the strongest belongs there.
    """

    divergence: float | None = Field(
        None, gt=0, description="mix only where the members' Jensen-Shannon divergence is above so many bits"
    )
    sure: float | None = Field(
        None, gt=0, lt=1, description="ask nobody else where the first member gives one token this probability"
    )


class Ensemble(_Section):
    """Members mixed at each token.

    `arithmetic` adds probabilities (a mixture of experts: keeps what any member wants), `geometric` adds logarithms
    (a product of experts: keeps what all can live with), `contrastive` is geometric with weights that may be negative
    (expert 1.5, amateur -0.5: Li et al. 2023, arXiv 2210.15097; O'Brien and Lewis 2023, arXiv 2309.09117) among the
    tokens to which the first member gives at least `plausibility` of its likeliest.
    """

    rule: Rule = Field("arithmetic", description="arithmetic, geometric or contrastive")
    members: tuple[Member, ...] = Field(min_length=1, description="the models, the leading one first")
    gate: Gate = Gate()
    plausibility: float = Field(0.1, gt=0, le=1, description="contrastive: least share of the likeliest token's chance")

    @model_validator(mode="after")
    def _weights_are_shares(self) -> Self:
        given = [member.weight for member in self.members]
        if any(weight is None for weight in given) and any(weight is not None for weight in given):
            raise ValueError("give every member a weight, or none")
        if given[0] is None and self.rule == "contrastive":
            raise ValueError("contrastive needs weights, such as 1.5 for the expert and -0.5 for the amateur")
        check_weights(self.weights, len(self.members), self.rule)
        return self

    @property
    def weights(self) -> tuple[float, ...]:
        """The members' weights, equal ones where none were given."""
        equal = 1 / len(self.members)
        return tuple(equal if member.weight is None else member.weight for member in self.members)

    @property
    def names(self) -> tuple[str, ...]:
        """What the members are called: of each place the end, as long as it takes to tell it from the others'."""
        parts = [[part for part in Path(member.model).parts if part not in ("..", ".", "/")] for member in self.members]
        longest = max(len(part) for part in parts)
        for count in range(1, longest + 1):
            found = ["/".join(part[-count:]) or member.model for part, member in zip(parts, self.members, strict=True)]
            if len(set(found)) == len(found):
                return tuple(found)
        # The same model twice, or places that differ in where they begin alone.
        return tuple(f"{name} ({number})" if found.count(name) > 1 else name for number, name in enumerate(found, 1))


def check_weights(weights: Sequence[float], members: int, rule: Rule) -> tuple[float, ...]:
    """The weights as they were given; `ValueError` that says what is wrong with them."""
    shown = ", ".join(f"{weight:g}" for weight in weights)
    if len(weights) != members:
        raise ValueError(f"there are {len(weights)} weights ({shown}) for {members} members")
    if not all(math.isfinite(weight) for weight in weights):
        raise ValueError(f"the weights must be numbers, not {shown}")
    if rule == "contrastive" and weights[0] <= 0:
        raise ValueError(f"the first member is the expert, and its weight must be above 0, not {weights[0]:g}")
    if rule != "contrastive" and min(weights) < 0:
        raise ValueError(f"weights may be negative in contrastive mixing alone, and these are {shown}")
    if abs(sum(weights) - 1) > 1e-3:
        raise ValueError(f"the weights must sum to 1, and {shown} sum to {sum(weights):g}")
    return tuple(float(weight) for weight in weights)


def named_weights(weights: Mapping[str, float], names: Sequence[str], rule: Rule) -> tuple[float, ...]:
    """The weights of all members from those of some by their names, brought to a sum of 1; others get none.

    Raises `ValueError` as `check_weights` does, also for a name that no member has.
    """
    if unknown := sorted(weights.keys() - set(names)):
        raise ValueError(f"the ensemble has no member {unknown[0]!r}. It has: {', '.join(names)}")
    given = [float(weights.get(name, 0.0)) for name in names]
    total = sum(given)
    if total <= 0:
        shown = ", ".join(f"{weight:g}" for weight in given)
        raise ValueError(f"the weights must come to more than 0, and {shown} come to {total:g}. Give a member more")
    return check_weights([weight / total for weight in given], len(names), rule)


def read_ensemble(folder: Path) -> Ensemble:
    """The ensemble in `folder`; `ModelError` for a file that cannot be read, an unknown key or a wrong value."""
    path = folder / ENSEMBLE_FILE
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Ensemble.model_validate(values)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(f"{path} cannot be read ({str(error).splitlines()[0]}).") from None
    except ValidationError as error:
        raise ModelError(f"{path}: " + "\n  ".join(_explain(error))) from None


def write_ensemble(folder: Path, ensemble: Ensemble) -> Path:
    """Write `ensemble.yaml` to `folder` and return its path."""
    values = ensemble.model_dump(mode="json", exclude_none=True)
    if not values["gate"]:
        del values["gate"]
    if ensemble.rule != "contrastive":
        del values["plausibility"]
    write_atomic(folder / ENSEMBLE_FILE, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
    return folder / ENSEMBLE_FILE


def tokenizer_hash(folder: Path) -> str:
    """A hash of what `tokenizer.json` says, whatever its spacing: equal where two models share a vocabulary."""
    try:
        definition = read_json(folder / "tokenizer.json")
    except (OSError, json.JSONDecodeError) as error:
        raise ModelError(f"{folder}/tokenizer.json cannot be read ({error}). Fetch the model again.") from None
    # How a caller pads or truncates is no part of the vocabulary.
    kept = {key: value for key, value in definition.items() if key not in ("padding", "truncation")}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _explain(error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors():
        location = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = [*Ensemble.model_fields, *Member.model_fields, *Gate.model_fields]
            near = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
            lines.append(f"unknown key {location}" + (f"; did you mean {near[0]}?" if near else ""))
        else:
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{location}: {message}." if location else f"{message}.")
    return lines
