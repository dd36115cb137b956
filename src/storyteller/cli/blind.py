"""`storyteller evaluate blind texts.jsonl --systems default,human`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["blind"]


def blind(
    texts: Annotated[list[Path], typer.Argument(help="Files of texts, as `storyteller evaluate` keeps them.")],
    systems: Annotated[
        str | None, typer.Option(help="Whose texts to compare, with commas; name@0.8 is one temperature. Default: all.")
    ] = None,
    pairs: Annotated[
        int | None, typer.Option(min=1, help="How many in all; default: what the effect takes of every two systems.")
    ] = None,
    effect: Annotated[float, typer.Option(help="The preference that should be seen, such as 0.6.")] = 0.6,
    rater: Annotated[str, typer.Option(help="Who judges; each rater goes through the same pairs.")] = "me",
    seed: Annotated[int, typer.Option(help="Decides which pairs, their order and their sides.")] = 1,
    repeat: Annotated[float, typer.Option(min=0, max=0.5, help="The share of pairs that come twice.")] = 0.1,
    out: Annotated[Path | None, typer.Option(help="The judgements; default: blind.jsonl beside the texts.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port on 127.0.0.1; 0: any free one.")] = 8765,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the page.")] = False,
    report: Annotated[bool, typer.Option("--report", help="Only sum up the judgements that there are.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Let people judge pairs of texts on a page of this machine, without knowing who wrote which."""
    from storyteller.evaluate.blind import judge_blind, render, write_summary

    names = [name.strip() for name in (systems or "").split(",") if name.strip()]
    out = out or texts[0].with_name("blind.jsonl")
    summary = (
        write_summary(out, effect)
        if report
        else judge_blind(
            texts,
            names,
            rater=rater,
            pairs=pairs,
            effect=effect,
            seed=seed,
            repeat=repeat,
            out=out,
            port=port,
            browser=not no_browser,
        )
    )
    if summary:
        print(json.dumps(summary, ensure_ascii=False) if as_json else render(summary), end="\n" if as_json else "")
