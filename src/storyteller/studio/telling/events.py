"""The events of one generation: numbered, kept, and followed by any number of listeners from where they left off."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

__all__ = ["Event", "EventLog", "kept_events"]

#: Its number in the stream (from 1), its name, its data.
Event = tuple[int, str, dict[str, Any]]


class EventLog:
    """Events as they happen; `close` says that none will follow. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self._wake: set[Callable[[], object]] = set()
        self.closed = False

    def add(self, name: str, data: dict[str, Any]) -> None:
        """Add an event, unless the log is closed."""
        with self._changed:
            if self.closed:
                return
            self._events.append((len(self._events) + 1, name, data))
            self._notify()

    def close(self) -> None:
        """No event follows."""
        with self._changed:
            self.closed = True
            self._notify()

    def since(self, after: int) -> list[Event]:
        """The events that came after the one with that number."""
        return self._events[max(after, 0) :]

    def follow(self, after: int = 0) -> Iterator[Event]:
        """Events as they come; blocks until the log is closed."""
        while True:
            with self._changed:
                while not self.closed and len(self._events) <= after:
                    self._changed.wait()
                events, over = self.since(after), self.closed
            yield from events
            after += len(events)
            if over and len(self._events) == after:
                return

    async def listen(self, after: int = 0) -> AsyncIterator[Event]:
        """Events as they come, for an event loop."""
        loop, come = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(come.set)

        with self._changed:
            self._wake.add(wake)
        try:
            while True:
                come.clear()
                over, events = self.closed, self.since(after)
                for event in events:
                    yield event
                after += len(events)
                if over and len(self._events) == after:
                    return
                if len(self._events) == after and not self.closed:
                    await come.wait()
        finally:
            with self._changed:
                self._wake.discard(wake)

    def _notify(self) -> None:
        self._changed.notify_all()
        for wake in list(self._wake):
            try:
                wake()
            except RuntimeError:  # the listener's loop is gone
                self._wake.discard(wake)


def kept_events(record: Mapping[str, Any], *, joined: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a generation that is over, from its record; who `joined` it before is told the end of each text alone."""
    seeds = [] if record["seed"] is None else [record["seed"]]
    if not joined:
        yield (
            "started",
            {"generation": record["id"], "model": record["model"], "seeds": seeds, "context": record["context"]},
        )
    for candidate in record["candidates"]:
        said = {"candidate": candidate["candidate"], "text": candidate["text"]}
        if not joined:
            yield "text", said
        if candidate["finish_reason"] or joined:
            reason = candidate["finish_reason"] or "failed"
            yield "candidate", {**candidate["extra"], **said, "finish_reason": reason}
    if record["status"] in ("done", "stopped"):
        yield "done", {"generation": record["id"]}
    else:
        message = record["error"] or "the server was stopped while this was written"
        yield "failed", {"message": message, "next": "Take what there is, or write it anew.", "kept": True}
