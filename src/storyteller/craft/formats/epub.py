"""EPUB 2 and 3 in: the spine in its order, chapter titles from the table of contents."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from storyteller.corpus.encoding import decode
from storyteller.craft.book import Book
from storyteller.craft.formats.archive import Archive
from storyteller.craft.formats.markup import Block, blocks_of
from storyteller.craft.formats.outline import chapters_of, is_break, settled
from storyteller.craft.formats.plain import language_of, one_line, tidy, title_of
from storyteller.errors import DataError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["read_epub"]

MAX_DOCUMENTS = 5_000
_WORTH_SAYING = 400  # characters; a title page is left out without a word
_NOT_STORY = re.compile(
    r"\b(?:titlepage|cover|toc|landmarks|colophon|copyright-page|imprint|halftitlepage|index|loi|lot)\b"
)
_NOT_STORY_FILE = re.compile(
    r"(?:^|[/_-])(?:nav|toc|cover|title-?page|copyright|colophon|imprint|uncopyright)\d*$", re.I
)
_TYPE = re.compile(r"""epub:type\s*=\s*["']([^"'<>]*)["']""")
_METADATA = ("title", "creator", "language", "identifier", "publisher", "date", "description", "subject", "rights")


def read_epub(name: str, archive: Archive) -> Book:
    """The book in an EPUB; front matter that is not the story's is left out, with a warning that names it."""
    container = archive.xml("META-INF/container.xml")
    package_name = next((e.get("full-path", "") for e in container.iter() if e.tag.endswith("}rootfile")), "")
    package = archive.xml(package_name)
    folder = posixpath.dirname(package_name)
    files = {item.get("id", ""): item for item in package.iter() if item.tag.endswith("}item")}
    meta = {key: values for key in _METADATA if (values := _named(package, key))}
    named = next(iter(meta.get("title", [])), "")
    titles = {path: title for path, title in _contents(archive, folder, files).items() if title != named}
    blocks: list[Block] = []
    left_out: list[str] = []
    spine = [e.get("idref", "") for e in package.iter() if e.tag.endswith("}itemref")]
    for reference in list(dict.fromkeys(spine))[:MAX_DOCUMENTS]:
        item = files.get(reference)
        if item is None or "html" not in item.get("media-type", "html"):
            continue
        path = _inside(folder, item.get("href", ""))
        markup = decode(archive.read(path))
        if markup is None:
            raise DataError(f"{name} is damaged: {path} is not text. Export the book again.")
        markup = tidy(markup)
        if "nav" in item.get("properties", "").split() or _front_matter(path, markup):
            left_out += [path] if sum(len(block.text) for block in blocks_of(markup)) > _WORTH_SAYING else []
            continue
        found = [Block("", rule=True) if is_break(block.text) else block for block in blocks_of(markup)]
        blocks += _titled(found, titles.get(path, ""), begins=bool(blocks))
    if not any(block.text for block in blocks):
        raise DataError(f"{name} holds no text; it may be a book of pictures.")
    text = "\n".join(block.text for block in blocks[:200])
    book = Book(one_line(" ".join(meta.pop("title", [])[:1])) or title_of(name), ", ".join(meta.pop("creator", [])))
    book.language = language_of(text, next(iter(meta.pop("language", [])), None))
    book.parts = chapters_of(blocks)
    settled(book)
    if meta:
        book.extra["metadata"] = meta
    if left_out:
        book.warnings.append(f"Left out of {name} as not part of the story: {', '.join(left_out[:20])}.")
    return book


def _titled(blocks: list[Block], title: str, begins: bool) -> list[Block]:
    """A document's blocks with its title from the table of contents as heading, when it has none of its own."""
    if blocks and not any(block.level for block in blocks[:3]):
        if title:
            if blocks[0].text.casefold() == title.casefold():
                blocks = blocks[1:]
            return [Block(title, 2), *blocks]
        return [Block("", rule=True), *blocks] if begins else blocks
    return blocks


def _contents(archive: Archive, folder: str, files: dict[str, Element]) -> dict[str, str]:
    """Titles of documents by their paths, from the navigation document or the NCX; {} when neither can be read."""
    for item in files.values():
        path = _inside(folder, item.get("href", ""))
        navigation = "nav" in item.get("properties", "").split()
        if path not in archive or not (navigation or "ncx" in item.get("media-type", "")):
            continue
        try:
            tree = archive.xml(path)
        except DataError:
            continue  # the book can be read without
        base = posixpath.dirname(path)
        return dict(reversed([(_inside(base, link), title) for link, title in _links(tree, navigation) if title]))
    return {}


def _links(tree: Element, navigation: bool) -> list[tuple[str, str]]:
    if navigation:
        links = [e for e in tree.iter() if e.tag.endswith("}a")]
        return [(link.get("href", ""), one_line("".join(link.itertext()))) for link in links]
    points = [e for e in tree.iter() if e.tag.endswith("}navPoint")]
    found = []
    for point in points:
        label = next((one_line("".join(e.itertext())) for e in point if e.tag.endswith("}navLabel")), "")
        found.append((next((e.get("src", "") for e in point if e.tag.endswith("}content")), ""), label))
    return found


def _inside(folder: str, link: str) -> str:
    """The path inside the archive that a link means; it cannot leave the archive."""
    return posixpath.normpath(posixpath.join(folder, unquote(link.partition("#")[0]))).lstrip("./")


def _front_matter(path: str, markup: str) -> bool:
    types = " ".join(_TYPE.findall(markup[:4000]))
    return _NOT_STORY.search(types) is not None or _NOT_STORY_FILE.search(posixpath.splitext(path)[0]) is not None


def _named(package: Element, name: str) -> list[str]:
    """The texts of all Dublin Core elements with this name."""
    texts = [one_line(e.text or "") for e in package.iter() if e.tag == f"{{http://purl.org/dc/elements/1.1/}}{name}"]
    return [text for text in texts if text]
