"""A book as lines with roles, in reading order: what every writer of finished pages (DOCX, EPUB, PDF) starts from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from storyteller.craft.book import Book, Part
from storyteller.craft.formats.fountain import Element, ElementKind
from storyteller.craft.formats.outline import chapter_title
from storyteller.craft.formats.plain import one_line, spaced_lines
from storyteller.craft.screenplay import scene_elements

__all__ = ["BLANK", "Line", "Role", "lines_of"]

Role = ElementKind | Literal["chapter", "scene", "break", "paragraph", "blank"]

#: What stands in an empty line, for programs drop a paragraph that holds nothing.
BLANK = "\u00a0"

_UNPRINTED = ("section", "synopsis", "note", "boneyard")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the page. `level` counts headings from 1; the roles of screenplays are those of Fountain's elements."""

    role: Role
    text: str = ""
    level: int = 0


def lines_of(book: Book) -> Iterator[Line]:
    """The manuscript as it is printed: notes, synopses and cut passages are not."""
    yield from _lines(book, book.parts, 1)


def _lines(book: Book, parts: list[Part], level: int) -> Iterator[Line]:
    chapters = [part for part in parts if part.kind == "chapter"]
    first = True
    for part in parts:
        if part.kind == "chapter":
            if part.title.strip() or len(chapters) > 1:
                title = one_line(part.title) or chapter_title(chapters.index(part) + 1, book.language)
                yield Line("chapter", title, level)
            yield from _lines(book, part.parts, level + 1)
            first = True
        elif part.kind == "scene":
            if book.form_of(part) == "screenplay":
                yield from _screenplay(part)
            else:
                if part.title.strip():
                    yield Line("scene", one_line(part.title), level)
                elif not first:
                    yield Line("break")
                lines = map(str.strip, spaced_lines(part.text))
                yield from (Line("paragraph", line) if line else Line("blank", BLANK) for line in lines)
            first = False


def _screenplay(part: Part) -> Iterator[Line]:
    for element in scene_elements(part.text):
        if element.kind not in _UNPRINTED:
            yield from _element(element)


def _element(element: Element) -> Iterator[Line]:
    if element.kind == "page_break":
        yield Line("page_break")
    for line in element.text.split("\n"):
        if line.strip():
            text = f"({line.strip()})" if element.kind == "parenthetical" else line.strip()
            yield Line(element.kind, text)
