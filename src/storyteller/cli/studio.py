"""`storyteller studio`: the studio on this machine, in the browser."""

from __future__ import annotations

import getpass
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["studio"]

Host = Annotated[
    str, typer.Option(help="The address to listen on; others than this machine need --token or --accounts.")
]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="STORYTELLER_TOKEN", metavar="TOKEN|new", help="The secret that every caller shows; new: make one."
    ),
]
AllowHost = Annotated[list[str] | None, typer.Option(metavar="NAME", help="A name of this server; may be repeated.")]


def studio(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; the next free one if it is taken, 0: any.")
    ] = 8321,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the browser.")] = False,
    host: Host = "127.0.0.1",
    token: Token = None,
    accounts: Annotated[bool, typer.Option("--accounts", help="A name and a password for each writer.")] = False,
    add_user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Make an account (the password is asked for), and end.")
    ] = None,
    allow_host: AllowHost = None,
    database: Annotated[
        str | None, typer.Option(metavar="URL", help="sqlite:///FILE or postgresql+psycopg://…; default: in your home.")
    ] = None,
    model: Annotated[str, typer.Option(help="The model that writes unless another is chosen.")] = "default",
    runs: Annotated[Path, typer.Option(help="The folder of runs: what is trained goes there.")] = Path("runs"),
) -> None:
    """Open the studio: write, plan, train; everything stays on this machine."""
    from storyteller.studio.server import run_studio
    from storyteller.studio.settings import StudioSettings

    settings = StudioSettings(
        host=host,
        token=made_token(token),
        accounts=accounts,
        hosts=tuple(allow_host or ()),
        database=database,
        model=model,
        runs=runs.absolute(),
    )
    if add_user is not None:
        _add_user(settings.url, add_user)
        return
    run_studio(settings, port, browser=not no_browser)


def made_token(token: str | None) -> str | None:
    """The token as it was given, or a new one, which is told."""
    if token != "new":
        return token or None
    token = secrets.token_urlsafe(24)
    print(f"The token: {token}", file=sys.stderr)
    return token


def _add_user(url: str, name: str) -> None:
    from storyteller.studio.access import add_user
    from storyteller.studio.store import Store

    password = getpass.getpass(f"Password for {name}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    store = Store(url)
    try:
        add_user(store, name, password)
    finally:
        store.close()
    print(f"{name} can log in. Start the studio with --accounts.")
