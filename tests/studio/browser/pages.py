"""A studio for a browser to look at: the real page, API and store, in this process, and a desk that follows a script."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from tests.studio.browser.talking_desk import TalkingDesk

from storyteller.studio.access import Access
from storyteller.studio.app import create_app
from storyteller.studio.built import PAGE
from storyteller.studio.jobs import Jobs
from storyteller.studio.server import listen
from storyteller.studio.settings import StudioSettings
from storyteller.studio.store import Store
from storyteller.studio.studio import Studio

__all__ = ["AXE", "chromium", "serving", "watched"]

#: WCAG 2.2 A and AA, and what axe calls good practice.
AXE = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@contextlib.contextmanager
def serving(
    folder: Path, desk: Callable[[Store], Any] = TalkingDesk, pace: float = 0.002, **parts: Any
) -> Iterator[str]:
    """The address of a running studio that keeps everything in `folder`; `parts` are parts of it that a test gives."""
    if not (PAGE / "index.html").is_file():
        pytest.skip("the page is not built; run `make page`")
    known = StudioSettings(database=f"sqlite:///{folder / 'studio.db'}", runs=folder / "runs", warm=False)
    store = Store(known.url)
    made = desk(store)
    if isinstance(made, TalkingDesk):
        made.pace = pace
    jobs = Jobs(store, known.runs, folder=folder / "jobs")
    studio = Studio(known, store, made, jobs, Access(known, store), **parts)
    config = uvicorn.Config(create_app(known, studio), log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    with listen(port=0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        studio.stop()
        server.should_exit = True
        thread.join(10)


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser: Debian's chromium, or Playwright's own."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (pip install -e .[dev])"
    )
    with playwright.sync_playwright() as started:
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        if found is None and not Path(started.chromium.executable_path).exists():
            pytest.skip("no chromium: install Debian's chromium, or run `playwright install chromium`")
        opened = started.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@contextlib.contextmanager
def watched(browser: Any, *, answered: int = 0, **options: Any) -> Iterator[Any]:
    """A page of which every error in the console and every request to elsewhere fails the test.

    What the browser itself says of an answer with the status `answered` is no error of the page's.
    """
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, "locale": "en-GB"} | options)
    page = context.new_page()
    page.set_default_timeout(30_000)  # a busy machine is no fault of the page
    faults: list[str] = []

    def known(said: str) -> bool:
        return bool(answered) and f"responded with a status of {answered}" in said

    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" and not known(line.text) else None)
    page.on("request", lambda sent: faults.append(sent.url) if not _ours(sent.url) else None)
    yield page
    context.close()
    assert not faults, faults


def _ours(address: str) -> bool:
    return address.startswith(("http://127.0.0.1:", "blob:http://127.0.0.1:"))
