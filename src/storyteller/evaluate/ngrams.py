"""Tokens and n-grams of many texts at once: what the counting metrics stand on.

A token is a lower-cased English word (`don't` and `well-known` are one each), a Han character, or a punctuation mark:
what BLEU counts in English and, as Chinese has no spaces, its characters (as in sacreBLEU; Post 2018). Curly and straight
quotes, `...` and `…`, `--` and `—` are the same mark, so that no metric measures typography.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus.language import HAN
from storyteller.errors import DataError

__all__ = ["NGrams", "encode", "group_numbers", "ngrams", "within_budget", "word_spans", "words"]

_ELLIPSIS, _DASH = r"…[….]*|\.[….]+", r"(?:[—–]|--)[—–-]*"
_TOKEN = re.compile(rf"[{HAN}]|[^\W_{HAN}]+(?:['-][^\W_{HAN}]+)*|{_ELLIPSIS}|{_DASH}|[^\w\s]")
_RUN = re.compile(f"{_ELLIPSIS}|{_DASH}")
_PLAIN = str.maketrans("’‘‐“”「」『』İ", '\'\'-""""""i')  # one character for one, in lower case, too: places stay


def words(text: str) -> list[str]:
    """The tokens of a text, in order: words and marks in English, characters and marks in Chinese."""
    return _TOKEN.findall(_RUN.sub(lambda run: "…" if run[0][0] in "…." else "—", text.translate(_PLAIN).lower()))


def word_spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each of `words(text)` stands in the text: its first character and the one after its last."""
    return (match.span() for match in _TOKEN.finditer(text.translate(_PLAIN)))


def encode(tokens: Sequence[Sequence[str]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All texts as one array: the id of each token [tokens] over a common vocabulary, and its text's number [tokens]."""
    vocabulary = defaultdict[str, int](itertools.count().__next__)
    lengths = [len(text) for text in tokens]
    ids = np.fromiter(map(vocabulary.__getitem__, itertools.chain.from_iterable(tokens)), np.int64, sum(lengths))
    return ids, np.repeat(np.arange(len(tokens)), lengths)


def group_numbers(groups: Sequence[Hashable]) -> NDArray[np.int64]:
    """A number for each item's group (its prompt's id, say), in the order in which the groups appear."""
    numbers = defaultdict[Hashable, int](itertools.count().__next__)
    return np.fromiter(map(numbers.__getitem__, groups), np.int64, len(groups))


@dataclass(frozen=True, slots=True)
class NGrams:
    """The n-grams of several texts in their order: which one it is [k], below `kinds`, and whose it is [k].

    `starts` are the places of their first tokens in the array of `encode`.
    """

    keys: NDArray[np.int64]
    texts: NDArray[np.int64]
    starts: NDArray[np.int64]
    kinds: int

    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """How often each text has each n-gram: keys, texts and counts of the pairs that occur, sorted by key."""
        pairs = self.keys * (self.texts.max(initial=0) + 1) + self.texts
        found, counts = np.unique(pairs, return_counts=True)
        keys, texts = np.divmod(found, self.texts.max(initial=0) + 1)
        return keys, texts, counts


def ngrams(tokens: Sequence[Sequence[str]], longest: int) -> list[NGrams]:
    """The n-grams of each length from 1 to `longest`; none crosses from one text into the next.

    The key of an n-gram is the rank of the pair (key of its first n - 1 tokens, last token), so it stays a small integer
    at every length, and numpy's sort does the counting.
    """
    ids, texts = encode(tokens)
    kinds = int(ids.max(initial=-1)) + 1
    found = [NGrams(ids, texts, np.arange(len(ids)), kinds)]
    keys = ids.copy()  # of the n-gram that starts at each place
    for n in range(2, longest + 1):
        starts = np.flatnonzero(texts[: 1 - n] == texts[n - 1 :])
        distinct, ranks = np.unique(keys[starts] * kinds + ids[starts + n - 1], return_inverse=True)
        keys[starts] = ranks
        found.append(NGrams(ranks, texts[starts], starts, len(distinct)))
    return found


def within_budget(tokens: Sequence[Sequence[str]], budget: int) -> list[Sequence[str]]:
    """The texts cut to one length, the greatest at which they have no more than `budget` tokens together.

    Then systems are compared on equally much text, spread over the same prompts; what rounding leaves over goes to the
    first texts that are longer, a token each. Raises `DataError` when there are fewer tokens than that.
    """
    lengths = np.array([len(text) for text in tokens], np.int64)
    if lengths.sum() < budget:
        raise DataError(
            f"{len(tokens)} texts have {lengths.sum():,} tokens, and {budget:,} are to be measured: "
            "compare at a smaller budget, or generate more."
        )
    ordered = np.sort(lengths)
    # With the limit at ordered[k], the k shorter texts stand whole and all the others have that length.
    filled = np.concatenate(([0], np.cumsum(ordered)[:-1])) + ordered * np.arange(len(ordered), 0, -1)
    whole = int(np.searchsorted(filled, budget, side="right"))
    if whole == len(ordered):
        return list(tokens)
    limit, rest = divmod(budget - int(ordered[:whole].sum()), len(ordered) - whole)
    longer = lengths > limit
    limits = limit + (longer & (np.cumsum(longer) <= rest))
    return [text[:most] for text, most in zip(tokens, limits.tolist(), strict=True)]
