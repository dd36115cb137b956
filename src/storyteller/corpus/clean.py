"""Cleaning: one Unicode form, one kind of newline and space, whole paragraphs, no marks of markup."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

from storyteller.corpus.encoding import repair
from storyteller.corpus.language import HAN
from storyteller.corpus.story import Language

__all__ = ["clean", "paragraphs", "unmark"]

_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u2064\u3000\ufeff\ufffe]")
_SPACE_LIKE = frozenset("\x0b\x0c\x85\xa0\u1680\u202f\u205f\u3000\u2028\u2029") | {
    chr(c) for c in range(0x2000, 0x200B)
}
_SPACES = re.compile(r"[ \t]{2,}|\t")
_BLANKS = re.compile(r"\n{2,}")
_BREAK = re.compile(r"^(?:[*＊] ?){3,}$|^[-–—_=~·•]{3,}$|^[#§]$|^(?:· ?){3,}$", re.M)
_MEDIA = re.compile(r"\[(?:Illustration|Transcriber|Footnote|Sidenote)[^\]]*\]|!\[[^\]]*\]\([^)\n]*\)", re.I)
_NOTE_MARK = re.compile(r"(?<=[\w.,;!?”’\"'])\[\d{1,3}\]")
# Beside Han characters, which have no spaces between them, marks are emphasis; within a Latin word they are the word's
# own, and two strokes before a Chinese mark are a blank to be filled in.
_WITHIN = rf"(?:[^\W{HAN}]|[*_])"
_EMPHASIS = re.compile(
    rf"(?<!{_WITHIN})(\*{{1,3}}|_{{1,3}}(?![，。、；：！？]))(?=\S)([^*_\n]+?)(?<=\S)\1(?!{_WITHIN})"
)
_LINK = re.compile(r"\[([^\]\n]+)\]\([^)\s]+\)")
_HEADING = re.compile(r"^#{1,6} +(.+?)(?: #+)?$", re.M)
_INDENT = re.compile(r"(?:\u3000|\t| {2,})[ \t\u3000]*\S")
_SENTENCE_END = '。！？…”」』.!?"’'


def clean(text: str, language: Language = "en", *, script: bool = False) -> str:
    """`text` in NFC with tidy spaces and whole paragraphs, one empty line between them.

    Lines wrapped at a fixed width are joined; verse keeps its lines. In a `script` (a play, a screenplay, a dialogue)
    every line stays where it is.
    """
    text = repair(text)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    if not script:
        text = _apart(text)
    if _ODD.search(text):
        text = _ODD.sub(lambda match: " " if match.group() in _SPACE_LIKE else "", text)
    if "[" in text:
        text = _NOTE_MARK.sub("", _MEDIA.sub("", text))
    if "  " in text or "\t" in text:
        text = _SPACES.sub(" ", text)
    text = _BREAK.sub("* * *", "\n".join([line.strip() for line in text.split("\n")])).strip()
    if "\n\n\n" in text:
        text = _BLANKS.sub("\n\n", text)
    return text if script else paragraphs(text, chinese=language == "zh")


def _apart(text: str) -> str:
    """`text` with an empty line before each indented one, where indents alone say what a paragraph is.

    That is so when lines are wrapped (most are not indented) and empty lines are rare: Chinese texts with two wide
    spaces before a paragraph, English ones with a tab. Anywhere else an indent is verse or a quotation.
    """
    lines = text.split("\n")
    indented = [bool(_INDENT.match(line)) for line in lines]
    count, empty = sum(indented), sum(not line.strip() for line in lines)
    if count < 2 or empty * 10 > count or count * 5 > len(lines) * 4:
        return text
    return "\n".join(f"\n{line}" if deep else line for line, deep in zip(lines, indented, strict=True))


def unmark(text: str) -> str:
    """`text` without Markdown's marks: emphasis, links, headings and comments become plain words."""
    if "<!--" in text:
        text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    if "](" in text:
        text = _LINK.sub(r"\1", _MEDIA.sub("", text))
    if "*" in text or "_" in text:
        text = _EMPHASIS.sub(r"\2", _EMPHASIS.sub(r"\2", text))
    return _HEADING.sub(r"\1", text) if "#" in text else text


def paragraphs(text: str, *, chinese: bool) -> str:
    """`text` (its lines stripped) with wrapped lines joined and an empty line between paragraphs."""
    lines = text.split("\n")
    if len(lines) < 2:
        return text
    full = [line for line in lines if line]
    widths = sorted(map(len, full))
    width = widths[len(widths) * 19 // 20]
    if "" not in lines and (chinese or widths[len(widths) // 2] > 90):
        return "\n\n".join(full)  # no empty line at all: every line is a paragraph
    follows = [(before, line) for before, line in pairwise(lines) if before and line]
    if not follows or width > 110:
        return text
    going_on = sum(_goes_on(before, line, chinese) for before, line in follows)
    if going_on < (0.6 if chinese else 0.45) * len(follows):
        return text
    return "\n\n".join([_joined(block.split("\n"), width, chinese) for block in _BLANKS.split(text)])


def _goes_on(before: str, line: str, chinese: bool) -> bool:
    return before[-1] not in _SENTENCE_END if chinese else line[0].islower()


def _joined(lines: list[str], width: int, chinese: bool) -> str:
    """The lines of one paragraph as one line, unless they are verse: short, each with a capital."""
    if len(lines) == 1:
        return lines[0]
    going_on = sum(_goes_on(before, line, chinese) for before, line in pairwise(lines))
    long = sum(len(line) >= 0.75 * width for line in lines[:-1])
    if going_on * 3 < len(lines) - 1 and long * 2 < len(lines) - 1:
        return "\n".join(lines)
    if chinese:
        return "".join(lines)
    joined = " ".join(lines)
    return joined.replace("-- ", "--") if "-- " in joined and " -- " not in joined else joined
