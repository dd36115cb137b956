"""Books in zip archives: EPUB (one piece for each document of its spine) and DOCX, read without any expansion."""

from __future__ import annotations

import contextlib
import posixpath
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from storyteller.corpus.chapters import divide, names_chapter
from storyteller.corpus.encoding import decode
from storyteller.corpus.gutenberg import strip_gutenberg
from storyteller.corpus.markup import page_text
from storyteller.corpus.piece import Piece, Pieces, Skipped
from storyteller.corpus.unpacking import DamagedError, unpacking

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["MAX_ENTRY", "MAX_UNPACKED", "read_docx", "read_epub"]

MAX_ENTRY = 32 << 20  # bytes of one unpacked file of an archive
MAX_UNPACKED = 256 << 20  # bytes of all files read from one archive
_MATTER = re.compile(
    r"\b(?:titlepage|cover|toc|landmarks|colophon|copyright-page|imprint|dedication|halftitlepage|index|bibliography"
    r"|endnotes|footnotes|loi|acknowledgments)\b"
)
_CHAPTER = re.compile(r"\b(?:chapter|part|volume|prologue|epilogue)\b")  # what stands inside one is part of it
_MATTER_FILE = re.compile(
    r"(?:^|[/_-])(?:nav|toc|cover|title-?page|copyright|colophon|imprint|uncopyright|wrap\d*)[^/]*$", re.I
)
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


class _BadArchiveError(Exception):
    """The archive cannot be used; the first argument is the counted reason, the second says more."""


class _Archive:
    """A zip file that is read within limits."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        self.left = MAX_UNPACKED

    def read(self, name: str) -> bytes:
        """The unpacked bytes of one entry, counted while they are unpacked, not as the entry declares them."""
        try:
            with unpacking(), self.archive.open(name) as entry:
                data = entry.read(min(MAX_ENTRY, self.left) + 1)
        except KeyError as error:
            raise _BadArchiveError("damaged archive", f"no {name} inside") from error
        except RuntimeError as error:  # also of a compression that the library does not know
            raise _BadArchiveError("protected archive", str(error)) from error
        except DamagedError as error:
            raise _BadArchiveError("damaged archive", f"{name}: {error}") from error
        if len(data) > min(MAX_ENTRY, self.left):
            raise _BadArchiveError("archive unpacks too large", f"{name} is over the limit")
        self.left -= len(data)
        return data

    def holds(self, name: str) -> bool:
        """Whether there is such an entry."""
        return name in self.archive.namelist()

    def xml(self, name: str) -> Element:
        """One entry as an XML tree; entity declarations are refused, so that none can expand."""
        from xml.etree import ElementTree

        data = self.read(name)
        if b"<!ENTITY" in data or b"<!\0E\0N\0T" in data:
            raise _BadArchiveError("XML with entities", name)
        try:
            return ElementTree.fromstring(data)
        except (ElementTree.ParseError, ValueError, LookupError) as error:
            raise _BadArchiveError("damaged archive", f"{name}: {error}") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[_Archive]:
    try:
        with unpacking():
            archive = zipfile.ZipFile(path)
    except (DamagedError, NotImplementedError) as error:
        raise _BadArchiveError("damaged archive", str(error)) from error
    with archive:
        yield _Archive(archive)


def read_epub(path: Path) -> Pieces:
    """The documents of an EPUB's spine in their order, each a piece of one work; front and back matter is skipped."""
    try:
        with _opened(path) as archive:
            yield from _spine(archive, path)
    except _BadArchiveError as error:
        yield Skipped(error.args[0], str(path), error.args[1])


def read_docx(path: Path) -> Pieces:
    """The paragraphs of a Word document, cut at its chapters when it is a long book."""
    try:
        with _opened(path) as archive:
            document = archive.xml("word/document.xml")
            names = _style_names(archive.xml("word/styles.xml")) if archive.holds("word/styles.xml") else {}
            properties = archive.xml("docProps/core.xml") if archive.holds("docProps/core.xml") else None
    except _BadArchiveError as error:
        yield Skipped(error.args[0], str(path), error.args[1])
        return
    paragraphs = [(_style(element), _words(element)) for element in document.iter(f"{_W}p")]
    styled = [(names.get(style, style).lower(), text) for style, text in paragraphs if text]
    title = next((text for style, text in styled if style == "title"), None)
    title = title or (_named(properties, "title") if properties is not None else None)
    title = title or _only_heading([text for style, text in styled if style in ("heading 1", "heading1")])
    text = "\n\n".join(text for _, text in paragraphs if text and text != title)
    if not text:
        yield Skipped("no text", str(path))
        return
    author = _named(properties, "creator") if properties is not None else None
    yield from divide(Piece(strip_gutenberg(text), str(path), title=title, author=author, source=path.name))


def _spine(archive: _Archive, path: Path) -> Pieces:
    container = archive.xml("META-INF/container.xml")
    package_name = next((e.get("full-path", "") for e in container.iter() if e.tag.endswith("}rootfile")), "")
    package = archive.xml(package_name)
    folder = posixpath.dirname(package_name)
    files = {e.get("id", ""): e for e in package.iter() if e.tag.endswith("}item")}
    work, author = _named(package, "title"), _named(package, "creator")
    language, licence = _named(package, "language"), _named(package, "rights")
    for reference in [e.get("idref", "") for e in package.iter() if e.tag.endswith("}itemref")]:
        item = files.get(reference)
        if item is None or "html" not in item.get("media-type", "html"):
            yield Skipped("not a text document", f"{path} ({reference})")
            continue
        name = posixpath.normpath(posixpath.join(folder, unquote(item.get("href", ""))))
        place = f"{path} ({name})"
        try:
            text = decode(archive.read(name))
        except _BadArchiveError as error:
            if error.args[0] != "damaged archive":
                raise
            yield Skipped("damaged archive", place, error.args[1])  # the other chapters are whole
            continue
        if text is None:
            yield Skipped("binary or unknown encoding", place)
            continue
        page = page_text(text)
        matter = _MATTER.search(_CHAPTER.split(page.types)[0]) or _MATTER_FILE.search(posixpath.splitext(name)[0])
        if matter or "nav" in item.get("properties", "").split():
            yield Skipped("front or back matter", place, page.text[:80])
        elif not page.text:
            yield Skipped("no text", place)
        else:
            piece = Piece(strip_gutenberg(page.text), place, title=page.title or work, author=author, work=work)
            piece.language, piece.licence, piece.source = language, licence, path.name
            yield from divide(piece)


def _named(tree: Element, name: str) -> str | None:
    """The text of the first element of Dublin Core with this name."""
    found = next((e for e in tree.iter() if e.tag.endswith(f"}}{name}") and (e.text or "").strip()), None)
    return " ".join((found.text or "").split()) if found is not None else None


def _style_names(styles: Element) -> dict[str, str]:
    """The names of styles by their ids: names are the same in every Word, ids are not ("1" in a Chinese one)."""
    found = {}
    for style in styles.iter(f"{_W}style"):
        name = style.find(f"{_W}name")
        found[style.get(f"{_W}styleId", "")] = name.get(f"{_W}val", "") if name is not None else ""
    return found


def _style(paragraph: Element) -> str:
    style = paragraph.find(f"{_W}pPr/{_W}pStyle")
    return style.get(f"{_W}val", "") if style is not None else ""


def _only_heading(headings: list[str]) -> str | None:
    """The title that a single heading is; several, or that of a chapter, are the book's parts and not its name."""
    return headings[0] if len(headings) == 1 and not names_chapter(headings[0]) else None


def _words(paragraph: Element) -> str:
    parts = []
    for element in paragraph.iter():
        if element.tag == f"{_W}t":
            parts.append(element.text or "")
        elif element.tag == f"{_W}tab":
            parts.append(" ")
        elif element.tag in (f"{_W}br", f"{_W}cr"):
            parts.append("\n")
    return "".join(parts).strip()
