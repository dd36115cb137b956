"""Runs side by side: a list, a table of what differs, and curves in one plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from storyteller.errors import CheckpointError
from storyteller.recipe.load import differences
from storyteller.runs.figures import new_figure, save_figure
from storyteller.runs.reading import Summary, curve, read_summary

__all__ = ["compare_runs", "plot_runs", "render_comparison", "render_list"]

_FIGURES = ("state", "base", "best", "best_step", "step", "targets", "seconds", "tokens_per_second", "memory_mb")
_UNITS = {"base": "dev bpb, base", "best": "dev bpb, best", "memory_mb": "memory, MB", "tokens_per_second": "tokens/s"}


def compare_runs(folders: Sequence[Path]) -> dict[str, Any]:
    """What differs among the runs: the keys of their recipes that are not the same in all, and their figures."""
    found = [_readable(folder) for folder in folders]
    first = found[0]
    keys = dict.fromkeys(key for other in found[1:] for key in differences(first.recipe, other.recipe) if key != "name")
    return {
        "runs": [one.to_json() for one in found],
        "differences": {key: [_value(one.recipe, key) for one in found] for key in keys},
        "same_data": None if any(one.data is None for one in found) else len({one.data for one in found}) == 1,
    }


def render_comparison(comparison: Mapping[str, Any]) -> str:
    """The comparison as Markdown; a run is a column."""
    runs = comparison["runs"]
    lines = ["| | " + " | ".join(run["folder"] for run in runs) + " |", "|---" * (1 + len(runs)) + "|"]
    for name in _FIGURES:
        lines.append(f"| {_UNITS.get(name, name)} | " + " | ".join(_shown(run[name]) for run in runs) + " |")
    for key, values in comparison["differences"].items():
        lines.append(f"| `{key}` | " + " | ".join(_shown(value) for value in values) + " |")
    if comparison["same_data"] is False:
        lines += ["", "They were trained and measured on other examples, so their bits per byte cannot be compared."]
    lines += ["", "These are the runs' own dev figures. For intervals: storyteller evaluate RUN RUN --data FOLDER"]
    return "\n".join(lines)


def render_list(found: Sequence[Summary]) -> str:
    """One line a run: where it is, how far, how good."""
    rows = [("run", "state", "method", "steps", "dev bpb", "best", "at", "time", "changed")]
    for one in found:
        of = "" if one.steps is None else f"/{one.steps}"
        rows.append(
            (
                str(one.folder), one.state, _shown(one.method), f"{one.step}{of}", _shown(one.base), _shown(one.best),
                _shown(one.best_step), _clock(one.seconds), "" if one.age is None else f"{_clock(one.age)} ago",
            )
        )  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *(f"{one.folder}: {one.why}" for one in found if one.why)])


def plot_runs(folders: Sequence[Path], out: Path, *, metric: str, split: str, over: str) -> list[str]:
    """Draw one metric of several runs to the SVG `out`; returns the runs that have nothing to draw.

    Raises `CheckpointError` when none has, or when a folder holds no run.
    """
    for folder in folders:
        _readable(folder)
    curves = [curve(folder, metric, split, over) for folder in folders]
    drawn = [one for one in curves if one.xs]
    if not drawn:
        raise CheckpointError(
            f"no run has {metric!r} of the split {split!r}; look into a metrics.jsonl for the names there are."
        )
    figure, axes = new_figure(7, 4)
    # Where there are few points, each is worth a mark; two runs of the same colour differ by their dashes.
    for place, one in enumerate(drawn):
        style = ("-", "--", ":", "-.")[place // 10 % 4]
        axes.plot(one.xs, one.ys, style, label=one.name, marker="o" if len(one.xs) <= 40 else None, markersize=3)
    axes.set_xlabel({"step": "optimizer step", "targets": "target tokens", "seconds": "seconds"}[over])
    axes.set_ylabel(f"{split} {metric.replace('_', ' ')}")
    axes.legend(frameon=False, fontsize="small")
    save_figure(figure, out)
    return [one.name for one in curves if not one.xs]


def _readable(folder: Path) -> Summary:
    if not any((folder / name).is_file() for name in ("recipe.yaml", "metrics.jsonl")):
        raise CheckpointError(f"{folder} holds no run; `storyteller runs list` shows where there are some.")
    return read_summary(folder)


def _value(recipe: Mapping[str, Any], dotted: str) -> Any:
    value: Any = recipe
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.4f}" if size >= 0.01 else f"{value:.4g}"


def _clock(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
