"""Text as it comes from anywhere, made safe to keep: one kind of newline, no control characters, no half characters."""

from __future__ import annotations

import re

from storyteller.corpus.encoding import decode, repair
from storyteller.corpus.language import identify_language
from storyteller.corpus.story import Language
from storyteller.errors import DataError

__all__ = [
    "MAX_FILE",
    "language_of",
    "named_language",
    "one_line",
    "read_text",
    "short",
    "spaced_lines",
    "text_lines",
    "tidy",
    "title_of",
]

MAX_FILE = 64 << 20  # bytes of one file; the longest novels are a tenth of it
_BREAKS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_NEVER = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")


def tidy(text: str) -> str:
    """`text` with "\\n" as its only line break and without what XML, JSON or a database would choke on."""
    return _NEVER.sub("", _BREAKS.sub("\n", text))


def text_lines(text: str) -> list[str]:
    """The paragraphs of a manuscript: its lines that are not empty."""
    return [line.rstrip() for line in text.split("\n") if line.strip()]


def spaced_lines(text: str) -> list[str]:
    """The paragraphs of a manuscript with the empty lines between them, as between the stanzas of a song."""
    return [line.rstrip() for line in text.strip().split("\n")] if text.strip() else []


def one_line(text: str) -> str:
    """`text` with every run of white space as one space."""
    return " ".join(text.split())


def short(text: str, length: int = 60) -> str:
    """The beginning of a text on one line, for messages."""
    text = one_line(text[: 4 * length])
    return text if len(text) <= length else f"{text[:length].rstrip()}…"


def read_text(name: str, data: bytes) -> str:
    """The text of a file in any encoding that can be recognised; `DataError` for a binary file and an empty one."""
    text = decode(data)
    if text is None:
        raise DataError(
            f"{name} is not text, or in an encoding that could not be recognised. Save it as UTF-8 and import it again."
        )
    text = tidy(repair(text))
    if not text.strip():
        raise DataError(f"{name} holds no text.")
    return text


def named_language(code: str | None) -> Language | None:
    """The language that a tag such as `zh-CN`, `en_GB` or `中文` names, if it is one of ours."""
    tag = (code or "").strip().lower()
    if tag.startswith(("zh", "cn", "chi", "中", "汉", "漢", "简", "繁")):
        return "zh"
    return "en" if tag.startswith("en") else None


def language_of(text: str, declared: str | None = None) -> Language:
    """The declared language, else what the text looks like, else English."""
    return (
        named_language(declared)
        or identify_language(text)
        or ("zh" if re.search("[\u4e00-\u9fff]", text[:4000]) else "en")
    )


def title_of(name: str) -> str:
    """A title from a file's name: without folders and suffix, underscores as spaces."""
    stem = re.sub(r"\.[A-Za-z0-9]{1,12}$", "", re.split(r"[/\\]", name)[-1])
    return one_line(tidy(stem).replace("_", " ")) or "Untitled"
