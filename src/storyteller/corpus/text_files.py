"""Text files: plain text, Markdown with YAML front matter, Fountain screenplays, HTML pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from storyteller.corpus.chapters import divide
from storyteller.corpus.clean import unmark
from storyteller.corpus.encoding import decode
from storyteller.corpus.gutenberg import gutenberg_header, strip_gutenberg
from storyteller.corpus.markup import page_text
from storyteller.corpus.piece import Piece, Pieces, Skipped, text_or_none

__all__ = ["MAX_FILE", "read_text_file"]

MAX_FILE = 64 << 20  # bytes of one text file; beyond it nobody wrote it as a story
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.S)
_FIRST_HEADING = re.compile(r"\A\s*#{1,2} +(.+?)(?: #+)?[ \t]*(?:\n|\Z)")
_TITLE_PAGE_KEY = re.compile(r"^([A-Za-z][A-Za-z ]*):[ \t]*(.*)$")
_BONEYARD = re.compile(r"/\*.*?\*/|\[\[.*?\]\]", re.S)


def read_text_file(path: Path) -> Pieces:
    """The pieces of a `.txt`, `.md`, `.fountain` or `.html` file: one, or the chapters of a long book."""
    size = path.stat().st_size
    if size > MAX_FILE:
        yield Skipped("file too large", str(path), f"{size >> 20} MiB; cut it into files under {MAX_FILE >> 20} MiB")
        return
    text = decode(path.read_bytes())
    if text is None:
        yield Skipped("binary or unknown encoding", str(path))
        return
    if not text.strip():
        yield Skipped("empty file", str(path))
        return
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    suffix = path.suffix.lower()
    if suffix == ".fountain":
        yield _fountain(text, path)
    elif suffix in (".md", ".markdown"):
        yield from _markdown(text, path)
    elif suffix in (".html", ".htm", ".xhtml"):
        page = page_text(text)
        piece = Piece(page.text, str(path), title=page.title, author=page.author, language=page.language)
        yield from _book(piece, path)
    else:
        yield from _book(Piece(text, str(path)), path)


def _book(piece: Piece, path: Path) -> Pieces:
    """A text without Gutenberg's frame, cut at its chapters when it is a long book."""
    header = gutenberg_header(piece.text)
    piece.title = header.get("title") or piece.title
    piece.author = header.get("author") or piece.author
    piece.language = header.get("language") or piece.language
    if header:
        piece.licence = piece.licence or "public domain in the USA (Project Gutenberg)"
    piece.text = strip_gutenberg(piece.text)
    piece.source = piece.source or path.name
    yield from divide(piece)


def _markdown(text: str, path: Path) -> Pieces:
    match = _FRONT_MATTER.match(text)
    meta: dict[str, Any] = {}
    if match:
        import yaml

        try:
            loaded = yaml.safe_load(match.group(1))
        except (yaml.YAMLError, ValueError, AttributeError) as error:  # a date that is none is a ValueError
            yield Skipped("broken front matter", str(path), " ".join(str(error).split())[:80])
            return
        meta = {str(key).lower(): value for key, value in loaded.items()} if isinstance(loaded, dict) else {}
        text = text[match.end() :]
    if isinstance(authors := meta.get("author", meta.get("authors")), list):
        meta["author"] = ", ".join(filter(None, map(text_or_none, authors)))
    given = {key: text_or_none(value) for key, value in meta.items()}
    heading = _FIRST_HEADING.match(text)
    title = given.get("title")
    if heading and (title is None or unmark(heading.group(1)).strip().casefold() == title.casefold()):
        title, text = unmark(heading.group(1)).strip(), text[heading.end() :]
    if not text.strip():
        yield Skipped("no text", str(path), title or "")
        return
    piece = Piece(
        unmark(text),
        str(path),
        title=title,
        author=given.get("author"),
        language=given.get("language") or given.get("lang"),
        kind=given.get("form") or given.get("kind"),
        work=given.get("work") or given.get("collection"),
        source=given.get("source") or path.name,
        licence=given.get("licence") or given.get("license"),
        prompt=given.get("prompt"),
    )
    if piece.kind:
        yield piece
    else:
        yield from _book(piece, path)


def _fountain(text: str, path: Path) -> Piece:
    """A screenplay: its title page read off, notes and cut passages removed, forcing marks taken from their lines."""
    meta, text = _title_page(_BONEYARD.sub("", text))
    lines = []
    for line in text.split("\n"):
        bare = line.strip()
        if bare.startswith("#") or (bare.startswith("=") and not bare.startswith("===")):
            continue  # sections and synopses are notes to the writer
        if re.match(r"\.(?!\.)|[@!~]", bare):
            bare = bare[1:].lstrip()
        elif bare.startswith(">"):
            bare = bare.strip("<> ")
        lines.append("" if bare.startswith("===") else bare)
    return Piece(
        unmark("\n".join(lines)),
        str(path),
        title=meta.get("title"),
        author=meta.get("author") or meta.get("authors"),
        language=meta.get("language") or meta.get("lang"),
        kind="screenplay",
        work=meta.get("work"),
        source=meta.get("source") or path.name,
        licence=meta.get("licence") or meta.get("license"),
        prompt=meta.get("prompt"),
    )


def _title_page(text: str) -> tuple[dict[str, str], str]:
    """The keys of a Fountain title page, and the text after it; a value may go on in indented lines."""
    lines = text.lstrip("\n").split("\n")
    meta: dict[str, str] = {}
    key = ""
    for number, line in enumerate(lines):
        match = _TITLE_PAGE_KEY.match(line)
        if match and not (number == 0 and line.strip().isupper()):  # FADE IN: is how a first scene begins
            key = match.group(1).strip().lower()
            meta[key] = unmark(match.group(2).strip())
        elif key and line.strip() and line[0] in " \t":
            meta[key] = f"{meta[key]} {unmark(line.strip())}".strip()
        else:
            return (meta, "\n".join(lines[number:])) if meta else ({}, text)
    return meta, ""
