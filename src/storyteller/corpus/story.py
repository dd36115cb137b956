"""A story: the one record that flows from `prepare` to everything after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

__all__ = ["FORMS", "LANGUAGES", "Form", "Language", "Story"]

Language = Literal["en", "zh"]
Form = Literal["story", "chapter", "screenplay", "play", "dialogue", "lesson", "fable"]

LANGUAGES: tuple[Language, ...] = get_args(Language)
FORMS: tuple[Form, ...] = get_args(Form)


@dataclass(frozen=True, slots=True)
class Story:
    """One cleaned story, chapter, scene or lesson.

    `words` counts words in English and 字 in Chinese. `work` names the book that the piece is from (pieces of one
    work never fall into two splits). `prompt` is the request that the source gives for it, if it gives one. `augmented`
    says how a variant was made of another story; it is null for what somebody wrote.
    """

    id: str
    text: str
    language: Language
    form: Form
    words: int
    title: str | None = None
    author: str | None = None
    work: str | None = None
    source: str | None = None
    licence: str | None = None
    prompt: str | None = None
    augmented: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object without the keys that are null."""
        return {key: value for key in self.__slots__ if (value := getattr(self, key)) is not None}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Story:
        """The story of a JSON object written by `to_json`; unknown keys raise `TypeError`."""
        return cls(**record)
