"""`storyteller tokenize CORPUS [data.context=1024 ...]`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["tokenize"]


def tokenize(
    corpus: Annotated[Path, typer.Argument(help="A folder written by `storyteller prepare`.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Settings, such as data.context=1024.")] = None,
    model: Annotated[str, typer.Option(help="The model whose tokenizer is used.")] = "smollm2-135m-instruct",
    recipe: Annotated[str | None, typer.Option(help="Take the settings under data from this recipe.")] = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write; default: CORPUS/shards/HASH.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Turn prepared stories into training examples, and report what became of them."""
    from rich.console import Console

    from storyteller.models import locate
    from storyteller.recipe import load_recipe
    from storyteller.tokens import StoryTokenizer, Template, inspection
    from storyteller.tokens import tokenize as make_shards

    settings = load_recipe(recipe, overrides or []).data
    folder = locate(model).folder
    tokenizer = StoryTokenizer.load(folder)
    template = Template.load(folder, tokenizer)
    shards = make_shards(corpus, out, tokenizer, settings, template=template)
    if as_json:
        print(json.dumps({"folder": str(shards.folder), **shards.meta}, ensure_ascii=False))
    else:
        Console().print(inspection.draw_report(shards))
