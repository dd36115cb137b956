"""The title page that a Fountain screenplay may begin with: `Key: value` lines, in English or Chinese."""

from __future__ import annotations

import re

__all__ = ["Line", "title_like", "title_page"]

Line = tuple[int, str]
"""A line's number in the source, and what it says."""

_TITLE_KEYS = frozenset(
    [
        "title",
        "credit",
        "author",
        "authors",
        "source",
        "notes",
        "draft date",
        "date",
        "contact",
        "copyright",
        "revision",
        "language",
        "lang",
        "标题",
        "片名",
        "剧名",
        "作者",
        "编剧",
        "署名",
        "原著",
        "日期",
        "联系",
        "版权",
        "语言",
    ]
)
_TITLE_LINE = re.compile(r"([^\s:：][^:：\n]{0,30}?)\s*[:：][ \t]*(.*)")


def title_like(line: str) -> bool:
    """Whether a line could stand on a title page."""
    match = _TITLE_LINE.match(line)
    return match is not None and match.group(1).lower() in _TITLE_KEYS


def title_page(lines: list[Line]) -> tuple[dict[str, str], int]:
    """The title page, and the place after it; a first line that only looks like one (`FADE IN:`) is none."""
    place = next((place for place, (_, line) in enumerate(lines) if line.strip()), 0)
    page: dict[str, str] = {}
    key = ""
    if not lines or not title_like(lines[place][1]):
        return page, 0
    while place < len(lines) and lines[place][1].strip():
        line = lines[place][1]
        match = _TITLE_LINE.match(line)
        if match and not line[0].isspace():
            key = match.group(1)
            page[key] = match.group(2).strip()
        elif line[0].isspace():
            page[key] = f"{page[key]}\n{line.strip()}".strip()
        else:
            break
        place += 1
    return page, place
