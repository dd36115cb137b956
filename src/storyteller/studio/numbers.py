"""The two numbers of a passage, on demand: their model is loaded when somebody first asks, and let go when nobody does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING

from storyteller.corpus.story import Language
from storyteller.studio.errors import StudioError

if TYPE_CHECKING:
    from storyteller.evaluate.passage import Passage, PassageReader

__all__ = ["Numbers"]

#: Seconds after which a model that nobody asked is let go: it takes 300 MB beside the one that writes.
_IDLE = 600.0
#: Seconds between two looks whether the page still waits.
_LOOK = 0.2


class Numbers:
    """Reads passages in a thread of its own, one after another; `load` makes the reader."""

    def __init__(self, load: Callable[[], PassageReader] | None = None, idle: float = _IDLE) -> None:
        self._load, self._idle = load or _shipped, idle
        self._reading = ThreadPoolExecutor(max_workers=1, thread_name_prefix="numbers")
        self._reader: PassageReader | None = None
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    @property
    def loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._reader is not None

    async def of(self, text: str, language: Language, gone: Callable[[], Awaitable[bool]]) -> Passage:
        """The numbers of a passage; `gone` says that nobody waits for them any more, and then they are not read.

        Raises `StudioError` when nobody does, `ModelError` when there is no model to read with.
        """
        from storyteller.evaluate.passage import refusal

        if (refused := refusal(text, language)) is not None:
            return refused
        left = threading.Event()
        asked = self._reading.submit(self._tell, text, language, lambda: not left.is_set())
        waiting = asyncio.wrap_future(asked)
        try:
            while not (await asyncio.wait({waiting}, timeout=_LOOK))[0]:
                if await gone():
                    raise StudioError("nobody waits for these numbers any more. Ask again for the text as it is now.")
            return waiting.result()
        except CancelledError as error:
            raise StudioError("the studio is closing. Start it again.") from error
        finally:
            left.set()
            waiting.cancel()  # what has not begun never begins

    def close(self) -> None:
        """Read nothing more, and let the model go."""
        self._reading.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._reader = None

    def _tell(self, text: str, language: Language, going_on: Callable[[], bool]) -> Passage:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._reader is None:
                self._reader = self._load()
            reader = self._reader
        try:
            return reader.tell(text, language, going_on)
        finally:
            with self._lock:
                self._timer = threading.Timer(self._idle, self._let_go)
                self._timer.daemon = True
                self._timer.start()

    def _let_go(self) -> None:
        with self._lock:
            self._reader = None


def _shipped() -> PassageReader:
    from storyteller.evaluate.passage import PassageReader

    return PassageReader.load()
