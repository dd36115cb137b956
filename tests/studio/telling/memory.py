"""A store in memory: what the desk needs of the real one, for tests that are about the desk."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from storyteller.studio.errors import NotFoundError

__all__ = ["MemoryStore"]


class MemoryStore:
    """One writer, one project, one scene; `broken` makes every writing of text fail, as a full disk does."""

    def __init__(self, text: str = "", language: str = "en", form: str = "story") -> None:
        self.text, self.head, self.broken = text, "n1", False
        self.kept: dict[str, dict[str, Any]] = {}
        self.lines: list[dict[str, Any]] = []
        self.connections: dict[str, dict[str, Any]] = {}
        self.entry_list: list[dict[str, Any]] = []
        self.plan_record: dict[str, Any] = {}
        self.own: dict[str, Any] = {}
        scene = {"id": "s", "kind": "scene", "parent": None, "title": "", "position": 0, "words": 1, "form": None}
        self._project = {
            "id": "p", "title": "The Lamp", "language": language, "form": form, "idea": "A keeper finds a seal.", "theme": "",
            "plot": "", "words": None, "age": None, "memory": "", "note": "", "note_depth": 3, "settings": {}, "tree": [scene],
        }  # fmt: skip
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def writer(self, owner: str = "") -> MemoryStore:
        return self

    def project(self, project: str) -> dict[str, Any]:
        return self._project

    def scene(self, scene: str) -> dict[str, Any]:
        if scene != "s":
            raise NotFoundError("no such scene")
        kept = {"id": "s", "project": "p", "text": self.text, "head": self.head, "provenance": []}
        return kept | {name: self._project[name] for name in ("language", "form")}

    def entries(self, project: str) -> list[dict[str, Any]]:
        return self.entry_list

    def plan(self, project: str) -> dict[str, Any]:
        return self.plan_record

    def save_plan(self, project: str, plan: dict[str, Any]) -> None:
        self.plan_record = plan

    def settings(self) -> dict[str, Any]:
        return self.own

    def messages(self, project: str) -> list[dict[str, Any]]:
        return self.lines

    def add_message(self, project: str, role: str, text: str, character: str | None = None) -> None:
        self.lines.append({"role": role, "text": text, "character": character})

    def connection(self, name: str) -> dict[str, Any]:
        return self.connections[name]

    def connection_key(self, name: str) -> str:
        return str(self.connections[name].get("key", ""))

    def create_generation(self, scene: str, mode: str, at: int, base: str, **more: Any) -> dict[str, Any]:
        with self._lock:
            record = {"id": f"g{next(self._numbers)}", "scene": scene, "mode": mode, "at": at, "base": base, **more}
            record |= {"status": "queued", "error": None, "context": {}, "candidates": []}
            self.kept[record["id"]] = record
            return record

    def update_generation(self, generation: str, changes: Mapping[str, Any]) -> None:
        self.kept[generation] |= dict(changes)

    def append(self, generation: str, pieces: Sequence[tuple[int, str, Sequence[Mapping[str, Any]]]]) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")
        for number, text, tokens in pieces:
            candidate = self._candidate(generation, number)
            candidate["text"] += text
            candidate["tokens"] += tokens

    def finish_candidate(
        self, generation: str, candidate: int, finish_reason: str, extra: Mapping[str, Any] | None = None
    ) -> None:
        self._candidate(generation, candidate).update(finish_reason=finish_reason, extra=dict(extra or {}))

    def generation(self, generation: str) -> dict[str, Any]:
        if generation not in self.kept:
            raise NotFoundError("no such generation")
        return self.kept[generation]

    def _candidate(self, generation: str, number: int) -> dict[str, Any]:
        candidates = self.kept[generation]["candidates"]
        while len(candidates) <= number:
            candidates.append(
                {"candidate": len(candidates), "text": "", "finish_reason": None, "tokens": [], "extra": {}}
            )
        found: dict[str, Any] = candidates[number]
        return found
