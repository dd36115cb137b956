"""Meanings: the sentence embeddings that judges, distances, diversity and relevance share, each computed once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus.story import Language
from storyteller.evaluate.embedding import (
    Embedded,
    choose_embedder,
    embed_sentences,
    judge_features,
    story_embeddings,
)

__all__ = ["Meanings"]


class Meanings:
    """Embeds texts of one evaluation with one embedder; a sentence that it has seen costs nothing.

    Without a trained embedder the vectors come from the texts themselves, so those that are compared must be embedded
    together: every method takes groups of texts and returns a matrix for each.
    """

    def __init__(self, language: Language, cache: Path | None = None) -> None:
        self._language = language
        self._embedder = choose_embedder(language)
        self._cache = cache
        self.name = ""
        """The embedder's name, once something was embedded."""

    def stories(self, *groups: Sequence[str]) -> list[NDArray[np.float32]]:
        """One vector of length 1 a text [texts, dimensions], for each group of texts."""
        return [story_embeddings(embedded) for embedded in self._embed(groups)]

    def judged(self, *groups: Sequence[str], punctuation: bool) -> list[NDArray[np.float32]]:
        """What the embedding judge sees of a text [texts, features], for each group of texts; without marks if so asked."""
        return [judge_features(embedded) for embedded in self._embed(groups, punctuation)]

    def _embed(self, groups: Sequence[Sequence[str]], punctuation: bool = True) -> list[Embedded]:
        texts = [text for group in groups for text in group]
        together = embed_sentences(texts, self._language, self._embedder, self._cache, punctuation=punctuation)
        self.name = together.embedder
        parts, start = [], 0
        for group in groups:
            parts.append(Embedded(together.embedder, together.sentences[start : start + len(group)]))
            start += len(group)
        return parts
