"""A book: what readers of files hand over and writers of files take. Plain data, no import of anything heavy.

The manuscript of a scene is a plain string: a line is a paragraph, emphasis is Markdown's `*so*` and `**so**`. A screenplay's
scene is Fountain, literally. Text stands in scenes (and in notes); chapters only hold them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from storyteller.corpus.story import Form, Language

__all__ = ["Alternative", "Book", "Entry", "EntryKind", "Part", "PartKind"]

PartKind = Literal["chapter", "scene", "note"]
EntryKind = Literal["person", "place", "thing", "other"]


@dataclass(slots=True)
class Part:
    """A chapter, a scene or a note. `form` is the scene's own, `None` for that of the book."""

    kind: PartKind
    title: str = ""
    text: str = ""
    parts: list[Part] = field(default_factory=list)
    form: Form | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def walk(self) -> Iterator[Part]:
        """The part itself and everything in it, in reading order."""
        waiting = [self]
        while waiting:
            part = waiting.pop()
            yield part
            waiting.extend(reversed(part.parts))


@dataclass(slots=True)
class Entry:
    """Something that a story must remember: it fires when its name or an alias is read, unless a word of `avoid` is."""

    kind: EntryKind = "other"
    name: str = ""
    aliases: list[str] = field(default_factory=list)
    avoid: list[str] = field(default_factory=list)
    text: str = ""
    always: bool = False
    enabled: bool = True
    priority: int = 0
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Alternative:
    """Another text for `[start, end)` of a scene (characters of its text); `scene` counts `Book.scenes()` from 0."""

    scene: int
    start: int
    end: int
    text: str
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Book:
    """A whole project as files know it; `warnings` says what a reader could not keep or had to guess."""

    title: str = ""
    author: str = ""
    language: Language = "en"
    form: Form = "story"
    parts: list[Part] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    memory: str = ""
    note: str = ""
    alternatives: list[Alternative] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def walk(self) -> Iterator[Part]:
        """Every part in reading order, chapters before what is in them."""
        for part in self.parts:
            yield from part.walk()

    def scenes(self) -> list[Part]:
        """The scenes in reading order."""
        return [part for part in self.walk() if part.kind == "scene"]

    def form_of(self, part: Part) -> Form:
        """The form that a part's text is written in."""
        return part.form or self.form

    @property
    def text(self) -> str:
        """The text of all scenes, a line for each paragraph."""
        return "\n".join(scene.text for scene in self.scenes() if scene.text)
