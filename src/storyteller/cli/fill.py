"""`storyteller fill "The keeper lit the [blank]." --model runs/masked`."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

__all__ = ["fill"]


def fill(
    text: Annotated[str, typer.Argument(help="A text with [blank] or ___ where a word is missing.")],
    model: Annotated[str, typer.Option(help="A masked model's folder or run; storyteller pretrain masked makes one.")],
    top: Annotated[int, typer.Option(min=1, max=100, help="Words for each blank.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fill the blanks of a text with a masked model."""
    from storyteller.models import locate
    from storyteller.models.masked import Filler

    blanks = Filler.open(locate(model)).fill(text, top)
    if as_json:
        print(
            json.dumps({"blanks": [[dataclasses.asdict(one) for one in blank] for blank in blanks]}, ensure_ascii=False)
        )
        return
    for number, blank in enumerate(blanks, start=1):
        shown = "  ".join(f"{one.text} ({one.probability:.1%})" for one in blank)
        print((f"{number}. " if len(blanks) > 1 else "") + (shown or "no word fits"))
