"""A request: everything that a writer may ask of the storyteller, the same object in training and in use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from storyteller.corpus.story import Form, Language

__all__ = ["Character", "Request", "Task"]

Task = Literal["write", "continue", "infill", "passage"]


@dataclass(frozen=True, slots=True)
class Character:
    """A person of the story; `who` is a short description and may be empty."""

    name: str
    who: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """The conditions of one story.

    Every field but `task`, `language` and `form` may be left out; the template writes a line for each that is there.
    `about` is the premise in the writer's own words, `words` the wished length in words or 字, `opening` the first
    words that the story must begin with (they are forced, not asked for), `before` the story so far (task `continue`
    and `infill`), `after` the ending to arrive at (task `infill`), `outline` the line that a passage tells (task
    `passage`).
    """

    task: Task = "write"
    language: Language = "en"
    form: Form = "story"
    about: str | None = None
    title: str | None = None
    words: int | None = None
    characters: tuple[Character, ...] = ()
    keywords: tuple[str, ...] = field(default=())
    opening: str | None = None
    before: str | None = None
    after: str | None = None
    outline: str | None = None
