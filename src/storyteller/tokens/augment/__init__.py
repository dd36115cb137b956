"""Variants of stories, for training on few of them: other names, other words, other sentences, the same story.

`variants` makes what needs no model: `renaming` gives people and places other names all through a story, `synonyms`
exchanges words outside of what is quoted (`quotes`). `paraphrase` lets a model tell sentences again, and `corpus` writes
all of it as a prepared folder. Every variant is a function of a seed and the story's id.
"""

from __future__ import annotations

from storyteller.tokens.augment.corpus import augment_corpus
from storyteller.tokens.augment.paraphrase import Paraphraser
from storyteller.tokens.augment.renaming import Renaming
from storyteller.tokens.augment.synonyms import exchange_synonyms
from storyteller.tokens.augment.variants import variants

__all__ = ["Paraphraser", "Renaming", "augment_corpus", "exchange_synonyms", "variants"]
