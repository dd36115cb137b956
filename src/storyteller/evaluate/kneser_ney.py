"""An independent language model: interpolated modified Kneser-Ney n-grams (Chen and Goodman 1998) in numpy.

It shares nothing with the models it measures but their tokenizer. Trained on human stories it gives the perplexity of
generated ones, whose *distance* to that of human stories counts (dull text has a low perplexity); trained on generated
stories and tested on human ones it shows lost modes (reverse LM; Caccia et al. 2020); and pretraining has to beat it.

n-grams are ranks: an n-gram is the rank of its first n - 1 tokens among all (n - 1)-grams times the vocabulary, plus its
last token, and its own rank is its place among the sorted n-grams. So counting is sorting and looking up is bisection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from storyteller.errors import DataError, ModelError
from storyteller.evaluate.statistics import Bootstrap, Resampled, ratio
from storyteller.runs.files import read_json, replacing_folder, write_json

__all__ = [
    "Cost",
    "KneserNey",
    "bits_per_byte",
    "fit_texts",
    "log_perplexity",
    "perplexity_gap",
    "reverse_costs",
    "text_costs",
]

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]

_UNSEEN = -1


class Tokenizer(Protocol):
    """What is needed of a `StoryTokenizer`."""

    vocabulary_size: int

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text."""
        ...


@dataclass(frozen=True, slots=True)
class Cost:
    """What one text costs a model: `nats` over `tokens` (the end of the text is one), which stand for `bytes` of UTF-8."""

    nats: float
    tokens: int
    bytes: int


class KneserNey:
    """The model: for each order the sorted n-grams, their discounted shares, and what their contexts leave for shorter ones.

    Token `vocabulary` is the beginning of a text and `vocabulary + 1` its end; the end is predicted, the beginning never.
    """

    def __init__(self, vocabulary: int, keys: list[Ids], shares: list[Floats], left: list[Floats]) -> None:
        """`keys[k]`, `shares[k]` are of the (k + 1)-grams, `left[k]` (NaN: never a context) of contexts of k tokens."""
        self.vocabulary, self._keys, self._shares, self._left = vocabulary, keys, shares, left

    @property
    def order(self) -> int:
        """The longest n-gram, in tokens."""
        return len(self._keys)

    @classmethod
    def fit(cls, sequences: Sequence[Sequence[int]], vocabulary: int, order: int = 5) -> KneserNey:
        """Count the n-grams of token sequences, none reaching over the end of one; 3 million tokens take seconds.

        Raises `DataError` for an order under 2, no token at all, or a token outside of the vocabulary.
        """
        if order < 2:
            raise DataError(f"an n-gram model of order {order} has no context; take 2 to 5.")
        tokens, depth = _joined(sequences, vocabulary)
        order = min(order, int(depth.max()) + 1)  # no longer than the longest text
        keys, counts, contexts, suffixes = _count(tokens, depth, vocabulary + 2, order)
        shares, left = [], []
        for k in range(order):
            adjusted = counts[k]
            if k + 1 < order:
                # A shorter n-gram counts once for each token it was seen after; at the beginning of a text nothing precedes.
                adjusted = np.bincount(suffixes[k + 1], minlength=len(keys[k]))
                adjusted = np.where(_begins(keys, contexts, k, vocabulary), counts[k], adjusted)
            predicted = keys[k] % (vocabulary + 2) != vocabulary
            adjusted = np.where(predicted, adjusted, 0)
            share, rest = _discounted(adjusted, contexts[k], len(keys[k - 1]) if k else 1)
            shares.append(share)
            left.append(rest)
        return cls(vocabulary, keys, shares, left)

    def log_probabilities(self, sequences: Sequence[Sequence[int]]) -> list[Floats]:
        """The natural logarithm of the probability of each token of each sequence, and of its end as the last."""
        tokens, depth = _joined(sequences, self.vocabulary)
        width = self.vocabulary + 2
        probability = np.full(len(tokens), 1 / (self.vocabulary + 1))
        before = np.zeros(len(tokens), np.int64)  # the rank of the context; the empty one has rank 0
        for k in range(self.order):
            inside = (depth >= k) & (before != _UNSEEN)
            found = np.full(len(tokens), _UNSEEN)
            found[inside] = _rank(self._keys[k], before[inside] * width + tokens[inside])
            rest = np.full(len(tokens), np.nan)
            rest[inside] = self._left[k][before[inside]]
            share = np.where(found != _UNSEEN, self._shares[k][found], 0.0)
            probability = np.where(np.isnan(rest), probability, share + rest * probability)
            before = np.concatenate([[_UNSEEN], found[:-1]])
        logs = np.log(probability)
        ends = np.cumsum([len(sequence) + 2 for sequence in sequences])
        return [logs[end - len(sequence) - 1 : end] for sequence, end in zip(sequences, ends, strict=True)]

    def save(self, folder: Path) -> None:
        """Write `model.safetensors` and `config.json` to `folder`, all or nothing."""
        from safetensors.numpy import save_file

        arrays: dict[str, NDArray[Any]] = {}
        for k, group in enumerate(zip(self._keys, self._shares, self._left, strict=True)):
            arrays |= {f"{name}.{k}": array for name, array in zip(("keys", "shares", "left"), group, strict=True)}
        with replacing_folder(folder) as temporary:
            save_file(arrays, temporary / "model.safetensors")
            write_json(
                temporary / "config.json",
                {"model_type": "kneser-ney", "order": self.order, "vocab_size": self.vocabulary},
            )

    @classmethod
    def load(cls, folder: Path) -> KneserNey:
        """The model that `save` wrote; raises `ModelError` for anything else."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            config = read_json(folder / "config.json")
            arrays = load_file(folder / "model.safetensors")
            parts = [[arrays[f"{name}.{k}"] for k in range(config["order"])] for name in ("keys", "shares", "left")]
            return cls(config["vocab_size"], *parts)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ModelError(f"{folder} holds no n-gram model that can be read ({error}); fit it again.") from None


def fit_texts(texts: Sequence[str], tokenizer: Tokenizer, order: int = 5) -> KneserNey:
    """A Kneser-Ney model of texts in a tokenizer's tokens."""
    return KneserNey.fit(tokenizer.encode_batch(texts), tokenizer.vocabulary_size, order)


def text_costs(model: KneserNey, texts: Sequence[str], tokenizer: Tokenizer) -> list[Cost]:
    """What each text costs the model, its end included."""
    logs = model.log_probabilities(tokenizer.encode_batch(texts))
    return [Cost(float(-log.sum()), len(log), len(text.encode())) for log, text in zip(logs, texts, strict=True)]


def log_perplexity(bootstrap: Bootstrap, costs: Sequence[Cost], labels: Sequence[str]) -> Resampled:
    """Nats a token over all texts; `labels` name the work (or prompt) of each, `apply(np.exp)` gives the perplexity."""
    return ratio(bootstrap, [cost.nats for cost in costs], [cost.tokens for cost in costs], labels)


def bits_per_byte(bootstrap: Bootstrap, costs: Sequence[Cost], labels: Sequence[str]) -> Resampled:
    """Bits a byte of UTF-8 over all texts, which compares models with different tokenizers."""
    bits = [cost.nats / np.log(2) for cost in costs]
    return ratio(bootstrap, bits, [cost.bytes for cost in costs], labels)


def perplexity_gap(
    bootstrap: Bootstrap,
    human: Sequence[Cost],
    system: Sequence[Cost],
    human_labels: Sequence[str],
    system_labels: Sequence[str],
) -> Resampled:
    """log perplexity of the system's texts less that of human texts on the same works, paired.

    Below 0 the texts are more predictable than people's (dull, repetitive), above 0 less (garbled); the distance is the
    absolute value, and 0 within the interval means that it was not found.
    """
    return log_perplexity(bootstrap, system, system_labels) - log_perplexity(bootstrap, human, human_labels)


def reverse_costs(
    generated: Sequence[str],
    human: Sequence[str],
    tokenizer: Tokenizer,
    *,
    budget: int,
    order: int = 3,
    seed: int = 1,
) -> list[Cost]:
    """Reverse LM: what human texts cost a model trained on `budget` tokens of generated ones; lower has more of the modes.

    The budget is the same for all systems compared, and human texts of other works are the ceiling. Texts are taken in
    random order. Raises `DataError` when there are fewer tokens than the budget, or than 20,000.
    """
    shuffled = np.random.default_rng(seed).permutation(len(generated))
    sequences = tokenizer.encode_batch([generated[place] for place in shuffled])
    total = sum(map(len, sequences))
    if budget < 20_000 or total < budget:
        raise DataError(
            f"{total:,} generated tokens for a budget of {budget:,}: a reverse model needs the whole budget, and at least "
            "20,000. Generate more texts, or lower the budget for all systems."
        )
    taken, used = [], 0
    for sequence in sequences:
        taken.append(sequence[: budget - used])
        used += len(taken[-1])
        if used == budget:
            break
    model = KneserNey.fit(taken, tokenizer.vocabulary_size, order)
    return text_costs(model, human, tokenizer)


def _joined(sequences: Sequence[Sequence[int]], vocabulary: int) -> tuple[Ids, Ids]:
    """All sequences with their beginnings and ends in one array, and how many tokens precede each one in its own."""
    if not any(len(sequence) for sequence in sequences):
        raise DataError("there is no token to count; give texts that are not empty.")
    parts = [np.concatenate([[vocabulary], np.asarray(ids, np.int64), [vocabulary + 1]]) for ids in sequences]
    tokens = np.concatenate(parts).astype(np.int64)
    inner = tokens[(tokens != vocabulary) & (tokens != vocabulary + 1)]
    if len(inner) != len(tokens) - 2 * len(parts) or inner.min() < 0 or inner.max() >= vocabulary:
        raise DataError(f"a token lies outside of the vocabulary of {vocabulary:,}: another tokenizer made these ids.")
    return tokens, np.concatenate([np.arange(len(part)) for part in parts])


def _count(tokens: Ids, depth: Ids, width: int, order: int) -> tuple[list[Ids], list[Ids], list[Ids], list[Ids]]:
    """For each order the sorted n-grams, their counts, and the ranks of their contexts and of their suffixes."""
    keys: list[Ids] = []
    counts: list[Ids] = []
    contexts: list[Ids] = []
    suffixes: list[Ids] = []
    before = np.zeros(len(tokens), np.int64)
    ranks = np.zeros(len(tokens), np.int64)
    for k in range(order):
        inside = np.flatnonzero(depth >= k)
        found, first, inverse, number = np.unique(
            before[inside] * width + tokens[inside], return_index=True, return_inverse=True, return_counts=True
        )
        keys.append(found)
        counts.append(number)
        contexts.append(found // width)
        suffixes.append(ranks[inside[first]])
        ranks = np.full(len(tokens), _UNSEEN)
        ranks[inside] = inverse
        before = np.concatenate([[_UNSEEN], ranks[:-1]])
    return keys, counts, contexts, suffixes


def _begins(keys: list[Ids], contexts: list[Ids], k: int, vocabulary: int) -> NDArray[np.bool_]:
    """Which of the (k + 1)-grams begin with the beginning of a text."""
    begins = np.asarray(keys[0] == vocabulary)
    for longer in range(1, k + 1):
        begins = begins[contexts[longer]]
    return begins


def _discounted(counts: Ids, contexts: Ids, size: int) -> tuple[Floats, Floats]:
    """What each n-gram keeps of its context's probability, and what each context leaves (NaN where it never is one)."""
    discounts = np.concatenate([[0.0], _discounts(counts)])
    taken = discounts[np.minimum(counts, 3)]
    totals = np.bincount(contexts, counts, size)
    freed = np.bincount(contexts, taken, size)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((counts - taken) / totals[contexts]), np.where(totals > 0, freed / totals, np.nan)


def _discounts(counts: Ids) -> Floats:
    """Discounts of n-grams seen once, twice, and more often, from how many were seen once to four times."""
    n1, n2, n3, n4 = (int((counts == times).sum()) for times in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):
        return np.array([0.5, 1.0, 1.5])  # too little text to estimate them; KenLM's (Heafield et al. 2013) values
    y = n1 / (n1 + 2 * n2)
    found = np.array([1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
    return np.asarray(np.clip(found, 0.05, [0.95, 1.95, 2.95]))


def _rank(keys: Ids, wanted: Ids) -> Ids:
    """The place of each wanted key among the sorted ones, or -1."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, place, _UNSEEN)
