"""What a writer hands over to train on: files and pasted text, saved before anything else happens."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from statistics import median

from storyteller.corpus.language import count_words
from storyteller.runs.files import write_atomic
from storyteller.studio.errors import StudioError

__all__ = ["save_files", "save_text", "split_stories"]

_HEADING = re.compile(r"^#{1,2}[ \t]+\S.*$", re.M)
_NUMBERED = re.compile(
    r"^[ \t]*(?:(?:Story|Tale|STORY|TALE) (?:\d+|[IVXLC]+)\b"
    r"|故事[ \t]*[\d一二三四五六七八九十百]+(?=[：:、.\s])|第[\d一二三四五六七八九十百]+(?:个?故事|篇))[^\n]{0,60}$",
    re.M,
)
_RULE = re.compile(r"^[ \t]*(?:[-=_~#]{3,}|(?:\*[ \t]*){3,}|…{2,}|[—─]{2,})[ \t]*$", re.M)
_GAP = re.compile(r"\n[ \t\u3000]*\n(?:[ \t\u3000]*\n)+")
_LEAST = 12  # words or 字 of a piece that is a story and not a scene's end or a title of its own
_STORY = 30  # words or 字 of the median piece, when nothing but empty lines says that pieces are stories
_UNSAFE = re.compile(r"[^\w.\- ]+")


def split_stories(text: str) -> list[str]:
    """The stories of a pasted text.

    They begin at headings (`# Title`, `Story 2`, 故事三), or stand between rules (`---`, `***`), or, where there are
    neither, between two or more empty lines. A text without any of these is one story.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip("\n\ufeff ")
    for rule in (_HEADING, _NUMBERED):
        starts = [match.start() for match in rule.finditer(text)]
        if len(starts) > 1:
            edges = [0, *starts[1:], len(text)] if not text[: starts[0]].strip() else [0, *starts, len(text)]
            return _stories([text[start:end] for start, end in itertools.pairwise(edges)])
    pieces = _stories(_RULE.split(text))
    if len(pieces) == 1:
        apart = _stories(_GAP.split(text))
        # Some put two empty lines between all paragraphs.
        if len(apart) > 1 and median(count_words(piece, "zh") for piece in apart) >= _STORY:
            return apart
    return pieces


def save_text(text: str, folder: Path) -> int:
    """Save each story of a pasted text as a file of its own; returns how many there are.

    Raises `StudioError` for a text without a story.
    """
    stories = split_stories(text)
    if not stories:
        raise StudioError("there is no story in what was pasted: paste the texts themselves, a few sentences at least.")
    for number, story in enumerate(stories, 1):
        # A heading gives a title in Markdown, and stays a line of the story in plain text.
        kind = "md" if story.startswith("#") else "txt"
        write_atomic(folder / f"pasted-{number:04d}.{kind}", story + "\n")
    return len(stories)


def save_files(files: Sequence[tuple[str, bytes]], folder: Path) -> int:
    """Save uploaded files under the last parts of their names, none over another; returns how many."""
    for name, data in files:
        parts = [_UNSAFE.sub("-", part).strip(". ") for part in PurePosixPath(name.replace("\\", "/")).parts[-3:]]
        path = folder.joinpath(*[part[-120:] for part in parts if part] or ["story.txt"])
        number = 1
        while path.exists():
            number += 1
            path = path.with_name(f"{path.stem}-{number}{path.suffix}")
        write_atomic(path, data)
    return len(files)


def _stories(pieces: Sequence[str]) -> list[str]:
    """The pieces that are long enough, a shorter one (a title, say) put before the one that follows it."""
    stories: list[str] = []
    held = ""
    for piece in pieces:
        piece = piece.strip()
        if not piece:
            continue
        piece = f"{held}\n\n{piece}" if held else piece
        held = piece if count_words(piece, "zh") < _LEAST else ""
        if not held:
            stories.append(piece)
    if held and stories:
        stories[-1] += f"\n\n{held}"
    elif held:
        stories.append(held)
    return stories
