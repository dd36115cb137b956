"""Stories by many authors, made of the repository's own samples: material for prompts and benches in tests."""

from __future__ import annotations

import functools
from pathlib import Path

from storyteller.corpus.language import count_words
from storyteller.corpus.story import Language, Story
from storyteller.evaluate.prompts import Prompt, choose_prompts, cut_at_sentence
from storyteller.evaluate.texts import HUMAN, Text

__all__ = ["people", "prompts", "stories"]

_SAMPLES = Path(__file__).parents[2] / "examples" / "stories"


@functools.cache
def stories(language: Language = "en") -> tuple[Story, ...]:
    """The sample stories of a language, each a work of its own."""
    found = []
    for path in sorted((_SAMPLES / language).glob("*.md")):
        text = path.read_text(encoding="utf-8").split("\n---\n")[-1].strip()
        found.append(Story(path.stem, text, language, "story", count_words(text, language), title=path.stem))
    return tuple(found)


def prompts(count: int, language: Language = "en", words: int = 40) -> list[Prompt]:
    """Prompts from the sample stories."""
    return choose_prompts(stories(language), count, words=words)


def people(language: Language = "en", words: int = 40) -> list[Text]:
    """All passages of about so many words of the sample stories; what stands before each is its prompt."""
    found = []
    for story in stories(language):
        rest, before = story.text, story.title or ""
        while count_words(rest, language) >= words:
            passage = cut_at_sentence(rest, words, language)
            found.append(Text(passage, HUMAN, f"{story.id}/{len(rest)}", language, story.id, prompt=before))
            rest, before = rest[len(passage) :].lstrip(), passage
    return found
