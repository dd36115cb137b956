"""Related passages: what the writer's own texts already say about what is being written now.

Texts are cut into passages at sentence ends and found by BM25 (Robertson and Walker 1994; Robertson and Zaragoza 2009) over
words in English and pairs of characters in Chinese, so nothing is fetched and every hit can be explained by its words.
With a sentence embedder the two orders are fused by their ranks (Cormack et al. 2009).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from storyteller.corpus.language import HAN, count_words, split_sentences, words_of
from storyteller.corpus.story import Language

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from storyteller.evaluate.embedding import Embedder

__all__ = ["Index", "Passage", "related"]

_K1, _B = 1.2, 0.75  # saturation of a term's count, and how much a passage's length counts
_FUSED = 60  # reciprocal rank fusion's constant
_WIDE = 100  # passages of either order that fusion looks at
_LONG = 90  # words or 字 of a passage, about; a paragraph or two
_LEAST = 0.25  # of the best score
_QUERY = 1200  # characters of a query that are read: its end, where the writer is
_HAN_RUN = re.compile(f"[{HAN}]+")
_ENDLESS = 600  # characters of a sentence
_CLAUSES = re.compile(r"(?s).{1,400}(?:[\s,;，；、]|$)|.{1,400}")
_ENDING = re.compile(r"(?:'s|ies|es|s|ed|ing)$")


@dataclass(frozen=True, slots=True)
class Passage:
    """A place in a source: characters `start` to `end`, how well it fits (higher is better), and the terms that say so."""

    text: str
    source: str
    start: int
    end: int
    score: float
    terms: tuple[str, ...] = ()


@dataclass(slots=True)
class _Held:
    """A passage in the index."""

    source: str
    text: str
    start: int
    counts: Counter[str]
    size: int
    vector: NDArray[np.float32] | None = None


class Index:
    """Passages of many sources. A source that is put again replaces itself, and costs nothing when it has not changed."""

    def __init__(self, embedder: Embedder | None = None) -> None:
        """`embedder` adds meaning to words; see `evaluate.embedding.choose_embedder`."""
        self._embedder = embedder
        self._held: dict[int, _Held] = {}
        self._having: defaultdict[str, dict[int, int]] = defaultdict(dict)  # term -> passage -> count
        self._sources: dict[str, tuple[str, list[int]]] = {}
        self._words = 0
        self._next = 0

    def __len__(self) -> int:
        return len(self._held)

    def put(self, source: str, text: str, language: Language) -> bool:
        """Take a text under the name `source` in the place of what it held before; whether anything changed."""
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()
        before = self._sources.get(source)
        if before is not None and before[0] == digest:
            return False
        kept = {self._held[number].text: self._held[number].vector for number in before[1]} if before else {}
        self.drop(source)
        numbers = []
        for start, end in _passages(text, language):
            held = _Held(source, text[start:end], start, Counter(_terms(text[start:end])), 0)
            held.size, held.vector = held.counts.total(), kept.get(held.text)
            self._held[self._next] = held
            self._words += held.size
            for term, count in held.counts.items():
                self._having[term][self._next] = count
            numbers.append(self._next)
            self._next += 1
        self._sources[source] = (digest, numbers)
        self._embed(numbers)
        return True

    def drop(self, source: str) -> None:
        """Forget a source."""
        for number in self._sources.pop(source, ("", []))[1]:
            held = self._held.pop(number)
            self._words -= held.size
            for term in held.counts:
                having = self._having[term]
                del having[number]
                if not having:
                    del self._having[term]

    def search(self, query: str, limit: int, without: Collection[str] = ()) -> list[Passage]:
        """The passages that fit best, the best first; those of the sources `without` are left out."""
        query = query[-_QUERY:]
        scores, told = self._matches(query)
        allowed = {number: score for number, score in scores.items() if self._held[number].source not in without}
        order = sorted(allowed, key=lambda number: (-allowed[number], number))
        if self._embedder is not None:
            order, allowed = self._fused(query, order[:_WIDE], without)
        return [self._passage(number, allowed[number], told) for number in order[:limit]]

    def _matches(self, query: str) -> tuple[dict[int, float], dict[str, float]]:
        """BM25 of every passage that has a term of the query, and the weight of each term."""
        scores: defaultdict[int, float] = defaultdict(float)
        mean = self._words / max(1, len(self._held))
        weights = {}
        for term in dict.fromkeys(_terms(query)):
            having = self._having.get(term)
            if not having:
                continue
            weights[term] = weight = math.log1p((len(self._held) - len(having) + 0.5) / (len(having) + 0.5))
            for number, count in having.items():
                length = 1 - _B + _B * self._held[number].size / mean
                scores[number] += weight * count * (_K1 + 1) / (count + _K1 * length)
        return scores, weights

    def _passage(self, number: int, score: float, weights: dict[str, float]) -> Passage:
        held = self._held[number]
        found = sorted((term for term in weights if term in held.counts), key=lambda term: -weights[term])
        return Passage(held.text, held.source, held.start, held.start + len(held.text), score, tuple(found[:6]))

    def _embed(self, numbers: list[int]) -> None:
        if self._embedder is None or not (new := [number for number in numbers if self._held[number].vector is None]):
            return
        for number, vector in zip(new, self._embedder.embed([self._held[one].text for one in new]), strict=True):
            self._held[number].vector = vector

    def _fused(self, query: str, by_words: list[int], without: Collection[str]) -> tuple[list[int], dict[int, float]]:
        """The two orders as one: a passage's score is the sum of 1 / (60 + rank) over them."""
        import numpy as np

        assert self._embedder is not None
        numbers = [number for number, held in self._held.items() if held.source not in without]
        scores: defaultdict[int, float] = defaultdict(float)
        if numbers:
            vectors: Any = np.array([self._held[number].vector for number in numbers])
            near = np.argsort(-(vectors @ self._embedder.embed([query])[0]), kind="stable")[:_WIDE]
            for rank, place in enumerate(near):
                scores[numbers[place]] += 1 / (_FUSED + rank)
        for rank, number in enumerate(by_words):
            scores[number] += 1 / (_FUSED + rank)
        return sorted(scores, key=lambda number: (-scores[number], number)), scores


def related(query: str, index: Index, limit: int = 3, *, without: Collection[str] = ()) -> list[Passage]:
    """The passages that are related to what is being written (its last 1,200 characters), at most one a source.

    `without` names sources that the model sees anyway, such as the scene itself. A passage that shares no word of weight
    with the query is not related, whatever else there is; nor is one that fits far less than the best.
    """
    found: dict[str, Passage] = {}
    passages = index.search(query, 4 * limit, without)
    for passage in passages:
        if passage.terms and passage.score >= _LEAST * passages[0].score:
            found.setdefault(passage.source, passage)
    return list(found.values())[:limit]


def _terms(text: str) -> Iterator[str]:
    """English words less their endings; of Chinese, every pair of neighbours."""
    for word in words_of(_HAN_RUN.sub(" ", text).lower().replace("’", "'")):
        stem = _ENDING.sub("", word) if len(word) > 4 else word
        if stem not in _COMMON:
            yield stem
    for run in _HAN_RUN.findall(text):
        if len(run) == 1:
            yield run
        for at in range(len(run) - 1):
            yield run[at : at + 2]


def _passages(text: str, language: Language) -> Iterator[tuple[int, int]]:
    """The places of passages of about 90 words or 字: whole sentences, ending at a paragraph's end where one is near."""
    start = end = 0
    words = 0
    for sentence in _pieces(text, language):
        size = count_words(sentence, language)
        if words and words + size > 1.5 * _LONG:
            yield start, end
            start, words = end, 0
        end, words = end + len(sentence), words + size
        if words >= _LONG or (words >= 0.6 * _LONG and "\n" in sentence):
            yield start, end
            start, words = end, 0
    if words:
        yield start, end


def _pieces(text: str, language: Language) -> Iterator[str]:
    """The sentences of a text; what goes on and on without an end is cut at its clauses."""
    for sentence in split_sentences(text, language):
        yield from _CLAUSES.findall(sentence) if len(sentence) > _ENDLESS else (sentence,)


_COMMON_WORDS = (
    "the and of to a in that he she it his her was with for had they said at but from not were have this my be are i you"
    " there when what who your their would him them which is as on so if or an by me we our no do did then out up"
)
_COMMON = frozenset(_COMMON_WORDS.split())
