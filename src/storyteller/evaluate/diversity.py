"""Diversity: how many different things the texts of a system say, counted at the same amount of text for each system.

Every figure here falls or rises with the amount of text, so compare systems at one `budget` of tokens and at one number
of texts. `tokens` are lists made by `ngrams.words`.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.evaluate.ngrams import NGrams, group_numbers, ngrams, within_budget, words

__all__ = [
    "Diversity",
    "bigram_entropy",
    "common_budget",
    "distinct",
    "diversity",
    "expectation_adjusted_distinct",
    "first_of_each",
    "self_bleu",
    "vendi",
    "vendi_within",
]

#: The vocabulary that EAD expects draws from: the authors' for English (that of BERT), the characters of China's
#: general standard table (2013) for Chinese.
_VOCABULARY: dict[Language, int] = {"en": 30_522, "zh": 8_105}
_LEAST = 1_000  # tokens; with fewer, the figures are about the sample and not about the system


@dataclass(frozen=True, slots=True)
class Diversity:
    """What `diversity` counts, over `budget` tokens; all rise with diversity but `self_bleu`, which falls.

    All are about the first text of each prompt, so that a system with more texts a prompt seems no less varied, but
    `self_bleu_within`: it compares each text with the others on its prompt, and is `None` where no prompt has two.
    """

    budget: int
    distinct_1: float
    distinct_2: float
    distinct_3: float
    ead: float
    bigram_entropy: float
    self_bleu: float
    self_bleu_within: float | None


def diversity(texts: Sequence[str], prompts: Sequence[Hashable], language: Language, budget: int) -> Diversity:
    """The counted diversity of one system's texts; `prompts` names the prompt of each.

    Self-BLEU is taken on the texts as cut to the budget, too, and within a prompt on texts cut to the longest of these.
    Raises `DataError` when the first texts of the prompts have fewer tokens than `budget`, and when there are fewer than
    two prompts.
    """
    if budget < _LEAST:
        raise DataError(f"diversity over {budget} tokens says nothing; give at least {_LEAST:,} tokens of each system.")
    whole = [words(text) for text in texts]
    tokens = within_budget([whole[i] for i in first_of_each(prompts)], budget)
    longest = max(map(len, tokens))
    groups = group_numbers(prompts)
    paired = np.flatnonzero(np.bincount(groups)[groups] > 1)
    within = self_bleu([whole[i][:longest] for i in paired], groups[paired].tolist()).mean() if len(paired) else None
    grams = ngrams(tokens, 3)
    return Diversity(
        budget=budget,
        distinct_1=_distinct(grams[0], 1),
        distinct_2=_distinct(grams[1], 2),
        distinct_3=_distinct(grams[2], 3),
        ead=_adjusted(grams[0], _VOCABULARY[language]),
        bigram_entropy=_entropy(grams[1], 2),
        self_bleu=float(self_bleu(tokens).mean()),
        self_bleu_within=None if within is None else float(within),
    )


def common_budget(systems: Sequence[Sequence[str]]) -> int:
    """The number of tokens that the system with the fewest has: the budget at which all of them can be compared.

    Give one text a prompt: only the first ones count.
    """
    return min(sum(len(words(text)) for text in texts) for texts in systems)


def distinct(tokens: Sequence[Sequence[str]], n: int) -> float:
    """Distinct-n (Li et al. 2016): different n-grams by all n-grams, over all texts together."""
    return _distinct(ngrams(tokens, n)[-1], n)


def expectation_adjusted_distinct(tokens: Sequence[Sequence[str]], vocabulary: int) -> float:
    """EAD (Liu et al. 2022): different tokens by those that as many draws from an even `vocabulary` would give.

    Distinct-1 falls as texts get longer; this does far less. At one budget, the two order systems alike.
    """
    return _adjusted(ngrams(tokens, 1)[0], vocabulary)


def bigram_entropy(tokens: Sequence[Sequence[str]]) -> float:
    """The Shannon entropy of the bigrams of all texts together, in bits."""
    return _entropy(ngrams(tokens, 2)[1], 2)


def _distinct(grams: NGrams, n: int) -> float:
    return grams.kinds / len(_some(grams, n).keys)


def _adjusted(grams: NGrams, vocabulary: int) -> float:
    expected = vocabulary * -np.expm1(len(_some(grams, 1).keys) * np.log1p(-1 / vocabulary))
    return float(grams.kinds / expected)


def _entropy(grams: NGrams, n: int) -> float:
    counts = np.bincount(_some(grams, n).keys)
    shares = counts / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def self_bleu(tokens: Sequence[Sequence[str]], groups: Sequence[Hashable] | None = None) -> NDArray[np.float64]:
    """BLEU-4 of each text against all the others as references [texts] (Zhu et al. 2018, Texygen); the mean is self-BLEU.

    With `groups` (one for each text, such as its prompt), the references are the others of its group. The same values as
    nltk's `sentence_bleu` with `SmoothingFunction().method1`. Raises `DataError` for a text without another beside it.
    """
    group = group_numbers(groups) if groups is not None else np.zeros(len(tokens), np.int64)
    if len(tokens) < 2 or np.bincount(group).min() < 2:
        raise DataError("self-BLEU compares a text with others: it needs two texts or more, in each group.")
    lengths = np.array([len(text) for text in tokens], np.int64)
    log_precision = np.zeros(len(tokens))
    for n, grams in enumerate(ngrams(tokens, 4), 1):
        hits, totals = _clipped(grams, group)
        if n == 1:
            none = hits == 0
        log_precision += np.log(np.where(hits == 0, 0.1, hits) / np.maximum(totals, 1)) / 4
    closest = _closest_length(lengths, group)
    shortness = np.minimum(0.0, 1 - closest / np.maximum(lengths, 1))
    return np.where(none, 0.0, np.exp(log_precision + shortness))


def _clipped(grams: NGrams, group: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """For each text: its n-grams that another text of its group has, counted at most as often as there, and all of them.

    The other texts' maximum is the group's own, so nothing is clipped, except for the text that holds the maximum: there
    it is the second highest count.
    """
    keys, texts, counts = grams.counts()
    cells = keys * (group.max() + 1) + group[texts]  # an n-gram in a group
    order = np.lexsort((-counts, cells))
    cells, texts, counts = cells[order], texts[order], counts[order]
    totals = np.bincount(texts, counts, len(group))
    top = np.flatnonzero(np.diff(cells, prepend=-1))
    shared = np.diff(top, append=len(cells)) > 1
    clipped = counts.copy()
    clipped[top[~shared]] = 0
    clipped[top[shared]] = counts[top[shared] + 1]
    return np.bincount(texts, clipped, len(group)), totals


def _closest_length(lengths: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each text the length of the text of its group that is closest to its own, the shorter of two as close."""
    order = np.lexsort((lengths, group))
    ordered, of = lengths[order], group[order]
    far = np.int64(1 << 40)
    same = of[1:] == of[:-1]
    below = np.append(far, np.where(same, ordered[1:] - ordered[:-1], far))
    above = np.append(np.where(same, ordered[1:] - ordered[:-1], far), far)
    closest = np.empty_like(lengths)
    closest[order] = np.where(below <= above, ordered - below, ordered + above)
    return closest


def first_of_each(groups: Sequence[Hashable]) -> NDArray[np.int64]:
    """The index of the first item of each group, in order: one text a prompt."""
    return np.unique(group_numbers(groups), return_index=True)[1]


def vendi(embeddings: NDArray[Any]) -> float:
    """The Vendi score (Friedman and Dieng 2022) of the rows of `embeddings` [texts, dimensions] under cosine similarity.

    It is the number of texts, all unlike, that would be as diverse: 1 for copies of one text, n for n orthogonal ones;
    the exponential of the entropy of the eigenvalues of the similarity matrix divided by n.
    """
    rows = np.asarray(embeddings, np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    if not len(rows) or not np.all(norms > 0):
        raise DataError("the Vendi score needs at least one text, and an embedding that is not zero for each.")
    rows = rows / norms
    # The Gram matrix of rows and that of columns have the same eigenvalues but for zeros.
    gram = (rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows) / len(rows)
    values = np.linalg.eigvalsh(gram)
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def vendi_within(embeddings: NDArray[Any], groups: Sequence[Hashable]) -> NDArray[np.float64]:
    """The Vendi score of each group's texts, such as the samples on one prompt [groups], in order of appearance."""
    number = group_numbers(groups)
    return np.array([vendi(embeddings[number == one]) for one in range(number.max(initial=-1) + 1)])


def _some(grams: NGrams, n: int) -> NGrams:
    if not len(grams.keys):
        raise DataError(f"no text has {n} tokens, so there is no {n}-gram to count.")
    return grams
