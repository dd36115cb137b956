"""Project Gutenberg's frame around a text: found, read for its metadata, and taken off."""

from __future__ import annotations

import re

__all__ = ["gutenberg_header", "strip_gutenberg"]

_START = re.compile(
    r"^.{0,20}\*\*\* ?START OF (?:THE|THIS) PROJECT GUTENBERG EBOOK[^\n]*(?:\n[^\n]+)*?\*\*\*[ \t]*$"
    r"|^\*+ ?(?:END|start) ?\*? ?THE SMALL PRINT[^\n]*$"
    r"|^\*END\*? ?THE SMALL PRINT!?[^\n]*$",
    re.I | re.M,
)
_END = re.compile(
    r"^.{0,20}\*\*\* ?END OF (?:THE|THIS) PROJECT GUTENBERG|^\s*End of (?:the |this )?Project Gutenberg(?:'s|’s)?"
    r"|^\*\*\*END OF THE PROJECT|^\s*START: FULL LICENSE",
    re.I | re.M,
)
_CREDITS = re.compile(
    r"(?:produced|prepared|transcribed|scanned|digitized|e-?text) (?:and \w+ )?(?:was )?(?:prepared |produced )?by\b"
    r"|proofread(?:ing|ers)|html version by|pgdp\.net|gutenberg|updated editions will replace|transcription by",
    re.I,
)
_NOTE = re.compile(r"(?:\[?transcriber[’']?s?[’']? notes?\b|\*+ ?transcriber|this etext was produced from)", re.I)
_FRAME_WORDS = ("utenberg", "UTENBERG", "SMALL PRINT", "ranscriber", "RANSCRIBER", "his etext was")
_KEY = re.compile(r"^(Title|Author|Language):[ \t]*([^\n]+)", re.M)
_LANGUAGES = {"english": "en", "chinese": "zh"}


def gutenberg_header(text: str) -> dict[str, str]:
    """`title`, `author` and `language` as the header of a Gutenberg text states them; empty for another text."""
    head = text[:6000]
    if "gutenberg" not in head.lower():
        return {}
    found = {key.lower(): value.strip() for key, value in reversed(_KEY.findall(head))}
    if "language" in found:
        found["language"] = _LANGUAGES.get(found["language"].lower(), found["language"])
    return found


def strip_gutenberg(text: str) -> str:
    """`text` without the licence, the small print, the credits and the transcriber's notes of Project Gutenberg.

    A text without that frame is returned as it is; only the START and END lines of the frame itself cut, so that a
    story that tells of Gutenberg stays whole.
    """
    if not any(word in text for word in _FRAME_WORDS):
        return text
    framed = False
    starts = list(_START.finditer(text[:60_000]))
    if starts:
        text, framed = text[starts[-1].end() :], True
    end = _END.search(text, max(0, len(text) - 60_000))
    if end and end.start() > 0:
        text, framed = text[: end.start()], True
    return _without_credits(text) if framed or _NOTE.search(text[:3000]) else text


def _without_credits(text: str) -> str:
    """`text` without the paragraphs of credits and transcriber's notes among its first and last ones."""
    blocks = re.split(r"\n[ \t]*\n", text.strip("\n"))
    edge = min(12, len(blocks))
    kept = []
    for number, block in enumerate(blocks):
        near = number < edge or number >= len(blocks) - 4
        bare = " ".join(block.split())
        if near and (_NOTE.match(bare.lstrip("_*=[ ")) or (len(bare) < 500 and _CREDITS.search(bare))):
            continue
        kept.append(block)
    return "\n\n".join(kept) if len(kept) < len(blocks) else text
