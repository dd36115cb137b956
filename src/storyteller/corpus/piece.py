"""What readers hand over: a raw piece of text with what its file says about it, or a skip with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Piece", "Pieces", "Skipped", "text_or_none"]


@dataclass(slots=True)
class Piece:
    """One text as it was read, before cleaning; `place` says where (file, or file and line), for reports."""

    text: str
    place: str
    title: str | None = None
    author: str | None = None
    language: str | None = None
    kind: str | None = None
    work: str | None = None
    source: str | None = None
    licence: str | None = None
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that was read and is not kept: the counted reason, where it stands, and how it begins."""

    reason: str
    place: str
    excerpt: str = ""


Pieces = Iterator[Piece | Skipped]


def text_or_none(value: Any) -> str | None:
    """`value` as a stripped string; `None` for nothing, blanks, lists and objects."""
    if value is None or isinstance(value, (dict, list, bool)):
        return None
    return str(value).strip() or None
