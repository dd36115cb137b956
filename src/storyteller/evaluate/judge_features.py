"""What judges see of a text: hashed n-grams of words or characters, or only its lengths, or only its punctuation."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus.language import count_words
from storyteller.corpus.story import Language

__all__ = ["length_features", "ngram_features", "punctuation_features"]

_BITS = 18
"""n-grams are hashed into 2**18 features: stories of 250 words have about 10**5 different character n-grams a thousand."""

_ORDERS = {"word": (1, 2), "char": (2, 3, 4)}  # 5-grams cost four times the time and gain .001 AUC
_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[^\w\s]")
_MARK = re.compile(r"[^\w\s]")
_QUANTILES = 8


def ngram_features(texts: Sequence[str], family: Literal["word", "char"], language: Language) -> Any:
    """A sparse matrix [texts, 2**18] of logarithmic counts of word 1-2-grams or character 2-4-grams, rows of length 1.

    Words are lower-cased, with punctuation as tokens; in Chinese they are those of jieba. Chinese characters carry more
    each, so that 1-3-grams of them are taken.
    """
    from scipy.sparse import csr_array

    if family == "word":
        sequences = [_hashes(_words(text, language)) for text in texts]
        orders = _ORDERS["word"]
    else:
        sequences = [np.frombuffer(f" {text} ".encode("utf-32-le"), np.uint32).astype(np.uint64) for text in texts]
        orders = (1, 2, 3) if language == "zh" else _ORDERS["char"]
    rows, columns = _hashed(sequences, orders)
    matrix = csr_array((np.ones(len(rows), np.float64), (rows, columns)), shape=(len(texts), 1 << _BITS))
    matrix.sum_duplicates()
    matrix.data = np.log1p(matrix.data)
    row = np.repeat(np.arange(len(texts)), np.diff(matrix.indptr))
    matrix.data /= np.sqrt(np.bincount(row, matrix.data**2, len(texts)))[row]
    return matrix


def length_features(human: Sequence[str], system: Sequence[str], language: Language) -> NDArray[np.float64]:
    """How long the texts are, in words or 字, in eight classes so that no shape is missed.

    Letters a word and words a sentence are style, which a judge may see; the number of words is an accident of the cap.
    """
    return _classes(np.array([count_words(text, language) for text in (*human, *system)], np.float64))


def punctuation_features(human: Sequence[str], system: Sequence[str]) -> NDArray[np.float64]:
    """The share of each mark among a text's marks, and which one the text ends with: no word, and no length."""
    texts = [*human, *system]
    found = [_MARK.findall(text) for text in texts]
    place = {mark: number for number, mark in enumerate(sorted({mark for marks in found for mark in marks}))}
    shares = np.zeros((len(texts), 2 * len(place)))
    for row, (text, marks) in enumerate(zip(texts, found, strict=True)):
        for mark in marks:
            shares[row, place[mark]] += 1 / len(marks)
        if text and text[-1] in place:
            shares[row, len(place) + place[text[-1]]] = 1.0
    return np.asarray((shares - shares.mean(0)) / np.maximum(shares.std(0), 1e-9))


def _words(text: str, language: Language) -> list[str]:
    if language == "zh":
        import rjieba

        return [word for word in rjieba.cut(text) if not word.isspace()]
    return _TOKEN.findall(text.lower())


def _hashes(words: Sequence[str]) -> NDArray[np.uint64]:
    return np.array([zlib.crc32(word.encode()) for word in words], np.uint64)


def _hashed(sequences: Sequence[NDArray[np.uint64]], orders: Sequence[int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows and columns of all n-grams of `orders`; no n-gram reaches from one sequence into the next."""
    lengths = np.array([len(sequence) for sequence in sequences])
    symbols = np.concatenate(sequences) + np.uint64(1)
    document = np.repeat(np.arange(len(sequences), dtype=np.int32), lengths)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(symbols))
    mix = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: Knuth's multiplicative hashing
    state = np.zeros(len(symbols), np.uint64)
    rows, columns = [], []
    for order in range(1, max(orders) + 1):
        following = np.zeros_like(symbols)
        following[: len(symbols) - order + 1] = symbols[order - 1 :]
        state = (state ^ following) * mix
        state ^= state >> np.uint64(29)
        if order in orders:
            inside = left >= order
            rows.append(document[inside])
            columns.append(((state[inside] * mix) >> np.uint64(64 - _BITS)).astype(np.int32))
    return np.concatenate(rows), np.concatenate(columns)


def _classes(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """One column a quantile class [texts, classes]."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _QUANTILES + 1)[1:-1]))
    return np.eye(len(edges) + 1)[np.searchsorted(edges, values, "right")]
