"""The models that are loaded: at most two at a time, those that were used last."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from storyteller.studio.telling.line import Line, Place, Priority
from storyteller.studio.telling.members import Members
from storyteller.studio.telling.rows import Rows

if TYPE_CHECKING:
    from storyteller.generate import Storyteller

__all__ = ["Loaded", "Tellers"]

#: Models in memory; one to write with and one that follows instructions.
MOST = 2


@dataclass(slots=True)
class Loaded:
    """A model in memory, its members if it is an ensemble, and the rows in which it remembers what it read."""

    teller: Storyteller
    rows: Rows
    members: Members = field(init=False)

    def __post_init__(self) -> None:
        self.members = Members(self.teller)

    def close(self) -> None:
        """Free both."""
        self.rows.close()
        self.teller.close()


class Tellers:
    """Loads models when they are needed, and forgets the one that rested longest when there are too many."""

    def __init__(self, load: Callable[[str], Storyteller], most: int = MOST) -> None:
        self._load, self._most = load, most
        self._loaded: dict[str, Loaded] = {}  # the last used at the end
        self._lines: dict[str, Line] = {}
        self._loading: set[str] = set()
        self._lock = threading.RLock()

    def line(self, model: str) -> Line:
        """The line before a model."""
        with self._lock:
            return self._lines.setdefault(model, Line())

    def loaded(self) -> list[str]:
        """The names of the models in memory, the last used first."""
        with self._lock:
            return list(reversed(self._loaded))

    def loading(self, model: str) -> bool:
        """Whether a model is being loaded."""
        return model in self._loading

    def get(self, model: str) -> Loaded:
        """The model with its own weights, loaded if need be; to be called in one's turn alone. Raises `ModelError`."""
        with self._lock:
            known = self._loaded.pop(model, None)
            if known is not None:
                self._loaded[model] = known
                known.members.begin()
                return known
            self._loading.add(model)
        try:
            self._make_room(model)
            teller = self._load(model)
            loaded = Loaded(teller, Rows(teller.engine))
            with self._lock:
                self._loaded[model] = loaded
            return loaded
        finally:
            with self._lock:
                self._loading.discard(model)

    def peek(self, model: str) -> Loaded | None:
        """The model if it is in memory."""
        return self._loaded.get(model)

    @contextmanager
    def turn(self, model: str, priority: Priority, place: Place | None = None) -> Iterator[Loaded]:
        """Wait for one's turn with a model, and have it for the length of the block."""
        line = self.line(model)
        place = place or line.join(priority)
        try:
            line.wait(place)
            yield self.get(model)
        finally:
            line.leave(place)

    def forget(self, model: str) -> None:
        """Free a model, because it is broken or its files changed; to be called in one's turn."""
        with self._lock:
            loaded = self._loaded.pop(model, None)
        if loaded is not None:
            loaded.close()

    def close(self) -> None:
        """Free all models."""
        with self._lock:
            names = list(self._loaded)
        for name in names:
            self.forget(name)

    def _make_room(self, coming: str) -> None:
        """Free what rested longest and is at rest; where everything is at work, there is one more for a while."""
        with self._lock:
            idle = [name for name in self._loaded if name != coming and not self.line(name).busy]
            old = idle[: max(0, len(self._loaded) + 1 - self._most)]
        for name in old:
            # Its line is taken meanwhile, so that nobody begins with a model that is being freed.
            line = self.line(name)
            place = line.join("writer")
            if line.wait(place):
                self.forget(name)
            line.leave(place)
