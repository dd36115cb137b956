"""A saved web page, in."""

from __future__ import annotations

import re

from storyteller.craft.book import Book
from storyteller.craft.formats.markup import Block, blocks_of
from storyteller.craft.formats.outline import chapters_of, is_break
from storyteller.craft.formats.plain import language_of, one_line, title_of
from storyteller.errors import DataError

__all__ = ["read_page"]

_TITLE = re.compile(r"<title[^<>]*>([^<]*)", re.I)
_LANGUAGE = re.compile(r"""<html[^<>]*\blang=["']?([\w-]+)""", re.I)


def read_page(name: str, markup: str) -> Book:
    """The story on a web page."""
    blocks = [Block("", rule=True) if is_break(block.text) else block for block in blocks_of(markup)]
    if not any(block.text for block in blocks):
        raise DataError(f"{name} holds no text.")
    title = _TITLE.search(markup[:20_000])
    language = _LANGUAGE.search(markup[:20_000])
    declared = language.group(1) if language else None
    text = "\n".join(block.text for block in blocks[:200])
    named = one_line(_plain(title.group(1))) if title else ""
    alone = [block for block in blocks if block.level == 1]
    if len(alone) == 1 and blocks[0] is alone[0]:
        named, blocks = alone[0].text, blocks[1:]
    return Book(named or title_of(name), language=language_of(text, declared), parts=chapters_of(blocks))


def _plain(text: str) -> str:
    import html

    return html.unescape(text)
