"""An ensemble's folder: made from names of models, and described."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from storyteller.errors import ModelError
from storyteller.models import locate
from storyteller.models.ensemble_file import (
    ENSEMBLE_FILE,
    Ensemble,
    Gate,
    Member,
    Rule,
    check_weights,
    read_ensemble,
    write_ensemble,
)
from storyteller.models.entries import find_entry

__all__ = ["describe_ensemble", "new_ensemble", "weigh_ensemble"]


def new_ensemble(
    folder: Path,
    members: Sequence[str],
    *,
    weights: Sequence[float] | None = None,
    rule: Rule = "arithmetic",
    gate: Gate | None = None,
    plausibility: float = 0.1,
) -> Ensemble:
    """Write the ensemble of these models, the leading one first, to the new `folder`, after finding every one of them.

    A member's folder is named as it is seen from there, so that both may be moved together. Raises `ModelError` for
    members that do not fit, and nothing is written then.
    """
    if (folder / ENSEMBLE_FILE).exists():
        raise ModelError(f"{folder} holds an ensemble already; edit {ENSEMBLE_FILE} there, or name another folder.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ModelError(
            f"{folder} is there already, and what lies in it would be an ensemble from then on; name a new folder."
        )
    if weights is not None and len(weights) != len(members):
        raise ModelError(f"there are {len(weights)} weights for {len(members)} members.")
    named = [
        os.path.relpath(Path(name).resolve(), folder.resolve())
        if find_entry(name) is None and Path(name).exists()
        else name
        for name in members
    ]
    shares = weights if weights is not None else [None] * len(named)
    try:
        ensemble = Ensemble(
            rule=rule,
            members=tuple(Member(model=name, weight=weight) for name, weight in zip(named, shares, strict=True)),
            gate=gate or Gate(),
            plausibility=plausibility,
        )
    except ValidationError as error:
        raise ModelError(f"{error.errors()[0]['msg'].removeprefix('Value error, ')}.") from None
    there = folder.exists()
    path = write_ensemble(folder, ensemble)
    try:
        locate(folder)
    except ModelError:
        path.unlink()
        if not there:
            folder.rmdir()
        raise
    return ensemble


def weigh_ensemble(folder: Path, weights: Sequence[float]) -> Ensemble:
    """Give the ensemble in `folder` other weights; raises `ModelError` for wrong ones, and nothing is written then."""
    ensemble = read_ensemble(folder)
    try:
        shares = check_weights(weights, len(ensemble.members), ensemble.rule)
    except ValueError as error:
        raise ModelError(f"{error}.") from None
    members = tuple(
        member.model_copy(update={"weight": weight}) for member, weight in zip(ensemble.members, shares, strict=True)
    )
    ensemble = ensemble.model_copy(update={"members": members})
    write_ensemble(folder, ensemble)
    return ensemble


def describe_ensemble(folder: str | Path) -> dict[str, Any]:
    """What an ensemble is: rule, gate, and its members with weights, places and hashes; `ModelError` if it is none."""
    located = locate(folder)
    if located.ensemble is None:
        raise ModelError(f"{folder} is no ensemble; see: storyteller models show {folder}")
    ensemble = located.ensemble
    return {
        "name": located.name,
        "rule": ensemble.rule,
        "gate": ensemble.gate.model_dump(exclude_none=True) or None,
        "plausibility": ensemble.plausibility if ensemble.rule == "contrastive" else None,
        "base": located.base if len({member.folder for member in located.members}) == 1 else None,
        "members": [
            {
                "model": member.name,
                "weight": weight,
                "place": str(member.adapter or member.folder),
                "sha256": member.sha256,
            }
            for member, weight in zip(located.members, ensemble.weights, strict=True)
        ],
    }
