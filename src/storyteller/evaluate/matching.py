"""Making human and generated texts alike in everything but what they tell: one spelling of marks, one length, whole ends.

A judge finds the easiest difference. Curly quotes, double spaces, a cut last sentence or 30 words more would be it, and
its AUC would then say nothing about stories.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus.language import HAN, count_words, identify_language, split_sentences
from storyteller.corpus.story import Language
from storyteller.errors import DataError

__all__ = ["Matched", "check_texts", "equalise", "normalise"]

_MARKS = str.maketrans(
    {
        **dict.fromkeys("“”„‟«»‹›「」『』〝〞〟＂", '"'),
        **dict.fromkeys("‘’‚‛`´", "'"),
        **dict.fromkeys("‐‑‒–—―−─", "-"),
        **dict.fromkeys("\u200b\u200c\u200d\ufeff\u00ad", ""),
    }
)
_DASHES = re.compile(r"\s*-{2,}\s*|\s+-\s+")
_SPACES = re.compile(r"\s+")
_NOT_WORDS = re.compile(r"[^\w\s]|_")
_BESIDE_HAN = re.compile(rf"(?<=[{HAN}])\s+|\s+(?=[{HAN}])")
_OTHER_SHARE = 0.05
"""So many texts may seem to be in another language before something is wrong: a page of names can look like one."""


@dataclass(frozen=True, slots=True)
class Matched:
    """Texts of equal length in pairs; `kept` says which pairs of the input they are."""

    human: list[str]
    system: list[str]
    kept: list[int]


def normalise(text: str, punctuation: bool = True) -> str:
    """`text` with one spelling of quotes, dashes, spaces and compatible characters (NFKC), in one line.

    Without `punctuation` only the words are left, so that no judge can use the marks; nor where they stood, as a space
    beside a Han character would tell.
    """
    plain = unicodedata.normalize("NFKC", text.translate(_MARKS)).translate(_MARKS)
    plain = _DASHES.sub(" - ", plain)
    if not punctuation:
        plain = _BESIDE_HAN.sub("", _NOT_WORDS.sub(" ", plain.replace("'", "")))
    return _SPACES.sub(" ", plain).strip()


def equalise(
    human: Sequence[str],
    system: Sequence[str],
    language: Language,
    *,
    cap_words: int | None = None,
    tolerance: float = 0.1,
) -> Matched:
    """Normalised pairs, both cut at an end of a sentence so that their lengths are as nearly equal and as great as can be.

    Lengths are words, in Chinese 字; `cap_words` bounds them. A pair whose lengths cannot be brought within `tolerance`
    of each other is dropped. A text that stops within a sentence loses that sentence.
    """
    if len(human) != len(system):
        raise DataError(f"{len(human)} human texts and {len(system)} of the system: pairs need as many of both.")
    matched = Matched([], [], [])
    for number, pair in enumerate(zip(human, system, strict=True)):
        pieces = [_sentences(normalise(text), language) for text in pair]
        lengths = [_ends(sentences, language, cap_words) for sentences in pieces]
        if not all(len(ends) for ends in lengths):
            continue
        first, second = _nearest(*lengths)
        one, other = int(lengths[0][first]), int(lengths[1][second])
        if abs(one - other) <= tolerance * max(one, other):
            matched.human.append("".join(pieces[0][: first + 1]).strip())
            matched.system.append("".join(pieces[1][: second + 1]).strip())
            matched.kept.append(number)
    return matched


def check_texts(texts: Sequence[str], language: Language, what: str) -> None:
    """Raise `DataError` for stories of no word or one, and for a language that is not the one meant."""
    short = [number for number, text in enumerate(texts) if count_words(text, language) < 2]
    if short:
        raise DataError(
            f"{len(short)} of {len(texts)} {what} texts are empty or a single word (the first is number {short[0] + 1}). "
            "Leave out their prompts for all systems, and report how many there were."
        )
    others = [found for text in texts if (found := identify_language(text)) not in (None, language)]
    if len(others) > _OTHER_SHARE * len(texts):
        raise DataError(
            f"{len(others)} of {len(texts)} {what} texts are in {others[0]!r}, not in {language!r}; "
            "evaluate each language by itself."
        )


def _sentences(text: str, language: Language) -> list[str]:
    """The sentences of a text; marks before its first word, such as an ellipsis, are part of the first one."""
    pieces = split_sentences(text, language)
    first = next((number for number, piece in enumerate(pieces) if count_words(piece, language)), 0)
    return ["".join(pieces[: first + 1]), *pieces[first + 1 :]]


def _ends(sentences: Sequence[str], language: Language, cap: int | None) -> NDArray[np.int64]:
    """The words up to the end of each whole sentence, as far as `cap` allows."""
    from storyteller.corpus.language import ends_sentence

    lengths = np.cumsum([count_words(sentence, language) for sentence in sentences], dtype=np.int64)
    if len(sentences) > 1 and not ends_sentence(sentences[-1]):
        lengths = lengths[:-1]
    lengths = lengths[lengths <= cap] if cap is not None else lengths
    return lengths if lengths.size and lengths[0] > 0 else lengths[:0]


def _nearest(first: NDArray[np.int64], second: NDArray[np.int64]) -> tuple[int, int]:
    """Where to cut two texts: the longest pair of beginnings, a word of difference costing as much as four of length."""
    shorter, gap = np.minimum.outer(first, second), np.abs(np.subtract.outer(first, second))
    place = int(np.argmax(shorter - 4 * gap))
    return place // len(second), place % len(second)
