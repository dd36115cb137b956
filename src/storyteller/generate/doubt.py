"""Whether what was told is a story at all: small models, base models above all, make lists, numbers and echoes too."""

from __future__ import annotations

import re

from storyteller.corpus.filters import layout_refusal
from storyteller.corpus.story import Form

__all__ = ["doubt"]

_ITEM = re.compile(
    r"[\s　]*(?:[(（]?(?:\d{1,3}|[一二三四五六七八九十]{1,3})[.、．)）:：]|[A-Z][.、)]|[-*•·#|<]|https?:)"
)


def doubt(text: str, form: Form) -> str | None:
    """What the text looks like when it is no story: `empty`, a `list`, or a reason of the corpus's filter."""
    if not text.strip():
        return "empty"
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) >= 4 and sum(bool(_ITEM.match(line)) for line in lines) >= 0.5 * len(lines):
        return "list"
    return layout_refusal(text, form)
