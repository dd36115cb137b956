"""`storyteller evaluate judge texts.jsonl --systems default,human --url URL --model NAME`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["judge"]


def judge(
    texts: Annotated[list[Path], typer.Argument(help="Files of texts, as `storyteller evaluate` keeps them.")],
    url: Annotated[
        str, typer.Option(help="The address of an OpenAI-compatible API, such as http://127.0.0.1:8080/v1.")
    ],
    model: Annotated[str, typer.Option(help="The judge's name there; not one of the writers.")],
    systems: Annotated[
        str | None, typer.Option(help="Whose texts to compare, with commas; name@0.8 is one temperature. Default: all.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="How many pairs of texts, shared by every two systems.")] = 200,
    human_pairs: Annotated[
        Path | None, typer.Option(help="Pairs that people judged (.jsonl, .xz), to measure the judge itself.")
    ] = None,
    human_limit: Annotated[int, typer.Option(min=1, help="How many of these.")] = 200,
    key_variable: Annotated[
        str, typer.Option(help="The environment variable with the API key; it is stored nowhere.")
    ] = "STORYTELLER_API_KEY",
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for an answer.")] = 120.0,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="The longest answer; a model that thinks aloud needs more.")
    ] = 512,
    workers: Annotated[int, typer.Option(min=1, help="Questions at the same time.")] = 4,
    seed: Annotated[int, typer.Option(help="Decides which pairs.")] = 1,
    out: Annotated[Path | None, typer.Option(help="The raw answers; default: judge.jsonl beside the texts.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Let another model judge pairs of texts, in both orders, and say how far people agree with it."""
    from storyteller.evaluate.judge_model import judge_texts, render_verdicts
    from storyteller.generate.remote import RemoteModel

    names = [name.strip() for name in (systems or "").split(",") if name.strip()]
    with RemoteModel(url, model, key_variable=key_variable, timeout=timeout) as client:
        summary = judge_texts(
            texts,
            names,
            client,
            pairs=pairs,
            human_pairs=human_pairs,
            human_limit=human_limit,
            out=out,
            seed=seed,
            max_tokens=max_tokens,
            workers=workers,
        )
    print(json.dumps(summary, ensure_ascii=False) if as_json else render_verdicts(summary), end="\n" if as_json else "")
