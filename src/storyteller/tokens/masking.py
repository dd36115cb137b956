"""Dynamic masking: which tokens of a row are hidden is a pure function of the seed and the row's place in the stream.

As in BERT (Devlin et al. 2019), of the chosen tokens 80 % become the mask, 10 % another token and 10 % stay; whole words are
chosen, and one thing happens to all of a word. 30 % of the tokens, as in ModernBERT (Warner et al. 2024), teach a small
model more than BERT's 15 % (Wettig et al. 2023, arXiv 2202.08005).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storyteller.tokens.batches import NO_LABEL, Batch
from storyteller.tokens.controls import mask_id_of
from storyteller.tokens.documents import byte_sizes
from storyteller.tokens.shards import Shards
from storyteller.tokens.template import Template

__all__ = ["MaskedShards", "Masking", "mask_row"]

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Masking:
    """What is hidden (`share` of the tokens, in `whole_words` or one by one) and what stands in its place.

    `ordinary` [vocabulary] says which ids spell text: they alone are hidden, and one of them replaces another. `sizes`
    are their lengths in bytes.
    """

    share: float
    whole_words: bool
    mask_id: int
    ordinary: BoolArray
    sizes: IntArray

    @classmethod
    def of(cls, template: Template, share: float, whole_words: bool) -> Masking:
        """The masking in a tokenizer's ids; `ModelError` when it has no mask token."""
        tokenizer = template.tokenizer
        mask = mask_id_of(tokenizer)
        special = [tokenizer.is_special(index) or index == mask for index in range(tokenizer.vocabulary_size)]
        return cls(share, whole_words, mask, ~np.array(special), byte_sizes(template))


def mask_row(
    ids: IntArray, starts: BoolArray, masking: Masking, chance: np.random.Generator
) -> tuple[IntArray, BoolArray]:
    """The row as the model sees it, and which of its tokens are to be predicted; `starts` begins each word.

    About `masking.share` of the ordinary tokens are chosen, at least one word: words in random order as long as they
    fit what is left.
    """
    hidden = np.zeros(len(ids), np.bool_)
    able = np.flatnonzero(masking.ordinary[ids])
    if not len(able):
        return ids, hidden
    words = np.cumsum(starts)[able] if masking.whole_words else np.arange(len(able))
    _, words, lengths = np.unique(words, return_inverse=True, return_counts=True)
    order = chance.permutation(len(lengths))
    # The last word may only partly fit: on average the share is met when it is taken half of the time.
    wanted = masking.share * len(able)
    reached = np.cumsum(lengths[order])
    taken = reached - lengths[order] / 2 <= wanted
    taken[0] = True
    chosen = np.zeros(len(lengths), np.bool_)
    chosen[order[taken]] = True
    fate = chance.random(len(lengths))
    hidden[able] = chosen[words]
    of_token = np.full(len(ids), 1.0)
    of_token[able] = fate[words]
    seen = ids.copy()
    seen[hidden & (of_token < 0.8)] = masking.mask_id
    other = hidden & (of_token >= 0.8) & (of_token < 0.9)
    seen[other] = chance.choice(np.flatnonzero(masking.ordinary), int(other.sum()))
    return seen, hidden


class MaskedShards(Shards):
    """Shards whose batches are masked: `input_ids` as seen, `labels` the hidden ids at their own places."""

    def __init__(self, shards: Shards, masking: Masking) -> None:
        """Mask what `shards` gives."""
        super().__init__(shards.folder, shards.meta)
        self.masking = masking

    def _stack(self, split: str, rows: list[list[int]], context: int, keys: Sequence[tuple[int, ...]]) -> Batch:
        batch = super()._stack(split, rows, context, keys)
        part = self._split(split)
        labels = np.full_like(batch.labels, NO_LABEL)
        inputs = batch.input_ids.copy()
        size = 0
        for row, (examples, key) in enumerate(zip(rows, keys, strict=True)):
            starts = np.concatenate([part.word_starts(example) for example in examples])
            ids = batch.input_ids[row, : len(starts)]
            seen, hidden = mask_row(ids, starts, self.masking, np.random.default_rng(key))
            inputs[row, : len(starts)] = seen
            labels[row, : len(starts)][hidden] = ids[hidden]
            size += int(self.masking.sizes[ids[hidden]].sum())
        return Batch(inputs, labels, batch.position_ids, batch.segment_ids, size)
