"""`storyteller evaluate MODEL... --data DIR`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["evaluate"]


def evaluate(
    models: Annotated[list[str], typer.Argument(help="Models to measure; the first is the baseline of the others.")],
    data: Annotated[Path, typer.Option(help="A folder written by `storyteller prepare`.")],
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Measure only so many stories, always the same ones.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=2, help="Measure only the beginning of longer stories.")] = None,
    context: Annotated[int, typer.Option(min=16, help="Tokens in the sliding window.")] = 1024,
    prompted: Annotated[
        bool, typer.Option("--prompted", help="Give the model each story's form, title and length.")
    ] = False,
    lang: Annotated[str | None, typer.Option(help="Only stories in this language: en or zh.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write report.md, report.json and losses.jsonl to this folder.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure loss, perplexity and bits per byte on held-out stories."""
    from storyteller.evaluate import evaluate_models, render_report

    report = evaluate_models(
        models,
        data,
        split=split,
        limit=limit,
        max_tokens=max_tokens,
        context=context,
        prompted=prompted,
        language=lang,
        out=out,
    )
    print(json.dumps(report, ensure_ascii=False) if as_json else render_report(report), end="\n" if as_json else "")
