"""`storyteller inspect FOLDER`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["inspect"]


def inspect(
    folder: Annotated[Path, typer.Argument(help="Shards, or the prepared corpus that they were made of.")],
    split: Annotated[str, typer.Option(help="train or dev.")] = "train",
    example: Annotated[int, typer.Option(help="Number of the example.")] = 0,
    model: Annotated[str, typer.Option(help="The model whose tokenizer made the shards.")] = "smollm2-135m-instruct",
    ids: Annotated[bool, typer.Option("--ids", help="Show each token's id.")] = False,
) -> None:
    """Show a training example with its loss mask in colour, how rows are packed, and the token report."""
    from rich.console import Console

    from storyteller.models import locate
    from storyteller.tokens import StoryTokenizer, inspection

    shards = inspection.find_shards(folder)
    tokenizer, console = StoryTokenizer.load(locate(model).folder), Console(highlight=False)
    drawn = inspection.draw_example(shards, tokenizer, split, example, ids=ids)
    console.print(inspection.draw_report(shards), end="\n\n")
    console.print(inspection.draw_packing(shards, split))
    console.print("[dim]read[/], [green]learned[/], [bold black on yellow]stop[/]", end="\n\n")
    console.print(drawn, soft_wrap=True)
