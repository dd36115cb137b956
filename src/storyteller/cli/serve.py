"""`storyteller serve`: our models for other programs, as OpenAI's clients ask for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from storyteller.cli.studio import AllowHost, Host, Token, made_token

__all__ = ["serve"]


def serve(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; the next free one if it is taken, 0: any.")
    ] = 8322,
    host: Host = "127.0.0.1",
    token: Token = None,
    allow_host: AllowHost = None,
    model: Annotated[str, typer.Option(help="The model that is loaded first.")] = "default",
    runs: Annotated[Path, typer.Option(help="The folder of runs, whose models can be asked for.")] = Path("runs"),
) -> None:
    """Serve /v1/chat/completions and /v1/completions, OpenAI-compatible, without the studio."""
    from storyteller.studio.server import run_api
    from storyteller.studio.settings import StudioSettings

    settings = StudioSettings(
        host=host,
        token=made_token(token),
        hosts=tuple(allow_host or ()),
        model=model,
        runs=runs.absolute(),
        page=False,
        manuscripts=False,
    )
    run_api(settings, port)
