"""A studio in a test: the real store, jobs and guard, a desk without a model, and a client that speaks HTTP to it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient
from tests.studio.fake_desk import FakeDesk

from storyteller.studio.access import Access
from storyteller.studio.app import create_app
from storyteller.studio.jobs import Jobs
from storyteller.studio.settings import StudioSettings
from storyteller.studio.store import Store
from storyteller.studio.studio import Studio

__all__ = ["HERE", "events_of", "open_page", "project_of"]

HERE = "http://127.0.0.1"


@contextlib.contextmanager
def open_page(folder: Path, desk: Callable[[Store], Any] = FakeDesk, **settings: Any) -> Iterator[TestClient]:
    """A client of a studio that keeps its things in `folder`; `client.app.state.studio` is the studio."""
    known = StudioSettings(database=f"sqlite:///{folder / 'studio.db'}", runs=folder / "runs", **settings)
    store = Store(known.url)
    jobs = Jobs(store, known.runs, folder=folder / "jobs")
    studio = Studio(known, store, desk(store), jobs, Access(known, store))
    with TestClient(create_app(known, studio), base_url=HERE) as client:
        yield client


def project_of(client: TestClient, **fields: Any) -> tuple[str, str]:
    """The ids of a new project and of its first scene."""
    made = client.post("/api/projects", json={"title": "Seals", "language": "en", **fields}).json()
    return made["id"], next(item["id"] for item in made["tree"] if item["kind"] == "scene")


def events_of(text: str) -> list[tuple[int, str, Any]]:
    """The events of a stream: number, name, data."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if lines:
            found.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return found
