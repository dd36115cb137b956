"""The variants of a story that need no model."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from storyteller.corpus.language import count_words
from storyteller.corpus.story import Story
from storyteller.recipe.robustness import AugmentRecipe
from storyteller.tokens.augment.renaming import Renaming
from storyteller.tokens.augment.synonyms import exchange_synonyms
from storyteller.tokens.names import CUED, character_names

__all__ = ["variants"]


def variants(story: Story, recipe: AugmentRecipe, seed: int) -> Iterator[Story]:
    """Up to `recipe.copies` variants of a story, each marked in `augmented` with how it was made.

    A variant that came out like the story is left out. Plays, screenplays and dialogues are renamed only: nearly all of
    their words are somebody's own.
    """
    people = character_names(story) if recipe.names or story.language == "zh" else []
    for number in range(1, recipe.copies + 1):
        chance = random.Random(f"{seed}/{story.id}/variant {number}")
        renaming = Renaming.of(story, chance, people) if recipe.names else Renaming({})
        parts = renaming.parts(story)
        text = parts["text"] or ""
        how = ["names"] if text != story.text else []
        if recipe.synonyms and story.form not in CUED:
            names = list(map(renaming.apply, people)) if story.language == "zh" else []
            text, count = exchange_synonyms(text, story.language, chance, recipe.synonyms, names)
            how += ["synonyms"] if count else []
        if how:
            parts |= {"text": text, "id": f"{story.id}~{number}", "augmented": "+".join(how)}
            words = count_words(text, story.language) if story.language == "zh" else story.words
            yield replace(story, words=words, **parts)  # type: ignore[arg-type]
