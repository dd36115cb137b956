"""A desk whose model says what the test wrote: at a set pace, with tokens, alternatives and members, and it can be stopped."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar

from storyteller.studio.store import Store

__all__ = ["ScriptedDesk"]

Event = tuple[int, str, Any]

#: What the model says, by language; each generation begins at another place, so that no two are alike.
SAYINGS = {
    "en": " The keeper put down his lamp. The seal looked at him and said nothing. Rain ran down the glass. "
    "He asked her name twice, and the third time she told him. Outside the sea went on with its work.",
    "zh": "守塔人放下了灯。海豹看着他，什么也没说。雨水顺着玻璃往下流。他问了两遍她的名字，第三遍她才告诉他。"
    "外面，大海照旧忙它的。",
}


class ScriptedDesk:
    """What the API asks of a desk; `pace` is the pause between two tokens in seconds, `extra` what an end also says."""

    extra: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, store: Store, pace: float = 0.01) -> None:
        self.store, self.pace = store, pace
        self.count = 0
        self.wishes: list[dict[str, Any]] = []
        self._logs: dict[str, list[Event]] = {}
        self._stopped: set[str] = set()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def load(self, model: str) -> None:
        """There is nothing to load."""

    def loaded(self) -> list[str]:
        return ["default"]

    def status(self, model: str | None = None) -> dict[str, Any]:
        return {"name": model or "default", "loaded": True, "loading": False}

    def start(self, scene: str, wish: dict[str, Any], user: str = "") -> str:
        self.wishes.append(wish)
        writer = self.store.writer(user)
        known = writer.scene(scene)
        at = wish.get("at", 0)
        made = writer.create_generation(
            scene, wish["mode"], at, known["head"], end=wish.get("end"), model="default", seed=self.count, request=wish
        )
        generation = str(made["id"])
        self._logs[generation] = []
        texts = [self._text(wish, known["language"], writer) for _ in range(wish.get("n", 1))]
        self._pending = (generation, wish, texts, writer)
        return generation

    async def events(self, generation: str, after: int = 0, user: str = "") -> AsyncIterator[Event]:
        if generation not in self._running:
            _, wish, texts, writer = self._pending
            self._running[generation] = asyncio.create_task(self._write(generation, wish, texts, writer))
        log = self._logs[generation]
        while True:
            while after < len(log):
                yield log[after]
                after += 1
                if log[after - 1][1] in ("done", "failed"):
                    return
            await asyncio.sleep(0.005)

    def set_weights(self, project: str, model: str, weights: dict[str, float]) -> None:
        """There is nobody to weigh."""

    def stop(self, generation: str) -> None:
        self._stopped.add(generation)

    def context(self, scene: str, wish: dict[str, Any], user: str = "") -> dict[str, Any]:
        return {"parts": [], "tokens": 0, "limit": 2048}

    def close(self) -> None:
        self._stopped |= set(self._logs)

    def _text(self, wish: dict[str, Any], language: str, writer: Any) -> list[str]:
        """The tokens of one candidate."""
        self.count += 1
        saying = SAYINGS["zh" if language == "zh" else "en"]
        if origin := wish.get("from"):
            said = writer.generation(origin["generation"])["candidates"][origin["candidate"]]["tokens"]
            chosen = said[origin["token"]]["alternatives"][origin["choice"]]["text"]
            return [*(one["text"] for one in said[: origin["token"]]), chosen, *_tokens(saying)[:6]]
        if wish["mode"] == "ghost":
            return _tokens(saying)[:5]
        if wish["mode"] == "rewrite":
            return _tokens(saying.strip())[: 6 + self.count]
        tokens = _tokens(saying)
        return tokens if wish["mode"] == "begin" else [*tokens[:1], f" ({self.count})", *tokens[1:]]

    async def _write(self, generation: str, wish: dict[str, Any], texts: list[list[str]], writer: Any) -> None:
        def say(name: str, data: Any) -> None:
            self._logs[generation].append((len(self._logs[generation]) + 1, name, data))

        keep = asyncio.to_thread
        say("started", {"generation": generation, "model": "default", "seeds": [1], "context": self.context("", {})})
        writer.update_generation(generation, {"status": "running"})
        for place in range(max(map(len, texts))):
            pieces = []
            for candidate, tokens in enumerate(texts):
                if place >= len(tokens):
                    continue
                token = self.weighed(tokens[place], place)
                say("text", {"candidate": candidate, "text": tokens[place], "token": token})
                pieces.append((candidate, tokens[place], [{**token, "text": tokens[place]}]))
            await keep(writer.append, generation, pieces)
            await asyncio.sleep(self.pace)
            if generation in self._stopped:
                break
        stopped = generation in self._stopped
        for candidate, tokens in enumerate(texts):
            text = "".join(tokens[: place + 1])
            reason = "cancelled" if stopped else "stop"
            writer.finish_candidate(generation, candidate, reason, self.extra)
            told = {"candidate": candidate, "finish_reason": reason, "text": text, "words": len(text.split())}
            say("candidate", {**told, **self.extra})
        writer.update_generation(generation, {"status": "stopped" if stopped else "done"})
        say("done", {"generation": generation})

    def weighed(self, token: str, place: int) -> dict[str, Any]:
        """A token with two others that were possible; two members of an ensemble do not agree on them."""
        others = [" gull", " moon"] if token.isascii() else ["月亮", "海鸥"]
        alternatives = [
            {"text": token, "p": 0.6, "members": {"sea": 0.8, "town": 0.4}},
            {"text": others[0], "p": 0.3, "members": {"sea": 0.1, "town": 0.5}},
            {"text": others[1], "p": 0.05, "members": {}},
        ]
        return {"id": place, "logprob": -0.5, "alternatives": alternatives, "members": {}}


def _tokens(text: str) -> list[str]:
    return re.findall(r"\s*[A-Za-z]+|\s*[^\sA-Za-z]", text)
