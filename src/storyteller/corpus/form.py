"""The form of a piece: what its file declares, else what its layout shows."""

from __future__ import annotations

import re
from collections import Counter

from storyteller.corpus.story import Form, Language

__all__ = ["SCRIPTS", "declared_form", "identify_form"]

SCRIPTS: frozenset[Form] = frozenset({"screenplay", "play", "dialogue"})

_DECLARED: tuple[tuple[str, Form], ...] = (
    (r"screen ?play|film|fountain|剧本|电影", "screenplay"),
    (r"\bplay\b|play (?:scene|act)|drama|theat|戏剧|话剧|杂剧", "play"),
    (r"dialog|conversation|对话", "dialogue"),
    (r"fable|寓言", "fable"),
    (r"lesson|教案|课文", "lesson"),
    (r"chapter|章回|章节|vernacular fiction", "chapter"),
    (r"story|stories|tale|fiction|novel|legend|myth|epic|prose|memoir|poem|故事|小说|童话|散文", "story"),
)
_NUMBER = r"(?:[ivxlcdm]+|\d+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|the \w+)"
_CHAPTER_TITLE = re.compile(
    rf"\b(?:chapter|book|part|canto|stave) {_NUMBER}\b|第[\d〇零一二三四五六七八九十百千两]+[回章节]", re.I
)
_SLUG = re.compile(
    r"(?:INT|EXT|INT\./EXT|I/E|EST)[. ].+|\.[A-Z].+|(?:\d+[、. ]*)?(?:内景|外景|內景|.{1,12} (?:日|夜) ?(?:内|外|內)\b)"
)
_ACT = re.compile(r"(?:ACT|SCENE) (?:[IVXLC]+|\d+)\b|第[一二三四五六七八九十]+[幕折出]")
_CUE = re.compile(r"([A-Z][A-Z .’'\-]{1,28})(?: ?\([^)]*\))?[.:]?$")
_SPEAKER = re.compile(r"([^\W\d_][\w.’' \-]{0,24}?|[\u4e00-\u9fff·]{1,6})(?: ?\([^)\n]*\)|（[^）\n]*）)?[:：] ?\S")
_MORAL = re.compile(r"^(?:the )?moral[.:—– ]|^(?:寓意|这个故事告诉我们)", re.I | re.M)


def declared_form(kind: str | None) -> Form | None:
    """The form that a file's `form` or `kind` names; `None` when it names none that we know."""
    if not kind:
        return None
    kind = kind.lower().replace("_", " ").replace("-", " ")
    return next((form for pattern, form in _DECLARED if re.search(pattern, kind)), None)


def identify_form(text: str, title: str | None, language: Language) -> Form:
    """The form that the layout of a cleaned text shows: scene headings, cues, speakers, a moral, a chapter's title."""
    lines = [line for line in text[:12_000].split("\n") if line]
    short = [line for line in lines if len(line) <= 80]
    slugs = sum(bool(_SLUG.match(line)) for line in short)
    cues = Counter(match.group(1) for line in short if (match := _CUE.match(line)))
    repeated = sum(count for count in cues.values() if count > 1)
    if slugs >= 2 or (slugs and repeated >= 2):
        return "screenplay"
    if repeated >= 4 and repeated >= 0.15 * len(lines):
        return "play"
    speakers = Counter(match.group(1) for line in lines if (match := _SPEAKER.match(line)))
    said = sum(count for count in speakers.values() if count > 1)
    if len(speakers) >= 2 and said >= 0.5 * len(lines) and said >= 4:
        return "play" if any(_ACT.match(line) for line in short) else "dialogue"
    if _MORAL.search(text[-400:]) and len(text) < 6000:
        return "fable"
    return "chapter" if title and _CHAPTER_TITLE.search(title) else "story"
