"""One door for every format: `read_book` looks at what a file is, `write_book` makes one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from storyteller.craft.book import Book
from storyteller.craft.formats.plain import MAX_FILE, read_text
from storyteller.errors import DataError

__all__ = ["KINDS", "FileKind", "read_book", "write_book"]

_REFUSED = (
    (b"%PDF", "a PDF, which keeps no paragraphs. Import the DOCX, EPUB or text that it was made from"),
    (b"{\\rtf", "a Rich Text file. Open it in a word processor and save it as DOCX"),
    (b"\xd0\xcf\x11\xe0", "an old Word document. Open it in a word processor and save it as DOCX"),
    (b"\xff\xd8\xff", "a JPEG picture. Character cards are PNG, JSON or .charx files"),
    (b"RIFF", "a WebP picture or a sound. Character cards are PNG, JSON or .charx files"),
    (b"Rar!", "a RAR archive. Unpack it and import what is inside"),
    (b"7z\xbc\xaf", "a 7z archive. Unpack it and import what is inside"),
    (b"\x1f\x8b", "a gzip archive. Unpack it and import what is inside"),
    (b"SQLite format 3", "a database. Restore a backup of the studio instead of importing it"),
)
_SCENE_HEADING = re.compile(r"(?:\A|\n[ \t]*\n)[ \t]*(?:(?:INT|EXT|EST|INT\./EXT|I/E)[. ]|内景|外景|内外景)[^\n]*\n")
_CUE_LINE = re.compile(r"\n[ \t]*\n[ \t]*(?:[A-Z][A-Z .'()-]{1,40}|@\S[^\n]{0,40})\n[ \t]*\S")


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file that can be written: its suffix and its media type."""

    suffix: str
    media_type: str


KINDS: dict[str, FileKind] = {
    "md": FileKind(".md", "text/markdown; charset=utf-8"),
    "txt": FileKind(".txt", "text/plain; charset=utf-8"),
    "docx": FileKind(".docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    "epub": FileKind(".epub", "application/epub+zip"),
    "pdf": FileKind(".pdf", "application/pdf"),
    "fountain": FileKind(".fountain", "text/plain; charset=utf-8"),
    "fdx": FileKind(".fdx", "application/xml"),
    "twee": FileKind(".twee", "text/plain; charset=utf-8"),
    "jsonl": FileKind(".jsonl", "application/jsonl"),
    "messages": FileKind(".messages.jsonl", "application/jsonl"),
    "card": FileKind(".card.json", "application/json"),
    "card-v2": FileKind(".card-v2.json", "application/json"),
    "card-png": FileKind(".png", "image/png"),
    "lorebook": FileKind(".lorebook.json", "application/json"),
}


def read_book(name: str, data: bytes) -> Book:
    """The book in a file, whatever its name says it is.

    Raises `DataError` with what to do next for a file that is empty, too large, damaged, locked, made to do harm, or of a kind
    that cannot be read. Nothing in a file is executed, and no address in it is opened.
    """
    if not data:
        raise DataError(f"{name} is empty.")
    if len(data) > MAX_FILE:
        raise DataError(f"{name} has {len(data) >> 20} MB; the limit is {MAX_FILE >> 20} MB. Cut it into parts.")
    for magic, what in _REFUSED:
        if data.startswith(magic):
            raise DataError(f"{name} is {what}.")
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _read_archive(name, data)
    if data.startswith(b"\x89PNG"):
        from storyteller.craft.formats.cards import read_png_card

        return read_png_card(name, data)
    return _read_text(name, data, read_text(name, data))


def write_book(book: Book, kind: str) -> bytes:
    """The book as a file of one of `KINDS`; the same book always gives the same bytes."""
    if kind not in KINDS:
        raise DataError(f"There is no export called {kind!r}. Choose one of: {', '.join(KINDS)}.")
    return _writer(kind)(book)


def _writer(kind: str) -> Callable[[Book], bytes]:
    """The function that writes a kind; imported late, because some libraries are heavy."""
    from storyteller.craft.formats import cards, lorebooks, screenplays, text, training, twee

    match kind:
        case "docx":
            from storyteller.craft.formats.word import write_docx

            return write_docx
        case "epub":
            from storyteller.craft.formats.epub_writer import write_epub

            return write_epub
        case "pdf":
            from storyteller.craft.formats.pdf import write_pdf

            return write_pdf
    return {
        "md": text.write_markdown,
        "txt": text.write_plain,
        "fountain": screenplays.write_fountain,
        "fdx": screenplays.write_fdx,
        "twee": twee.write_twee,
        "jsonl": training.write_texts,
        "messages": training.write_messages,
        "card": cards.write_card,
        "card-v2": cards.write_card_v2,
        "card-png": cards.write_png_card,
        "lorebook": lorebooks.write_lorebook,
    }[kind]


def _read_archive(name: str, data: bytes) -> Book:
    from storyteller.craft.formats.archive import Archive

    archive = Archive(name, data)
    if "META-INF/container.xml" in archive:
        from storyteller.craft.formats.epub import read_epub

        return read_epub(name, archive)
    if "word/document.xml" in archive:
        from storyteller.craft.formats.word import read_docx

        return read_docx(name, data, archive)
    if "card.json" in archive:
        from storyteller.craft.formats.cards import read_charx

        return read_charx(name, archive)
    if "content.xml" in archive:
        raise DataError(f"{name} is an OpenDocument file. Open it in a word processor and save it as DOCX.")
    raise DataError(f"{name} is a zip archive, but no book. Unpack it and import the files inside.")


def _read_text(name: str, data: bytes, text: str) -> Book:
    from storyteller.craft.formats.screenplays import read_fdx, read_fountain
    from storyteller.craft.formats.text import read_markdown, read_plain

    start = text[:2000].lstrip()
    suffix = name.lower().rpartition(".")[2]
    if "<FinalDraft" in text[:4000]:
        return read_fdx(name, data)
    if re.match(r"<!doctype html|<\?xml|<html", start, re.I):
        from storyteller.craft.formats.webpage import read_page

        return read_page(name, text)
    if start[:1] in "{[" and (book := _read_json(name, text, suffix)) is not None:
        return book
    if suffix in ("fountain", "spmd"):
        return read_fountain(name, text)
    if suffix not in ("md", "markdown") and _looks_like_screenplay(text):
        return read_fountain(name, text)
    if suffix in ("md", "markdown") or (suffix != "txt" and re.search(r"^#{1,3} \S|\A---\n", text, re.M)):
        return read_markdown(name, text)
    return read_plain(name, text)


def _looks_like_screenplay(text: str) -> bool:
    """Scene headings after an empty line, and somebody who speaks."""
    sample = f"\n\n{text[:200_000]}"
    headings = len(_SCENE_HEADING.findall(sample))
    return headings >= 2 or (headings == 1 and _CUE_LINE.search(sample) is not None)


def _read_json(name: str, text: str, suffix: str) -> Book | None:
    """The book in a JSON or JSON Lines file; `None` for text that only begins like one."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise DataError(f"{name} nests too deeply to be a book. It was not read.") from error
    except ValueError as error:
        records = _records(text)
        if records:
            return _of_records(name, records)
        if suffix in ("json", "jsonl", "lorebook", "scenario", "story"):
            raise DataError(f"{name} is damaged JSON: {error}. Export it again.") from error
        return None
    if isinstance(value, list):
        records = [item for item in value if isinstance(item, dict)]
        return _of_records(name, records) if records else None
    if not isinstance(value, dict):
        return None
    return _of_object(name, value)


def _of_object(name: str, value: dict[str, Any]) -> Book:
    from storyteller.craft.formats import cards, kobold, lorebooks, novelai, tavern

    inner = value.get("data")
    if str(value.get("spec", "")).startswith("lorebook"):
        return lorebooks.read_lorebook(name, value)
    if str(value.get("spec", "")).startswith("chara_card") or "first_mes" in value or "char_greeting" in value:
        return cards.read_card(name, value)
    if isinstance(inner, dict) and "first_mes" in inner:
        return cards.read_card(name, value)
    if "lorebookVersion" in value or "entries" in value:
        return lorebooks.read_lorebook(name, value)
    if "scenarioVersion" in value or "storyContainerVersion" in value:
        return novelai.read_novelai(name, value)
    if "actions" in value or "gamestarted" in value or "worldinfo" in value:
        return kobold.read_kobold(name, value)
    return (
        _of_records(name, [value])
        if tavern.is_chat([value]) or "text" in value or "messages" in value
        else _unknown(name)
    )


def _of_records(name: str, records: list[dict[str, Any]]) -> Book:
    from storyteller.craft.formats import tavern, training

    if tavern.is_chat(records):
        return tavern.read_chat(name, records)
    if any(isinstance(record.get("text"), str) or isinstance(record.get("messages"), list) for record in records):
        return training.read_records(name, records)
    return _unknown(name)


def _records(text: str) -> list[dict[str, Any]]:
    """The objects of JSON Lines; [] unless every line is one."""
    records = []
    for line in text.split("\n"):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return []
        if not isinstance(record, dict):
            return []
        records.append(record)
    return records


def _unknown(name: str) -> Book:
    raise DataError(
        f"{name} is JSON of a kind that is not known. Character cards, lorebooks, Kobold saves, NovelAI scenarios and stories, "
        "SillyTavern chats and JSON Lines with `text` or `messages` can be imported."
    )
