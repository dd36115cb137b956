"""What a run's folder tells about it, read from files alone: from a run that goes on, was killed, or is damaged."""

from __future__ import annotations

import json
import math
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from storyteller.runs.run import Run

__all__ = ["Curve", "Summary", "curve", "find_runs", "read_summary"]

_DEEPEST = 5
_OURS = ("recipe.yaml", "metrics.jsonl")


@dataclass(frozen=True)
class Summary:
    """One run at a glance; what its folder does not tell is None.

    `state` is finished, unfinished (it goes on, was stopped or was killed: a folder cannot tell) or damaged, and `why` says
    what is. `base` and `best` are bits per byte on dev at step 0 and at the best later step, `seconds` those of all sessions
    together, `age` the seconds since the folder last changed.
    """

    folder: Path
    state: str
    why: str = ""
    name: str | None = None
    method: str | None = None
    model: str | None = None
    steps: int | None = None
    step: int = 0
    base: float | None = None
    best: float | None = None
    best_step: int | None = None
    targets: int | None = None
    seconds: float | None = None
    tokens_per_second: float | None = None
    memory_mb: float | None = None
    age: float | None = None
    data: str | None = None
    recipe: dict[str, Any] = field(default_factory=dict, repr=False)

    def to_json(self) -> dict[str, Any]:
        """The summary as a JSON object, without the recipe."""
        values = asdict(self) | {"folder": str(self.folder)}
        del values["recipe"]
        return values


@dataclass(frozen=True)
class Curve:
    """One metric of one run: `xs` and `ys` of equal length."""

    name: str
    xs: list[float]
    ys: list[float]


def find_runs(place: Path) -> Iterator[Path]:
    """The folders of runs in and under `place`, in the order of their names; a run's own sub-folders are not searched."""
    yield from _find(place, _DEEPEST)


def read_summary(folder: Path) -> Summary:
    """Read one run; nothing that stands in its folder, or does not, is an error."""
    values, why = _recipe(folder)
    lines = _lines(folder)
    dev = [(line["step"], _number(line.get("bits_per_byte"))) for line in lines if line["split"] == "dev"]
    later = [(value, step) for step, value in dev if value is not None and step > 0]
    best = min(later, default=None)
    train = [line for line in lines if line["split"] == "train"]
    speeds = [speed for line in train if (speed := _number(line.get("tokens_per_second"))) is not None]
    memory = [size for line in train if (size := _number(line.get("memory_mb"))) is not None]
    targets = _number(train[-1].get("targets")) if train else None
    section, model = _section(values, "train"), _section(values, "model")
    return Summary(
        folder=folder,
        state="damaged" if why else "finished" if Run(folder).finished else "unfinished",
        why=why,
        name=_text(values.get("name")),
        method=_text(model.get("method")),
        model=_text(model.get("base")),
        steps=section.get("steps") if isinstance(section.get("steps"), int) else None,
        step=max((line["step"] for line in lines), default=0),
        base=next((value for step, value in dev if step == 0), None),
        best=best[0] if best else None,
        best_step=best[1] if best else None,
        targets=None if targets is None else int(targets),
        seconds=round(sum(_sessions(lines)), 1) if lines else None,
        tokens_per_second=statistics.median(speeds) if speeds else None,
        memory_mb=max(memory, default=None),
        age=_age(folder),
        data=_data_hash(folder),
        recipe=values,
    )


def curve(folder: Path, metric: str, split: str, over: str) -> Curve:
    """A metric of a run over `over`: step, targets (tokens learned from) or seconds."""
    lines = _lines(folder)
    clock = dict(zip(map(id, lines), _clock(lines), strict=True))
    seen = 0.0  # an evaluation does not count tokens: it stands where the last training line stood
    xs, ys = [], []
    for line in lines:
        seen = _number(line.get("targets")) or seen
        value = _number(line.get(metric))
        if line["split"] == split and value is not None:
            xs.append({"step": float(line["step"]), "targets": seen, "seconds": clock[id(line)]}[over])
            ys.append(value)
    return Curve(str(folder), xs, ys)


def _find(place: Path, depth: int) -> Iterator[Path]:
    if any((place / name).is_file() for name in _OURS):
        yield place
        return
    if depth == 0:
        return
    try:
        inside = sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return
    for folder in inside:
        yield from _find(folder, depth - 1)


def _recipe(folder: Path) -> tuple[dict[str, Any], str]:
    """The recipe's values, and what is wrong with it. An older version's keys are no damage: they are only shown."""
    path = folder / "recipe.yaml"
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}, "recipe.yaml is missing"
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}, "recipe.yaml cannot be read"
    return (values, "") if isinstance(values, dict) else ({}, "recipe.yaml holds no recipe")


def _lines(folder: Path) -> list[dict[str, Any]]:
    try:
        return list(Run(folder).metrics())
    except OSError:
        return []


def _sessions(lines: Sequence[Mapping[str, Any]]) -> list[float]:
    """The seconds of each session: a resumed run's clock starts again at 0."""
    ends, last = [], 0.0
    for line in lines:
        now = _number(line.get("seconds")) or 0.0
        if now < last:
            ends.append(last)
        last = now
    return [*ends, last]


def _clock(lines: Sequence[Mapping[str, Any]]) -> list[float]:
    times, before, last = [], 0.0, 0.0
    for line in lines:
        now = _number(line.get("seconds")) or 0.0
        if now < last:
            before += last
        last = now
        times.append(before + now)
    return times


def _data_hash(folder: Path) -> str | None:
    try:
        found = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return _text(found.get("hash")) if isinstance(found, dict) else None


def _age(folder: Path) -> float | None:
    times = []
    for name in ("events.log", "metrics.jsonl", "recipe.yaml"):
        try:
            times.append(os.stat(folder / name).st_mtime)  # noqa: PTH116
        except OSError:
            continue
    return round(max(0.0, time.time() - max(times)), 1) if times else None


def _section(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = values.get(name)
    return section if isinstance(section, dict) else {}


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
