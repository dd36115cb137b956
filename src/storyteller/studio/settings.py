"""How a studio is started: where it keeps things, who may reach it, and what it writes with."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from storyteller.runs.home import home
from storyteller.studio.errors import StudioError

__all__ = ["LOOPBACK", "StudioSettings"]

LOOPBACK = "127.0.0.1"

#: A shorter one could be guessed by whoever may ask a few thousand times a second.
_SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True)
class StudioSettings:
    """What a studio is told at its start.

    `database` is an address of SQLAlchemy; without one the manuscripts lie in `<home>/studio/studio.db`. `token` is the
    secret that every caller has to show; with `accounts` each writer has a name and a password instead, and sees only
    what is theirs. `hosts` are further names under which browsers reach the studio. Without `page` the studio is the
    API alone, without `manuscripts` only `/v1`.
    """

    host: str = LOOPBACK
    token: str | None = field(default=None, repr=False)
    accounts: bool = False
    hosts: tuple[str, ...] = ()
    database: str | None = None
    model: str = "default"
    runs: Path = Path("runs")
    page: bool = True
    manuscripts: bool = True
    warm: bool = True

    def check(self) -> None:
        """Raise `StudioError` for an address that strangers can reach while nothing keeps them out."""
        if self.token is not None and (len(self.token) < _SHORTEST_TOKEN or not self.token.isascii()):
            raise StudioError(
                f"the token is too easily guessed: it must have {_SHORTEST_TOKEN} letters and digits or more. "
                "Let one be made: --token new"
            )
        if not (self.loopback or self.token or self.accounts):
            raise StudioError(
                f"{self.host} can be reached by others on the network, and nothing would keep them out. Add --token new "
                "(one secret for all who may use it) or --accounts (a name and a password each), or leave --host away: "
                "the studio is then open to this machine alone."
            )

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def local(self) -> bool:
        """Whether who uses it is who runs it, and may name files of this machine."""
        return self.loopback and not self.accounts

    @property
    def url(self) -> str:
        """The address of the database."""
        if self.database is not None:
            return self.database
        return f"sqlite:///{home() / 'studio' / 'studio.db'}"

    @property
    def lock(self) -> Path:
        """The file that is held while a studio runs on this database."""
        path = self.url.partition("sqlite:///")[2].partition("?")[0]
        if path and path != ":memory:":
            return Path(path).absolute().with_suffix(".lock")
        return home() / "studio" / f"{hashlib.sha256(self.url.encode()).hexdigest()[:16]}.lock"
