"""A story as units, the smallest pieces between which it may be cut: paragraphs, and sentences of long paragraphs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from storyteller.corpus.language import split_sentences
from storyteller.corpus.story import Language, Story
from storyteller.tokens.tokenizer import StoryTokenizer

__all__ = ["Unit", "clause_near", "join_text", "split_units"]

# White space belongs to the unit that follows it: a continuation begins with the space or line break that comes next.
_PARAGRAPH = re.compile(r"\s*[^\n]+")
_CLAUSE = re.compile(r"[,;:，；：、]|(?<=\S)(?=\s)")


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of a story with its ids; `paragraph` is true when it begins one."""

    text: str
    ids: list[int]
    paragraph: bool


def join_text(units: Sequence[Unit]) -> str:
    """The text of consecutive units, exactly as it stands in the story."""
    return "".join(unit.text for unit in units)


def split_units(stories: Sequence[Story], tokenizer: StoryTokenizer, longest: int) -> list[list[Unit]]:
    """The units of each story; their texts joined are the story's text, stripped.

    A paragraph over `longest` tokens is split into sentences; a sentence over twice that into halves, at the clause
    or the space nearest to its middle, until it is not.
    """
    units = [
        _Piece(number, match.group(), paragraph=True)
        for number, story in enumerate(stories)
        for match in _PARAGRAPH.finditer(story.text.strip())
    ]
    for depth in itertools.count():
        todo = [piece for piece in units if piece.ids is None]
        if not todo:
            break
        for piece, ids in zip(todo, tokenizer.encode_batch([piece.text for piece in todo]), strict=True):
            if len(ids) <= (longest if depth == 0 else 2 * longest) or len(piece.text) == 1:
                piece.ids = ids
        split = _halves if depth else _sentences
        units = [
            part for piece in units for part in ([piece] if piece.ids is not None else piece.split(split, stories))
        ]
    result: list[list[Unit]] = [[] for _ in stories]
    for piece in units:
        result[piece.story].append(Unit(piece.text, piece.ids or [], piece.paragraph))
    return result


@dataclass(slots=True)
class _Piece:
    """A unit in the making; it has ids when it need not be split further."""

    story: int
    text: str
    paragraph: bool
    ids: list[int] | None = None

    def split(self, how: Callable[[str, Language], list[str]], stories: Sequence[Story]) -> list[_Piece]:
        parts = how(self.text, stories[self.story].language)
        return [_Piece(self.story, part, self.paragraph and i == 0) for i, part in enumerate(parts)]


def _sentences(text: str, language: Language) -> list[str]:
    """The sentences of a paragraph, each with the white space before it."""
    parts, space = [], ""
    for sentence in split_sentences(text, language):
        body = sentence.rstrip()
        parts.append(space + body)
        space = sentence[len(body) :]
    parts[-1] += space
    return parts


def _halves(text: str, language: Language) -> list[str]:
    """A text cut in two near its middle."""
    cut = clause_near(text, len(text) // 2)
    return [text[:cut], text[cut:]]


def clause_near(text: str, place: int) -> int:
    """The end of a clause, or the space, nearest to a place in a text, and not at either end; else the place."""
    cuts = [match.end() for match in _CLAUSE.finditer(text) if 0 < match.end() < len(text)]
    return min(cuts, key=lambda cut: abs(cut - place), default=place)
