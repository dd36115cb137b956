"""Server-sent events: numbered, with a heartbeat, from an iterator that may block."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi.responses import StreamingResponse

from storyteller.errors import StorytellerError
from storyteller.studio.answers import message_of, split_message

__all__ = ["Event", "event_stream", "frame", "in_thread", "sse_responses"]

_log = logging.getLogger(__name__)

#: Its number in the stream, its name, and its data.
Event = tuple[int, str, Any]

#: Proxies and browsers close a connection on which nothing has come for 30 to 60 seconds.
HEARTBEAT = 10.0

_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
_Item = TypeVar("_Item")


def event_stream(events: AsyncIterator[Event]) -> StreamingResponse:
    """The answer that sends `events` until they end; an error in them becomes a last event `failed`."""
    return StreamingResponse(_frames(events), media_type="text/event-stream", headers=_HEADERS)


def frame(number: int, name: str, data: Any) -> bytes:
    """One event on the wire; JSON has no line break outside its strings, so its data is one line."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"id: {number}\nevent: {name}\ndata: {text}\n\n".encode()


async def in_thread(items: Iterator[_Item], limiter: CapacityLimiter | None = None) -> AsyncIterator[_Item]:
    """The items of an iterator that blocks, each waited for in a thread that no other request needs."""
    end = object()
    limiter = limiter or CapacityLimiter(1)
    while True:
        item = await to_thread.run_sync(next, items, end, limiter=limiter, abandon_on_cancel=True)
        if item is end:
            return
        yield item  # type: ignore[misc]


def sse_responses(*names: str) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of a stream: its media type and the names of its events."""
    about = f"Server-sent events, each with `id` (a running number), `event` ({', '.join(names)}) and `data` (JSON)."
    example = f'id: 1\nevent: {names[0]}\ndata: {{"…": "…"}}\n\n'
    return {
        200: {
            "description": about,
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": example}},
        }
    }


async def _frames(events: AsyncIterator[Event]) -> AsyncIterator[bytes]:
    last = 0
    coming = asyncio.ensure_future(anext(events))
    try:
        while True:
            done, _ = await asyncio.wait({coming}, timeout=HEARTBEAT)
            if not done:
                yield b": still here\n\n"
                continue
            try:
                last, name, data = coming.result()
            except StopAsyncIteration:
                return
            except Exception as error:
                if not isinstance(error, StorytellerError | OSError):
                    _log.error("a stream broke off", exc_info=error)
                message, then = split_message(message_of(error))
                yield frame(last + 1, "failed", {"message": message, "next": then, "kept": True})
                return
            yield frame(last, name, data)
            coming = asyncio.ensure_future(anext(events))
    finally:
        coming.cancel()
