"""A scripted desk that also plans, drafts and talks, and says what it saw."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from tests.studio.browser.scripted_desk import Event, ScriptedDesk

__all__ = ["TalkingDesk"]

PLANS: dict[str, list[Any]] = {
    "premise": ["A keeper gives back what was taken.", "A seal asks for a door."],
    "people": [[{"name": "Mara", "who": "keeps the light"}], [{"name": "Odo", "who": "mends clocks"}]],
    "outline": [
        [
            {"id": "o1", "title": "Dusk", "beats": [{"id": "b1", "text": "The seal speaks.", "words": 40}]},
            {"id": "o2", "title": "Dawn", "beats": [{"id": "b2", "text": "The key fits.", "words": 40}]},
        ]
    ],
    "beats": [[{"id": "b9", "text": "She counts the stairs.", "words": 40}]],
}


class TalkingDesk(ScriptedDesk):
    """What the panels ask of a desk."""

    def context(self, scene: str, wish: dict[str, Any], user: str = "") -> dict[str, Any]:
        parts = [
            {"name": "instruction", "text": "Write a story.", "tokens": 4, "why": None},
            {"name": "entry", "text": "Mara keeps the light.", "tokens": 6, "why": "Mara"},
        ]
        return {"parts": parts, "tokens": 10, "limit": 2048}

    async def plan(self, project: str, part: str, wish: dict[str, Any], user: str = "") -> AsyncIterator[Event]:
        for place, value in enumerate(PLANS[part]):
            yield place + 1, "plan", {"candidate": place, "value": value, "score": 0.5 - place / 10, "why": "names"}
        yield 9, "done", {}

    async def draft(self, project: str, wish: dict[str, Any], user: str = "") -> AsyncIterator[Event]:
        writer = self.store.writer(user)
        number = 0
        for section in writer.plan(project)["outline"]:
            for beat in section["beats"]:
                number += 1
                yield number, "beat", {"id": beat["id"]}
                told = {"mode": "continue", "at": len(writer.scene(wish["scene"])["text"])}
                async for _, name, data in self.events(self.start(wish["scene"], told, user)):
                    number += 1
                    last = name == "done"
                    if not last:
                        yield number, name, data
        yield number + 1, "done", {"generation": "draft"}

    async def chat(self, project: str, said: dict[str, Any], user: str = "") -> AsyncIterator[Event]:
        writer = self.store.writer(user)
        writer.add_message(project, "person", said["text"], said.get("character"))
        for number, word in enumerate(["I ", "came ", "for ", "the ", "key."], 1):
            yield number, "text", {"candidate": 0, "text": word}
        role = "character" if said.get("character") else "storyteller"
        writer.add_message(project, role, "I came for the key.", said.get("character"))
        yield 9, "done", {}
