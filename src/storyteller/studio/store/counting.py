"""Counting the words of a text that changes, without reading all of it at each keystroke."""

from __future__ import annotations

import re

from storyteller.corpus.language import HAN, count_words
from storyteller.corpus.story import Language

__all__ = ["more_words"]

_JOINS = "’'‐-"  # what may stand inside a word
_HAN = re.compile(f"[{HAN}]")
_FAR = 2000


def more_words(before: str, removed: str, inserted: str, after: str, language: Language) -> int:
    """How many words a text gains when, between `before` and `after`, `inserted` takes the place of `removed`."""
    left = before[len(before) - _reach(_backwards(before), language) :]
    right = after[: _reach(after[:_FAR], language)]
    return count_words(left + inserted + right, language) - count_words(left + removed + right, language)


def _backwards(text: str) -> str:
    """The end of a text, backwards."""
    return text[-_FAR:][::-1]


def _reach(text: str, language: Language) -> int:
    """How many characters of `text` may belong to a word that begins before it."""
    for place, char in enumerate(text):
        if not (char.isalnum() or char in _JOINS) or (language == "zh" and _HAN.match(char)):
            return place
    return len(text)
