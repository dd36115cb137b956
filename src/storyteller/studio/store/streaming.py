"""A model's words on their way to disk, never more than half a second behind what the writer sees."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from storyteller.studio.errors import StudioError

if TYPE_CHECKING:
    from storyteller.studio.store.generations import Generations

__all__ = ["Streaming"]

_SECONDS = 0.35


class Streaming:
    """Gathers what candidates gain and appends it by a thread of its own; leaving the block writes the rest.

    A full disk does not stop the model: the words wait here, are tried again, and the last error is raised at the end.
    """

    def __init__(self, writer: Generations, generation: str) -> None:
        self._writer, self._generation = writer, generation
        self._waiting: dict[int, tuple[list[str], list[Mapping[str, Any]]]] = {}
        self._lock, self._flushing, self._over = threading.Lock(), threading.Lock(), threading.Event()
        self.error: StudioError | None = None
        self._thread = threading.Thread(target=self._run, name=f"stream {generation}", daemon=True)

    def add(self, candidate: int, text: str, token: Mapping[str, Any] | None = None) -> None:
        """Take more of a candidate's text, and the token that it came with."""
        with self._lock:
            texts, tokens = self._waiting.setdefault(candidate, ([], []))
            texts.append(text)
            if token is not None:
                tokens.append(token)

    def flush(self) -> None:
        """Write what is waiting; on an error it waits on, and `error` says why."""
        with self._flushing:
            with self._lock:
                waiting, self._waiting = self._waiting, {}
            if not waiting:
                return
            pieces = [(number, "".join(texts), tokens) for number, (texts, tokens) in waiting.items()]
            try:
                self._writer.append(self._generation, pieces)
                self.error = None
            except StudioError as error:
                self.error = error
                with self._lock:
                    for number, (texts, tokens) in waiting.items():
                        later = self._waiting.get(number, ([], []))
                        self._waiting[number] = (texts + later[0], tokens + later[1])

    def __enter__(self) -> Streaming:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self.flush()
        if self.error is not None and error is None:
            raise self.error

    def _run(self) -> None:
        while not self._over.wait(_SECONDS):
            self.flush()
