"""A studio in a process of its own, so that a test can kill it: `python -m tests.studio.browser.serve FOLDER PORT PACE`."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from tests.studio.browser.scripted_desk import ScriptedDesk

from storyteller.studio.access import Access
from storyteller.studio.app import create_app
from storyteller.studio.jobs import Jobs
from storyteller.studio.settings import StudioSettings
from storyteller.studio.store import Store
from storyteller.studio.studio import Studio


def main(folder: Path, port: int, pace: float) -> None:
    """Serve until killed."""
    known = StudioSettings(database=f"sqlite:///{folder / 'studio.db'}", runs=folder / "runs", warm=False)
    store = Store(known.url)
    store.recover()
    jobs = Jobs(store, known.runs, folder=folder / "jobs")
    studio = Studio(known, store, ScriptedDesk(store, pace), jobs, Access(known, store))  # type: ignore[arg-type]
    uvicorn.run(create_app(known, studio), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
