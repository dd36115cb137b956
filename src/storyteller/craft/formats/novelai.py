"""NovelAI's scenarios and stories, in.

A scenario is read whole. A story keeps its text in an undocumented MessagePack document: its texts are taken from it as well as
can be, and the book's warnings say so.
"""

from __future__ import annotations

import base64
import binascii
import itertools
from collections.abc import Iterator
from typing import Any

from storyteller.craft.book import Book, Part
from storyteller.craft.formats.lorebooks import entries_of
from storyteller.craft.formats.plain import language_of, tidy, title_of
from storyteller.craft.formats.values import line_of, list_of, manuscript, object_of, text_of
from storyteller.errors import DataError

__all__ = ["read_novelai"]

_KNOWN = ("title", "author", "prompt", "context", "lorebook", "description", "metadata", "content")


def read_novelai(name: str, value: dict[str, Any]) -> Book:
    """The book of a `.scenario` or a `.story`."""
    content = object_of(value.get("content")) or value
    meta = object_of(value.get("metadata")) or value
    warnings: list[str] = []
    text = manuscript(text_of(value.get("prompt")) or _story_text(name, content, meta, warnings))
    context = [text_of(object_of(item).get("text")) for item in list_of(content.get("context"))]
    entries = entries_of(object_of(content.get("lorebook")), warnings)
    if not (text or entries or any(context)):
        raise DataError(
            f"{name} holds no text, memory or lorebook that can be read. Export the story as text or scenario."
        )
    book = Book(
        line_of(meta.get("title")) or title_of(name), line_of(meta.get("author")), language_of(text), entries=entries
    )
    book.memory, book.note = (*context, "", "")[:2]
    book.parts = [Part("chapter", parts=[Part("scene", text=text)])]
    if description := text_of(meta.get("description")):
        title = "简介" if book.language == "zh" else "Description"
        book.parts.append(Part("note", title, description, extra={"field": "description"}))
    rest = {key: kept for key, kept in value.items() if key not in _KNOWN}
    rest |= {key: kept for key, kept in content.items() if key not in (*_KNOWN, "document", "story")}
    book.extra["novelai"] = rest
    if value.get("placeholders"):
        warnings.append("The scenario has placeholders (${…}); replace them in the text before you go on.")
    book.warnings = warnings
    return book


def _story_text(name: str, content: dict[str, Any], meta: dict[str, Any], warnings: list[str]) -> str:
    """The text of a story: of its fragments in older files, of its document in newer ones, else its preview."""
    fragments = list_of(object_of(content.get("story")).get("fragments"))
    if text := "".join(part for item in fragments if isinstance(part := object_of(item).get("data"), str)):
        return text
    texts = _document_texts(content.get("document"))
    if texts:
        warnings.append(
            f"The text of {name} was taken from a document whose form is not published: compare it with the original, "
            "or export the story as plain text and import that."
        )
        return "\n".join(texts)
    preview = text_of(meta.get("textPreview"))
    if preview:
        warnings.append(f"Only the preview of {name} could be read. Export the story as plain text and import that.")
    return preview


def _document_texts(document: Any) -> list[str]:
    """The paragraphs of a story's document: what stands under `text`, else every string that is a sentence."""
    if not isinstance(document, str):
        return []
    try:
        data = base64.b64decode(document)
    except (ValueError, binascii.Error):
        return []
    strings = list(_strings(data))
    named = [text for key, text in itertools.pairwise(strings) if key == "text"]
    found = named or [text for text in strings if len(text) >= 60 or (len(text) >= 15 and not text.isascii())]
    return [tidy(text) for text in dict.fromkeys(found) if text.strip()]


def _strings(data: bytes) -> Iterator[str]:
    """The strings of MessagePack in their order; containers are only walked through, so that nothing can nest too deeply."""
    place = 0
    while place < len(data):
        code = data[place]
        place += 1
        size, width = -1, 0
        if 0xA0 <= code <= 0xBF:
            size = code & 0x1F
        elif code in (0xD9, 0xDA, 0xDB):
            width = 1 << (code - 0xD9)
            size = int.from_bytes(data[place : place + width], "big")
        if size >= 0:
            place += width
            yield data[place : place + size].decode("utf-8", "ignore")
            place += size
        elif code in (0xC4, 0xC5, 0xC6, 0xC7, 0xC8, 0xC9):  # binary and extensions: passed over
            width = 1 << ((code - 0xC4) % 3)
            place += int.from_bytes(data[place : place + width], "big") + width + (code >= 0xC7)
        elif code in _FIXED:
            place += _FIXED[code]


_FIXED = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_FIXED |= {0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17, 0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
