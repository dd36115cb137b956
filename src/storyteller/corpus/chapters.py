"""A long book cut at its chapter headings into pieces of one work."""

from __future__ import annotations

import dataclasses
import re

from storyteller.corpus.language import ends_sentence
from storyteller.corpus.piece import Piece, Pieces, Skipped

__all__ = ["divide", "names_chapter"]

LONG = 30_000  # characters; a shorter text stays whole even when it has parts
WRAPPED = 16  # characters that a line of wrapped prose has at least
_NUMBER = r"(?:[IVXLCDM]+|\d+|(?:THE )?[A-Z][a-z]+(?:-[a-z]+)?|(?:THE )?[A-Z]+(?:-[A-Z]+)?)"
_CLAUSE = r"[^\n，,。！？…；]{2,20}"
_COUPLET = rf"(?P<couplet>(?P<gap>[ \t\u3000：:、·]*){_CLAUSE}[，,]{_CLAUSE})"  # 宴桃园豪杰三结义，斩黄巾英雄首立功
_CHINESE = rf"第[\d〇零一二三四五六七八九十百千两兩]+[回章节節卷折](?:{_COUPLET}|[^\n，。]{{0,40}})"
_HEADING = re.compile(
    r"^[ \t\u3000_*#]*((?:CHAPTER|Chapter|BOOK|Book|PART|Part|STAVE|Stave|LETTER|Letter|ADVENTURE|CANTO|Canto) "
    rf"{_NUMBER}\b(?:[.:—–-][^\n]{{0,70}})?|{_CHINESE})[ \t\u3000_*]*$",
    re.M,
)
_CAPITALS = re.compile(r"(?<=\n\n)[ \t\u3000_]*([A-Z][A-Z0-9 ’'\",.!?&:;—-]{3,60})[ \t_]*(?=\n[ \t]*\n)")
_NUMERAL = re.compile(r"(?<=\n\n)[ \t\u3000]*([IVXLC]{1,7}\.?)[ \t]*(?=\n[ \t]*\n)")


def divide(piece: Piece) -> Pieces:
    """`piece` itself, or its chapters when it is long and has three headings or more; headings alone are skipped."""
    text = piece.text
    if len(text) < LONG:
        yield piece
        return
    headings = next((found for rule in (_HEADING, _CAPITALS, _NUMERAL) if len(found := _found(rule, text)) >= 3), None)
    if headings is None:
        yield piece
        return
    work = piece.work or piece.title or piece.source
    front = text[: headings[0][0]].strip()
    if front:
        yield dataclasses.replace(piece, text=front, work=work, place=f"{piece.place} (before the first chapter)")
    empty: list[str] = []
    for number, (_, start, heading) in enumerate(headings):
        end = headings[number + 1][0] if number + 1 < len(headings) else len(text)
        body = text[start:end].strip()
        if len(body) < 200:
            empty.append(" ".join(f"{heading} {body}".split()))
            continue
        title = f"{piece.title} — {heading}" if piece.title else heading
        place = f"{piece.place} ({heading})"
        kind = "chapter" if names_chapter(heading) or _NUMERAL.match(f"\n\n{heading}\n\n", 2) else "story"
        yield dataclasses.replace(piece, text=body, title=title, work=work, place=place, kind=kind)
    if empty:
        yield Skipped("headings without text", piece.place, " / ".join(empty)[:80])


def names_chapter(line: str) -> bool:
    """Whether a line is the heading of a numbered chapter, book or part, in either language."""
    return _HEADING.fullmatch(line) is not None


def _found(rule: re.Pattern[str], text: str) -> list[tuple[int, int, str]]:
    """Start of the heading, end of the heading, and its words."""
    found = [match for match in rule.finditer(text) if not _is_prose(match, text)]
    return [(match.start(), match.end(), " ".join(match.group(1).split())) for match in found]


def _is_prose(match: re.Match[str], text: str) -> bool:
    """Whether what looks like a Chinese couplet of a heading is a line of prose: 第二章我们已经说过，他是一个人走的.

    Prose goes on from the line before, which no mark ends. Without a gap after the number, it may also go on into the
    next line, which is neither empty nor indented.
    """
    if not match.groupdict().get("couplet"):
        return False
    before = text[: match.start()].removesuffix("\n").rpartition("\n")[2].strip()
    if len(before) >= WRAPPED and not ends_sentence(before):
        return True
    after = text[match.end() + 1 : match.end() + 2]
    return not match["gap"] and bool(after.strip())
