"""Emphasis in a line of a manuscript: `*italic*`, `**bold**`, in screenplays `_underlined_`, as runs and back.

No character is ever lost on the way, both ways take time in proportion to the line, and `marked(runs_of(line))` reads as `line`
does. Runs that Markdown cannot write (half a word underlined) come out plain.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

__all__ = ["Run", "marked", "plain", "runs_of"]

_MARK = re.compile(r"\\([*_\\])|(\*+|_)")
_PLAIN = (False, False, False)
_WIDTH = {"bold": 2, "italic": 1, "underline": 1}


class Run(NamedTuple):
    """A piece of a line in one style."""

    text: str
    bold: bool = False
    italic: bool = False
    underline: bool = False


def runs_of(line: str, *, underline: bool = False) -> list[Run]:
    """The runs of a line; a mark without its partner is a character like any other."""
    pieces: list[str] = []  # text and marks in their order
    opened: dict[str, tuple[int, int]] = {}  # style -> the piece that opens it, and how much text there was before
    marks: dict[int, list[str]] = {}  # piece -> the styles that it switches
    last = said = 0
    for match in _MARK.finditer(line):
        escaped, mark = match.groups()
        pieces.append(line[last : match.start()])
        said += match.start() - last
        last = match.end()
        if escaped:
            pieces.append(escaped)
            said += 1
            continue
        before, after = line[match.start() - 1 : match.start()], line[last : last + 1]
        closable = {style for style, (_, length) in opened.items() if length < said}  # marks around nothing are text
        for style in _switched(mark, before, after, opened.keys() - closable, closable, underline):
            if style in opened:
                marks.setdefault(opened.pop(style)[0], []).append(style)
                marks.setdefault(len(pieces), []).append(style)
            else:
                opened[style] = (len(pieces), said)
        pieces.append(mark)
    pieces.append(line[last:])
    return _merged(_styled(pieces, marks))


def marked(runs: Iterable[Run], *, underline: bool = False) -> str:
    """One line that `runs_of` reads as these runs; marks are escaped only where they would be misread."""
    wanted = _merged(runs)
    for literal in (str, _escaped):
        line = _written(wanted, literal)
        if runs_of(line, underline=underline) == wanted:
            return line
    return "".join(_escaped(run.text) for run in wanted)


def plain(line: str) -> str:
    """The line without its marks of emphasis."""
    return "".join(run.text for run in runs_of(line)) if "*" in line or "\\" in line else line


def _switched(mark: str, before: str, after: str, blocked: set[str], closable: set[str], underline: bool) -> list[str]:
    """The styles that a mark switches here: those that it closes, then those that it opens; all of the mark or nothing."""
    closes, opens = bool(before.strip()), bool(after.strip())
    if mark == "_":
        word = (before[-1:] + after[:1]).isalnum() and len(before) == len(after) == 1
        possible = closes if "underline" in closable else opens and "underline" not in blocked
        return ["underline"] if underline and possible and not word else []
    left, styles = len(mark), list[str]()
    order = ("bold", "italic") if left > 1 else ("italic",)
    for style in order:
        if closes and style in closable and _WIDTH[style] <= left:
            styles.append(style)
            left -= _WIDTH[style]
    for style in order:
        if opens and style not in closable | blocked and style not in styles and _WIDTH[style] <= left:
            styles.append(style)
            left -= _WIDTH[style]
    return styles if not left else []


def _styled(pieces: list[str], marks: dict[int, list[str]]) -> Iterable[Run]:
    on: set[str] = set()
    for number, piece in enumerate(pieces):
        if number not in marks:
            yield Run(piece, "bold" in on, "italic" in on, "underline" in on)
            continue
        used = sum(_WIDTH[style] for style in marks[number])
        yield Run(piece[used:], "bold" in on, "italic" in on, "underline" in on)
        on.symmetric_difference_update(marks[number])


def _merged(runs: Iterable[Run]) -> list[Run]:
    """Runs without empty ones, white space at the edges of a styled run set free, equal neighbours joined."""
    groups: list[tuple[tuple[bool, ...], list[str]]] = []
    for run in runs:
        body = run.text.strip()
        start = run.text.index(body) if body else len(run.text)
        space, rest = run.text[:start], run.text[start + len(body) :]
        for text, style in ((space, None), (body, run[1:]), (rest, None)):
            if not text:
                continue
            if style is None:  # white space has no style of its own: it takes that of what follows, if it is the same
                groups.append((_PLAIN, [text]))
            elif groups and groups[-1][0] == style:
                groups[-1][1].append(text)
            elif len(groups) > 1 and groups[-2][0] == style and not "".join(groups[-1][1]).strip():
                groups[-2][1].extend([*groups.pop()[1], text])
            else:
                groups.append((style, [text]))
            if len(groups) > 1 and groups[-1][0] == groups[-2][0] == _PLAIN:
                groups[-2][1].extend(groups.pop()[1])
    return [Run("".join(texts), *style) for style, texts in groups]


def _written(runs: list[Run], literal: Callable[[str], str]) -> str:
    out: list[str] = []
    on: list[str] = []
    for run in [*runs, Run("")]:
        wanted = [style for style in ("bold", "italic", "underline") if getattr(run, style)]
        closing = [style for style in reversed(on) if style not in wanted]
        opening = [style for style in wanted if style not in on]
        out += [_sign(style) for style in closing + opening]
        on = [style for style in on if style in wanted] + opening
        out.append(literal(run.text))
    return "".join(out)


def _sign(style: str) -> str:
    return {"bold": "**", "italic": "*", "underline": "_"}[style]


def _escaped(text: str) -> str:
    return re.sub(r"([*_\\])", r"\\\1", text)
