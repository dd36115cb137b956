"""What a running studio is made of, and how a request finds its own writer's part of it."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request

from storyteller.studio.access import Access
from storyteller.studio.jobs import Jobs
from storyteller.studio.numbers import Numbers
from storyteller.studio.quality import Quality
from storyteller.studio.settings import StudioSettings
from storyteller.studio.store import Store, Writer

if TYPE_CHECKING:
    from storyteller.studio.telling import Desk

__all__ = ["At", "Kept", "Studio", "User", "open_studio"]


@dataclass(slots=True)
class Studio:
    """The store that keeps, the desk that writes, the jobs that train, and who may use them."""

    settings: StudioSettings
    store: Store
    desk: Desk
    jobs: Jobs
    access: Access
    quality: Quality = field(default_factory=Quality)
    numbers: Numbers = field(default_factory=Numbers)
    closing: threading.Event = field(default_factory=threading.Event)
    pulls: dict[str, asyncio.Task[Any]] = field(default_factory=dict)

    def stop(self) -> None:
        """Let the streams end: what is being written is kept, a training goes on by itself."""
        if not self.closing.is_set():
            self.closing.set()
            self.desk.close()

    def close(self) -> None:
        """Stop, and close the store."""
        self.stop()
        self.jobs.close()
        self.quality.close()
        self.numbers.close()
        self.store.close()


def open_studio(settings: StudioSettings) -> Studio:
    """Open the database and put the parts together; `StudioError` when it cannot be opened."""
    from storyteller.studio.telling import Desk

    settings.lock.parent.mkdir(parents=True, exist_ok=True)
    store = Store(settings.url)
    store.recover()
    return Studio(settings, store, Desk(store), Jobs(store, settings.runs), Access(settings, store))


async def _studio(request: Request) -> Studio:
    studio: Studio = request.app.state.studio
    return studio


async def _user(request: Request) -> str:
    return str(request.state.user or "")


async def _kept(request: Request) -> Writer:
    studio: Studio = request.app.state.studio
    return studio.store.writer(str(request.state.user or ""))


At = Annotated[Studio, Depends(_studio)]
User = Annotated[str, Depends(_user)]
Kept = Annotated[Writer, Depends(_kept)]
