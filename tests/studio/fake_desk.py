"""A desk without a model: it writes what it is told, word by word, and keeps it as the real one does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from storyteller.errors import ModelError
from storyteller.generate.writing import Alternative, Token
from storyteller.studio.errors import NotFoundError
from storyteller.studio.store import Store

__all__ = ["WORDS", "FakeDesk"]

WORDS = ["The", " keeper", " found", " a", " seal", "."]

Event = tuple[int, str, Any]


class FakeDesk:
    """What the API asks of a desk."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.asked: list[Any] = []
        self.stopped: list[str] = []
        self.closed = False
        self._events: dict[str, list[Event]] = {}

    def load(self, model: str) -> None:
        self.asked.append(("load", model))

    def loaded(self) -> list[str]:
        return ["default"]

    def status(self, model: str | None = None) -> dict[str, Any]:
        return {"name": model or "default", "loaded": True, "loading": False}

    def start(self, scene: str, wish: dict[str, Any], user: str = "") -> str:
        self.asked.append((scene, wish, user))
        writer = self.store.writer(user)
        head = writer.scene(scene)["head"]
        made = writer.create_generation(scene, wish["mode"], wish.get("at", 0), head, model="default", seed=1)
        generation = made["id"] if isinstance(made, dict) else made
        writer.append(generation, [(0, word, []) for word in WORDS])
        events: list[tuple[str, Any]] = [("started", {"generation": generation, "model": "default"})]
        events += [("text", {"candidate": 0, "text": word}) for word in WORDS]
        events += [("done", {"generation": generation})]
        self._events[generation] = [(number, *event) for number, event in enumerate(events, 1)]
        return str(generation)

    async def events(self, generation: str, after: int = 0, user: str = "") -> AsyncIterator[Event]:
        if generation not in self._events:
            raise NotFoundError(f"there is no running generation {generation!r}.")
        for event in self._events[generation]:
            if event[0] > after:
                yield event

    def set_weights(self, project: str, model: str, weights: dict[str, float]) -> None:
        """There is nobody to weigh."""

    def stop(self, generation: str) -> None:
        self.stopped.append(generation)

    def context(self, scene: str, wish: dict[str, Any], user: str = "") -> dict[str, Any]:
        return {
            "parts": [{"name": "memory", "text": "Rain.", "tokens": 2, "why": "always"}],
            "tokens": 2,
            "limit": 2048,
        }

    async def plan(self, project: str, part: str, wish: dict[str, Any], user: str = "") -> AsyncIterator[Event]:
        yield 1, "plan", {"candidate": 0, "value": part, "score": 0.5, "why": "shortest"}
        yield 2, "done", {}

    async def draft(self, project: str, wish: dict[str, Any], user: str = "") -> AsyncIterator[Event]:
        yield 1, "beat", {"id": "b1"}
        yield 2, "done", {"generation": "g"}

    async def chat(self, project: str, said: dict[str, Any], user: str = "") -> AsyncIterator[Event]:
        yield 1, "text", {"candidate": 0, "text": "海豹说。"}
        yield 2, "done", {}

    async def complete(self, prompt: Any, *, model: str, max_tokens: int, n: int = 1, **asked: Any) -> Any:
        self.asked.append((prompt, model, max_tokens, asked))
        if model == "smollm2-135m-instruct":
            raise ModelError("the model is broken. Choose another.")
        for candidate in range(n):
            for number, word in enumerate(WORDS[:max_tokens]):
                other = Alternative("X", 9, 0.25)
                yield (
                    candidate,
                    Token(word, number, -0.5, (Alternative(word, number, 0.6), other)[: asked["top_logprobs"]]),
                )
            yield candidate, "length" if max_tokens < len(WORDS) else "stop"

    async def count(self, prompt: Any, *, model: str) -> int:
        return 7

    def close(self) -> None:
        self.closed = True
