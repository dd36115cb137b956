"""Headings, paragraphs and breaks in a row, made into chapters and scenes: what most readers end with."""

from __future__ import annotations

import re

from storyteller.corpus.story import Language
from storyteller.craft.book import Part
from storyteller.craft.formats.markup import Block

__all__ = ["BREAK", "chapter_title", "chapters_of", "is_break", "is_chapter_title"]

BREAK = "* * *"
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


def chapters_of(blocks: list[Block]) -> list[Part]:
    """Chapters with scenes.

    The upper level of headings makes chapters and the one below it scenes, unless its headings are called chapters too: then
    the upper one makes parts that hold chapters. A break begins a scene without a title. Lower headings stay in the text.
    """
    levels = sorted({block.level for block in blocks if block.level})[:3]
    upper = levels[:1]
    if len(levels) > 1:
        below = [block.text for block in blocks if block.level == levels[1]]
        if 2 * sum(map(is_chapter_title, below)) >= len(below) or len(levels) > 2:
            upper = levels[:2]
    scene_level = levels[len(upper)] if len(levels) > len(upper) else 0
    root = Part("chapter")
    path = [root]  # the open chapters, from the root
    scene: Part | None = None
    lines: dict[int, list[str]] = {}
    for block in blocks:
        if block.level in upper and block.level:
            depth = upper.index(block.level)
            del path[depth + 1 :]
            chapter = Part("chapter", block.text)
            path[-1].parts.append(chapter)
            path.append(chapter)
            scene = None
            continue
        if scene is None or block.rule or (block.level and block.level == scene_level):
            if len(path) == 1:
                root.parts.append(Part("chapter"))
                path.append(root.parts[-1])
            scene = Part("scene", block.text if block.level == scene_level and block.level else "")
            path[-1].parts.append(scene)
            lines[id(scene)] = []
            if block.rule or (block.level and block.level == scene_level):
                continue
        lines[id(scene)].append(block.text)
    for part in root.walk():
        if part.kind == "scene":
            part.text = "\n".join(lines[id(part)])
        elif part is not root:
            part.parts = [inner for inner in part.parts if inner.kind != "scene" or lines[id(inner)] or inner.title]
            if not part.parts:
                part.parts = [Part("scene")]
    return root.parts
