"""`storyteller runs list | compare | plot`: what run folders tell, read from their files alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from storyteller.errors import CheckpointError

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
_OVER = ("step", "targets", "seconds")


@app.command(name="list")
def list_runs(
    folders: Annotated[list[Path] | None, typer.Argument(help="Where to look; default: runs and sweeps.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """List runs: how far they are and how good they have become."""
    from storyteller.runs.comparing import render_list
    from storyteller.runs.reading import find_runs, read_summary

    places = folders or [Path("runs"), Path("sweeps")]
    if missing := [str(place) for place in folders or [] if not place.is_dir()]:
        raise CheckpointError(f"there is no folder {missing[0]}.")
    found = [read_summary(run) for place in places for run in find_runs(place)]
    if as_json:
        print(json.dumps([one.to_json() for one in found], ensure_ascii=False))
    elif found:
        print(render_list(found))
    else:
        print(f"no runs in {', '.join(map(str, places))}")


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two runs or more.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what differs among runs: settings and figures."""
    from storyteller.runs.comparing import compare_runs, render_comparison

    if len(runs) < 2:
        raise CheckpointError("name two runs or more; `storyteller runs list` shows them.")
    comparison = compare_runs(runs)
    print(json.dumps(comparison, ensure_ascii=False) if as_json else render_comparison(comparison))


@app.command()
def plot(
    runs: Annotated[list[Path], typer.Argument(help="Runs to draw in one plot.")],
    out: Annotated[Path, typer.Option(help="The SVG file to write.")] = Path("runs.svg"),
    metric: Annotated[
        str, typer.Option(help="A name in metrics.jsonl: bits_per_byte, loss, lr, grad_norm ...")
    ] = "bits_per_byte",
    split: Annotated[str, typer.Option(help="dev or train.")] = "dev",
    over: Annotated[str, typer.Option(help="step, targets (tokens learned from) or seconds.")] = "step",
) -> None:
    """Draw one metric of several runs."""
    from storyteller.runs.comparing import plot_runs

    if over not in _OVER:
        raise CheckpointError(f"--over {over!r} is none of {', '.join(_OVER)}.")
    without = plot_runs(runs, out, metric=metric, split=split, over=over)
    print(f"Written to {out}" + (f"; nothing to draw in {', '.join(without)}" if without else ""))
