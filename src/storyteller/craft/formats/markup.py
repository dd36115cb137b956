"""HTML from books and word processors as blocks: headings, paragraphs with their emphasis, breaks.

A scanner of our own, because it must take any input in linear time and never fail: tags out of order, comments that never end,
scripts. Nothing is executed or fetched; scripts, styles and pictures are dropped.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from storyteller.craft.formats.emphasis import Run, marked
from storyteller.craft.formats.plain import one_line

__all__ = ["Block", "blocks_of"]

_TAG = re.compile(r"""<(/?)([A-Za-z][\w:.-]*)((?:[^<>"']|"[^"<]*"|'[^'<]*')*)>""")
_TYPE = re.compile(r"""(?:epub:type|class|id|lang|title)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_BLOCKS = frozenset(
    [
        "p",
        "div",
        "section",
        "article",
        "header",
        "footer",
        "main",
        "aside",
        "li",
        "ul",
        "ol",
        "dl",
        "dt",
        "dd",
        "blockquote",
        "pre",
        "table",
        "tr",
        "td",
        "th",
        "figure",
        "figcaption",
        "body",
        "center",
        "address",
        "form",
        "fieldset",
        "hr",
        "br",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "title",
    ]
)
_DROPPED = frozenset(
    ["script", "style", "noscript", "svg", "math", "template", "iframe", "object", "select", "button", "head", "nav"]
)
_STYLES = {"b": "bold", "strong": "bold", "i": "italic", "em": "italic", "cite": "italic"}
_SPACES, _LINES = re.compile(r"[ \t\n]+"), re.compile(r"\n+")


@dataclass(slots=True)
class Block:
    """One paragraph: `level` 1 to 6 for a heading, 0 for text; `rule` for a break between scenes; `types` of what holds it."""

    text: str
    level: int = 0
    rule: bool = False
    types: str = ""


def blocks_of(markup: str, *, keep_nav: bool = False, keep_spaces: bool = False) -> list[Block]:
    """The blocks of a page in their order; `keep_spaces` takes tabs and repeated spaces for the writer's own."""
    page = _Page(keep_nav, _LINES if keep_spaces else _SPACES)
    for tag, closing, text in _tokens(markup):
        if tag:
            page.tag(tag.lower().rpartition(":")[2], closing, text)
        else:
            page.text(text)
    page.end()
    return page.blocks


def _tokens(markup: str) -> Iterator[tuple[str, bool, str]]:
    """Tags with their attributes, and the text between; comments and declarations are passed over in linear time."""
    place, size = 0, len(markup)
    while place < size:
        start = markup.find("<", place)
        if start < 0:
            start = size
        if start > place:
            yield "", False, markup[place:start]
        if start == size:
            return
        if markup.startswith(("<!", "<?"), start):
            place = _past(markup, start)
            if markup.startswith("<![CDATA[", start):
                yield "", False, html.escape(markup[start + 9 : max(start + 9, place - 3)])
            continue
        match = _TAG.match(markup, start)
        if match:
            yield match.group(2), bool(match.group(1)), match.group(3)
            place = match.end()
        else:
            yield "", False, "<"
            place = start + 1


def _past(markup: str, start: int) -> int:
    """The end of a comment, a declaration or an instruction; the end of the page when it has none."""
    closer = "-->" if markup.startswith("<!--", start) else "]]>" if markup.startswith("<![CDATA[", start) else ">"
    end = markup.find(closer, start)
    return len(markup) if end < 0 else end + len(closer)


class _Page:
    """Collects blocks while tags open and close."""

    def __init__(self, keep_nav: bool, spaces: re.Pattern[str]) -> None:
        self._spaces = spaces
        self.blocks: list[Block] = []
        self._dropped = _DROPPED - {"nav"} if keep_nav else _DROPPED
        self._dropping = ""
        self._depth = 0
        self._runs: list[Run] = []
        self._styles = {"bold": 0, "italic": 0}
        self._level = 0
        self._pre = 0
        self._types: list[str] = []

    def tag(self, name: str, closing: bool, attributes: str) -> None:
        """Open or close an element."""
        alone = attributes.rstrip().endswith("/")
        if self._dropping:
            if name == self._dropping and not alone:
                self._depth += -1 if closing else 1
                self._dropping = self._dropping if self._depth else ""
            return
        if name in self._dropped:
            if not closing and not alone:
                self._dropping, self._depth = name, 1
            return
        if name in _STYLES:
            style = _STYLES[name]
            self._styles[style] = max(0, self._styles[style] + (0 if alone else -1 if closing else 1))
        elif name in _BLOCKS:
            self._block(name, closing, attributes)

    def text(self, text: str) -> None:
        """Text between two tags."""
        if not self._dropping:
            text = html.unescape(text) if "&" in text else text
            self._runs.append(Run(text, self._styles["bold"] > 0, self._styles["italic"] > 0))

    def end(self) -> None:
        """Close what is open."""
        self._flush()

    def _block(self, name: str, closing: bool, attributes: str) -> None:
        if name == "br" and self._level:
            self._runs.append(Run(" "))
            return
        self._flush()
        if name == "hr":
            self.blocks.append(Block("", rule=True))
        elif name == "pre":
            self._pre = max(0, self._pre + (-1 if closing else 1))
        elif name[0] == "h" and name[1:].isdigit():
            self._level = 0 if closing else int(name[1])
        if not closing:
            self._types = [value for pair in _TYPE.findall(attributes) for value in pair if value]
            if name != "br":
                self._styles = {"bold": 0, "italic": 0}

    def _flush(self) -> None:
        if not self._runs:
            return
        runs, self._runs = self._runs, []
        if self._pre:
            for line in "".join(run.text for run in runs).split("\n"):
                if line.strip():
                    self.blocks.append(Block(line.rstrip(), types=" ".join(self._types)))
            return
        if self._level:
            text = one_line("".join(run.text for run in runs))
        else:
            text = marked(run._replace(text=self._spaces.sub(" ", run.text)) for run in runs)
            text = self._spaces.sub(" ", text).strip()
        blank = "blank" in self._types and any("\u00a0" in run.text for run in runs)  # an empty line that is meant
        if text or blank:
            self.blocks.append(Block(text, self._level, types=" ".join(self._types)))
