"""Twee 3, the source of Twine's interactive fiction, out: https://github.com/iftechfoundation/twine-specs."""

from __future__ import annotations

import hashlib
import json
import re
import uuid

from storyteller.craft.book import Book
from storyteller.craft.formats.outline import chapter_title
from storyteller.craft.formats.plain import one_line, short, text_lines

__all__ = ["write_twee"]


def write_twee(book: Book) -> bytes:
    """A passage for each scene, linked to the next one; the writer adds the choices in Twine."""
    scenes = [scene for scene in book.scenes() if scene.text.strip()]
    names: list[str] = []
    for number, scene in enumerate(scenes, 1):
        name = one_line(scene.title) or chapter_title(number, book.language)
        name = re.sub(r"\[\[|\]\]|->|<-|\|", " ", name).strip() or str(number)  # these mean something inside a link
        names.append(name if name not in names and name not in _RESERVED else f"{name} ({number})")
    data = {
        "ifid": _ifid(book),
        "format": "Harlowe",
        "format-version": "3.3.9",
        **({"start": names[0]} if names else {}),
    }
    out = [
        f":: StoryTitle\n{one_line(book.title) or short('Untitled')}",
        f":: StoryData\n{json.dumps(data, ensure_ascii=False, indent=2)}",
    ]
    for number, (name, scene) in enumerate(zip(names, scenes, strict=True)):
        form = book.form_of(scene)
        lines = scene.text.split("\n") if form == "screenplay" else [f"{line}\n" for line in text_lines(scene.text)]
        text = "\n".join(re.sub(r"^(?=::|\\::)", r"\\", line) for line in lines).rstrip()
        link = f"\n\n[[{names[number + 1]}]]" if number + 1 < len(names) else ""
        position = json.dumps(
            {"position": f"{100 + 150 * (number % 8)},{100 + 150 * (number // 8)}"}, separators=(",", ":")
        )
        out.append(f":: {_escaped(name)} {position}\n{text}{link}")
    return ("\n\n\n".join(out) + "\n").encode()


_RESERVED = ("StoryTitle", "StoryData", "Start")


def _escaped(name: str) -> str:
    return re.sub(r"([\[\]{}\\])", r"\\\1", name)


def _ifid(book: Book) -> str:
    """The story's identifier, a UUID in capitals: always the same for the same title and author."""
    digest = hashlib.sha256(f"{book.title}\n{book.author}".encode("utf-8", "replace")).digest()
    return str(book.extra.get("ifid") or uuid.UUID(bytes=digest[:16], version=4)).upper()
