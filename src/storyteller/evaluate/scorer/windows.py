"""A story as the short windows that the scorer reads: it was trained on windows, so it scores windows."""

from __future__ import annotations

from collections.abc import Sequence

from storyteller.corpus.language import count_words, split_sentences

__all__ = ["WINDOW_WORDS", "windows_of"]

WINDOW_WORDS = 80
"""Words of a window at most, unless one sentence is longer: about five to eight sentences of a plain story."""
SENTENCE_WORDS = 60
"""A sentence longer than this is cut; it is a list, a loop or no prose."""


def windows_of(text: str, words: int = WINDOW_WORDS) -> list[list[str]]:
    """The sentences of a normalised English text in windows of nearly equal length, each at most about `words` long."""
    sentences = [piece for whole in split_sentences(text, "en") for piece in _cut(whole)]
    lengths = [count_words(sentence, "en") for sentence in sentences]
    number = max(1, -(-sum(lengths) // words))
    share = sum(lengths) / number
    windows: list[list[str]] = [[]]
    read = 0.0
    for sentence, length in zip(sentences, lengths, strict=True):
        # A sentence belongs to the window that its middle falls into.
        if windows[-1] and len(windows) < number and read + length / 2 > share * len(windows):
            windows.append([])
        windows[-1].append(sentence)
        read += length
    return [window for window in windows if window]


def _cut(sentence: str) -> Sequence[str]:
    words = sentence.split(" ")
    if len(words) <= SENTENCE_WORDS:
        return (sentence,)
    parts = [words[start : start + SENTENCE_WORDS] for start in range(0, len(words), SENTENCE_WORDS)]
    return [" ".join(part) + (" " if number < len(parts) - 1 else "") for number, part in enumerate(parts)]
