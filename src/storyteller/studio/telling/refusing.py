"""What no model writes here, whatever the settings are, and what a writer wants to be told of; see `craft.safety`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from storyteller.craft.safety import Setting, check, explain
from storyteller.errors import GenerationError

__all__ = ["Heard", "Watch", "refuse", "told_of"]

_TAIL = 600  # characters before the newest word that can make a finding of it


def refuse(texts: Iterable[str | None]) -> None:
    """Raise `GenerationError` when what a model would be asked holds what is always refused."""
    for one in check("\n\n".join(text for text in texts if text), setting="off"):
        raise GenerationError(f"{explain(one, 'en')} Nothing was sent to the model; take these words out to go on.")


def told_of(project: Mapping[str, Any], plan: Mapping[str, Any]) -> Iterator[str]:
    """What a project and its plan say to a model that plans or drafts."""
    for name in ("idea", "plot", "theme", "memory", "note"):
        yield str(project[name])
    for name in ("premise", "summary"):
        yield str(plan.get(name) or "")
    for person in plan.get("people") or ():
        yield f"{person.get('name') or ''}: {person.get('who') or ''}"
    for section in plan.get("outline") or ():
        yield str(section.get("title") or "")
        yield from (str(beat.get("text") or "") for beat in section.get("beats") or ())


class Heard:
    """What the candidates of an answer have said; a model that begins on what is always refused is interrupted."""

    def __init__(self) -> None:
        self._said: dict[int, str] = {}

    def add(self, candidate: int, text: str) -> None:
        """Hear more of a candidate; raises `GenerationError` when it must not be passed on."""
        before = self._said.get(candidate, "")
        if Watch().stops(before, text):
            raise GenerationError("what the model began to write is never written here. Ask for something else.")
        self._said[candidate] = (before + text)[-_TAIL:]


@dataclass(frozen=True, slots=True)
class Watch:
    """An eye on what a model writes for a reader of `age`, by the writer's setting."""

    setting: Setting = "off"
    age: int | None = None

    def stops(self, before: str, text: str) -> bool:
        """Whether what comes now is always refused, after what came before."""
        return bool(text) and bool(check(before[-_TAIL:] + text, setting="off"))

    def findings(self, text: str) -> list[dict[str, Any]]:
        """What a writer who asked for it is told of a candidate, with the reason in both languages."""
        if self.setting == "off":
            return []
        return [
            {
                "category": one.category,
                "words": one.words,
                "start": one.start,
                "end": one.end,
                "action": one.action,
                "why": {"en": explain(one, "en", self.age), "zh": explain(one, "zh", self.age)},
            }
            for one in check(text, setting=self.setting, age=self.age)
        ]
