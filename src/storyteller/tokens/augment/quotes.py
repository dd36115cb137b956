"""Where a text is somebody's own words: quotations, which no variant may change."""

from __future__ import annotations

import re

from storyteller.corpus.story import Language

__all__ = ["quoted"]

# A quotation that is never closed ends with its paragraph: so are speeches printed that go on in the next one.
_END = r"(?=\n[ \t]*\n|\Z)"
_QUOTES = {
    "en": re.compile(
        rf"“(?:[^”\n]|\n(?![ \t]*\n))*(?:”|{_END})"
        rf'|"(?:[^"\n]|\n(?![ \t]*\n))*(?:"|{_END})'
        r"|(?<!\w)‘(?:[^\n]|\n(?![ \t]*\n))*?’(?!\w)"
        r"|(?<!\w)'(?:[^\n]|\n(?![ \t]*\n))*?'(?!\w)"
    ),
    "zh": re.compile(
        rf"“(?:[^”\n]|\n(?![ \t]*\n))*(?:”|{_END})|「[^」\n]*(?:」|{_END})|『[^』\n]*(?:』|{_END})"
        rf'|"(?:[^"\n]|\n(?![ \t]*\n))*(?:"|{_END})'
    ),
}


def quoted(text: str, language: Language) -> list[tuple[int, int]]:
    """The (start, end) of each quotation with its marks, in order; nested ones are part of the outer."""
    return [match.span() for match in _QUOTES[language].finditer(text)]
