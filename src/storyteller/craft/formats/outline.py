"""Headings, paragraphs and breaks in a row, made into chapters and scenes: what most readers end with."""

from __future__ import annotations

import re
from typing import get_args

from storyteller.corpus.story import Language
from storyteller.craft.book import Book, Part
from storyteller.craft.formats.fountain import Element, ElementKind, write_elements
from storyteller.craft.formats.markup import Block

__all__ = ["BREAK", "SCRIPT", "chapter_title", "chapters_of", "is_break", "is_chapter_title", "settled"]

BREAK = "* * *"

SCRIPT = "script"
"""The type of a block that stands beside its kind where a screenplay was written out."""

_BREAK = re.compile(r"(?:[*＊※·•⁂#§~◇◆☆★—–_=-]\s?){3,60}|[#§⁂※]")
_CHAPTER = re.compile(
    r"(?:chapter|prologue|epilogue|part|book|act|canto|stave)\b|[第卷][\d〇零一二三四五六七八九十百千两]+[回章节卷部幕折]?"
    r"|序[章幕言]?$|楔子|尾声|后记|番外",
    re.I,
)


def is_break(line: str) -> bool:
    """Whether a line only divides two scenes, as `* * *` does."""
    return len(line) <= 120 and _BREAK.fullmatch(line.strip()) is not None


def is_chapter_title(title: str) -> bool:
    """Whether a heading names a chapter or a part by its words."""
    return _CHAPTER.match(title.strip()) is not None


def chapter_title(number: int, language: Language) -> str:
    """What a chapter without a title is called where a file cannot do without."""
    return f"第{number}章" if language == "zh" else f"Chapter {number}"


def chapters_of(blocks: list[Block], *, scenes_from: int = 7) -> list[Part]:
    """Chapters with scenes.

    The upper level of headings makes chapters and the one below it scenes, unless its headings are called chapters too: then
    the upper one makes parts that hold chapters. A break begins a scene without a title. Lower headings stay in the text.
    Headings of level `scenes_from` and below never make chapters. Blocks of the types of a screenplay make scenes of one.
    """
    upper, scene_level = _levels(blocks, scenes_from)
    root = Part("chapter")
    path = [root]  # the open chapters, from the root
    lines: list[Block] | None = None  # of the open scene
    scenes: list[tuple[Part, list[Block]]] = []
    for block in blocks:
        if block.level in upper:
            del path[upper.index(block.level) + 1 :]
            path.append(_added(path[-1], Part("chapter", block.text)))
            lines = None
            continue
        slugline = _kind(block) == "heading"
        begins = block.rule or block.level == scene_level or slugline
        if lines is None or begins:
            if len(path) == 1:
                path.append(_added(root, Part("chapter")))
            lines = []
            scenes.append((_added(path[-1], Part("scene", block.text if begins else "")), lines))
        if not begins or slugline:
            lines.append(block)
    for scene, held in scenes:
        scene.text = "\n".join(block.text for block in held).strip("\n")
        if any(map(_kind, held)):
            scene.form, scene.text = "screenplay", write_elements(list(map(_element, held))).rstrip()
    for part in [part for part in root.walk() if part.kind == "chapter"]:
        part.parts = [inner for inner in part.parts if inner.kind == "chapter" or inner.text or inner.title]
        if not part.parts and part is not root:
            part.parts = [Part("scene")]
    return root.parts


def _kind(block: Block) -> ElementKind | None:
    """The element of a screenplay that a block was written as (see `SCRIPT`); of any other, None."""
    types = block.types.split()
    return next((kind for kind in get_args(ElementKind) if kind in types), None) if SCRIPT in types else None


def _element(block: Block) -> Element:
    kind = _kind(block) or "action"
    bracketed = kind == "parenthetical" and block.text[:1] in "(（" and block.text[-1:] in ")）"
    return Element(kind, block.text[1:-1] if bracketed else block.text)


def _levels(blocks: list[Block], scenes_from: int) -> tuple[list[int], int]:
    """The levels of headings that make chapters, and the one that makes scenes; -1 when none does."""
    levels = sorted({block.level for block in blocks if block.level})[:3]
    upper = levels[:1]
    if len(levels) > 1:
        below = [block.text for block in blocks if block.level == levels[1]]
        if 2 * sum(map(is_chapter_title, below)) >= len(below) or len(levels) > 2:
            upper = levels[:2]
    upper = [level for level in upper if level < scenes_from]
    return upper, levels[len(upper)] if len(levels) > len(upper) else -1


def settled(book: Book) -> Book:
    """The book, which is a screenplay when all of its scenes are."""
    scenes = book.scenes()
    if scenes and all(scene.form == "screenplay" for scene in scenes):
        book.form = "screenplay"
        for scene in scenes:
            scene.form = None
    return book


def _added(chapter: Part, part: Part) -> Part:
    chapter.parts.append(part)
    return part
