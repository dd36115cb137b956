"""The text of an HTML page: block elements make paragraphs, scripts and styles are dropped."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html.parser import HTMLParser

__all__ = ["Page", "page_text"]

_BLOCK_TAGS = (
    "p div section article header footer main aside h1 h2 h3 h4 h5 h6 li ul ol dl dt dd blockquote pre table "
    "tr hr figure figcaption body title center"
)
_BLOCKS = frozenset(_BLOCK_TAGS.split())
_DROPPED_TAGS = "script style noscript svg math nav template iframe object select button"
_DROPPED = frozenset(_DROPPED_TAGS.split())
_NOTES = re.compile(r"\b(?:(?:foot|end|rear)notes?|noteref)\b")


@dataclass(slots=True)
class Page:
    """What a page says: its text, and its title, author and language where it names them.

    `types` are those of the elements that are open, or were, when the text begins: what the page is as a whole (EPUB's
    `epub:type`). A chapter may well hold notes or a dedication further on.
    """

    text: str
    title: str | None = None
    author: str | None = None
    language: str | None = None
    types: str = ""


def page_text(markup: str) -> Page:
    """The readable text of `markup`, one paragraph for each block element, with its first heading as the title."""
    reader = _Reader()
    reader.feed(markup)
    reader.close()
    text = re.sub(r"[ \t]*\n[ \t]*", "\n", "".join(reader.parts))
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    title = " ".join(reader.heading.split()) or " ".join(reader.page_title.split())
    if title and " ".join(text[: len(title) + 40].split()).startswith(title):
        head, _, rest = text.partition("\n\n")
        text = rest if " ".join(head.split()) == title and rest else text
    return Page(text, title or None, reader.author, reader.language, " ".join(reader.types))


class _Reader(HTMLParser):
    """Collects text between block elements."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.heading, self.page_title = "", ""
        self.author: str | None = None
        self.language: str | None = None
        self.types: list[str] = []
        self._dropped: list[str] = []
        self._heading_open = self._title_open = self._heading_done = False
        self._pre = 0
        self._begun = False

    def parse_marked_section(self, i: int, report: bool = True) -> int:
        """Read past `<![...]>`; one of no known kind, at which the parser gives up, is a comment as in a browser."""
        try:
            return super().parse_marked_section(i, report)
        except AssertionError:
            return self.parse_bogus_comment(i)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element: note metadata, begin a paragraph at a block."""
        given = dict(attrs)
        if tag in ("html", "body"):
            self.language = given.get("lang") or given.get("xml:lang") or self.language
        kind = given.get("epub:type") or ""
        if kind and not self._begun:
            self.types.append(kind)
        if tag == "meta" and (given.get("name") or "").lower() in ("author", "dc.creator"):
            self.author = given.get("content") or self.author
        if tag == "title":
            self._title_open = True
        elif tag in _DROPPED or tag in self._dropped or _NOTES.search(kind):
            self._dropped.append(tag)
        elif tag in ("h1", "h2") and not self._heading_done:
            self._heading_open = True
        if tag == "pre":
            self._pre += 1
        if tag == "br":
            self.parts.append("\n")
        elif tag in _BLOCKS:
            self.parts.append("\n\n")
        if tag == "hr":
            self.parts.append("* * *\n\n")

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        if tag == "title":
            self._title_open = False
        elif tag in self._dropped:
            while self._dropped.pop() != tag:  # what was left open inside
                pass
        elif tag in ("h1", "h2") and self._heading_open:
            self._heading_open, self._heading_done = False, bool(self.heading.strip())
        if tag == "pre":
            self._pre = max(0, self._pre - 1)
        if tag in _BLOCKS:
            self.parts.append("\n\n")

    def handle_data(self, data: str) -> None:
        """Text: into the title, or into the page."""
        if self._title_open:
            self.page_title += data
            return
        if self._dropped:
            return
        self._begun = self._begun or bool(data.strip())
        if self._heading_open:
            self.heading += data
        self.parts.append(data if self._pre else re.sub(r"\s+", " ", data))
