"""A story as units, the smallest pieces between which it may be cut: paragraphs, and sentences of long paragraphs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from storyteller.corpus.language import split_sentences
from storyteller.corpus.story import Language, Story
from storyteller.tokens.tokenizer import StoryTokenizer

__all__ = ["Unit", "join_text", "split_units"]

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
    """The units of each story, none over `longest` tokens; their texts joined are the story's text, stripped.

    A paragraph that is too long is split into sentences, a sentence that is too long into halves at a clause or a
    space near its middle.
    """
    pieces: list[tuple[int, str, bool]] = [
        (number, match.group(), True)
        for number, story in enumerate(stories)
        for match in _PARAGRAPH.finditer(story.text.strip())
    ]
    by_sentence = True
    units: list[Unit | None] = []
    while True:
        todo = [i for i, unit in enumerate(units) if unit is None] if units else list(range(len(pieces)))
        ids = dict(zip(todo, tokenizer.encode_batch([pieces[i][1] for i in todo]), strict=True))
        grown: list[tuple[int, str, bool]] = []
        kept: list[Unit | None] = []
        for i, (number, text, paragraph) in enumerate(pieces):
            unit = units[i] if units else None
            if unit is None and (len(ids[i]) <= longest or len(text) == 1):
                unit = Unit(text, ids[i], paragraph)
            if unit is not None:
                grown.append((number, text, paragraph))
                kept.append(unit)
                continue
            parts = _sentences(text, stories[number].language) if by_sentence else _halves(text)
            grown += [(number, part, paragraph and j == 0) for j, part in enumerate(parts)]
            kept += [None] * len(parts)
        pieces, units, by_sentence = grown, kept, False
        if all(unit is not None for unit in units):
            break
    result: list[list[Unit]] = [[] for _ in stories]
    for (number, _, _), unit in zip(pieces, units, strict=True):
        if unit is not None:
            result[number].append(unit)
    return result


def _sentences(text: str, language: Language) -> list[str]:
    """The sentences of a paragraph, each with the white space before it."""
    parts, space = [], ""
    for sentence in split_sentences(text, language):
        body = sentence.rstrip()
        parts.append(space + body)
        space = sentence[len(body) :]
    parts[-1] += space
    return parts


def _halves(text: str) -> list[str]:
    """A text cut in two after the clause, or before the space, nearest to its middle."""
    middle = len(text) // 2
    cuts = [match.end() for match in _CLAUSE.finditer(text) if 0 < match.end() < len(text)]
    cut = min(cuts, key=lambda place: abs(place - middle), default=middle)
    return [text[:cut], text[cut:]]
