"""The line before a model: one at a time, the writer's own requests first, and nobody waits for ghost text."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Line", "Place", "Priority"]

Priority = Literal["writer", "plan", "chat", "ghost"]
_RANKS: dict[Priority, int] = {"writer": 0, "plan": 1, "chat": 2, "ghost": 3}


@dataclass(eq=False)
class Place:
    """Somebody's place; `moved(position)` is told how many are before it, `dropped()` that it has to go."""

    priority: Priority
    number: int
    moved: Callable[[int], None] = lambda _: None
    dropped: Callable[[], None] = lambda: None
    gone: bool = field(default=False)
    waits: bool = field(default=True)


class Line:
    """Who waits for a model and who has it. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[Place] = []
        self._first: Place | None = None
        self._numbers = itertools.count()

    def join(
        self,
        priority: Priority,
        moved: Callable[[int], None] = lambda _: None,
        dropped: Callable[[], None] = lambda: None,
    ) -> Place:
        """Stand in the line; whatever ghost waits or is at work is dropped."""
        place = Place(priority, next(self._numbers), moved, dropped)
        with self._changed:
            ghosts = [other for other in [*self._waiting, self._first] if other and other.priority == "ghost"]
            self._waiting.append(place)
            self._waiting.sort(key=lambda one: (_RANKS[one.priority], one.number))
            self._tell()
        for ghost in ghosts:
            ghost.dropped()
        return place

    def wait(self, place: Place) -> bool:
        """Wait for one's turn; False when one was taken out of the line meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: place.gone or (self._first is None and self._waiting[0] is place))
            if place.gone:
                return False
            self._waiting.remove(place)
            self._first, place.waits = place, False
            self._tell()
            return True

    def leave(self, place: Place) -> None:
        """End one's turn, or leave the line before it came."""
        with self._changed:
            if self._first is place:
                self._first = None
            elif place in self._waiting:
                self._waiting.remove(place)
            place.gone = True
            self._tell()
            self._changed.notify_all()

    @property
    def busy(self) -> bool:
        """Whether somebody is at work or waits."""
        return self._first is not None or bool(self._waiting)

    @property
    def awaited(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting)

    def _tell(self) -> None:
        for position, place in enumerate(self._waiting, int(self._first is not None)):
            place.moved(position)
