"""Words as the masked objective and the tokenizer's training see them: English by spaces, Chinese by rjieba."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus.language import HAN

__all__ = ["token_starts", "word_spans"]

# A run of Han characters, a word of any other letters or digits with the space before it, white space, any other mark.
_PIECE = re.compile(rf"[{HAN}]+| ?[^\W_{HAN}]+(?:[’'][^\W_{HAN}]+)*|\s+|.", re.DOTALL)
_HAN = re.compile(f"[{HAN}]")


def word_spans(text: str) -> list[tuple[int, int]]:
    """The words of a text as (start, end) in characters, gapless: joined they are the text.

    Runs of Han characters are cut by rjieba; a space belongs to the word that follows it, as in most tokenizers.
    """
    spans: list[tuple[int, int]] = []
    for match in _PIECE.finditer(text):
        start, end = match.span()
        if end - start > 1 and _HAN.match(match.group()):
            import rjieba

            for word in rjieba.cut(match.group()):
                spans.append((start, start + len(word)))
                start += len(word)
        else:
            spans.append((start, end))
    return spans


def token_starts(text: str, offsets: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Which tokens begin a group that belongs together: a word, or words that share a token; the first one does.

    `offsets` are the tokens' places in `text`, in characters. A token that is a part of a character (byte-level BPE)
    has the place of the whole character, and never begins a group unless it is the first of the character's parts.
    """
    if not offsets:
        return np.zeros(0, np.bool_)
    begins = np.zeros(len(text) + 1, np.bool_)
    for start, end in word_spans(text):
        begins[start] = True
        # Some tokenizers leave the space before a word out of the token's place.
        if end - start > 1 and text[start] == " ":
            begins[start + 1] = True
    places = np.asarray(offsets, np.int64)
    starts = begins[places[:, 0]]
    starts[1:] &= np.maximum.accumulate(places[:, 1])[:-1] <= places[1:, 0]
    starts[0] = True
    return np.asarray(starts)
