"""Which words of a text say what it is about: terms, and in how many stories each occurs."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterable
from importlib import resources

from storyteller.corpus.story import Language, Story

__all__ = ["Frequencies", "terms", "word_list"]

_WORD = re.compile(r"[a-z]+(?:['’-][a-z]+)*")

_MOST_WORDS = 200_000


@functools.cache
def word_list(name: str) -> frozenset[str]:
    """The words of one of the lists in `words/`."""
    lines = resources.files("storyteller.tokens").joinpath(f"words/{name}.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def terms(text: str, language: Language) -> list[str]:
    """The content words of a text, repeats kept: English words of 4 letters and up, Chinese nouns of 2 字 and up.

    English verbs and adverbs go by their endings (-ed, -ing, -ly), for a keyword is a thing.
    """
    common = word_list(f"common_{language}")
    if language == "zh":
        import rjieba

        return [
            word
            for word, tag in rjieba.tag(text)
            if len(word) >= 2 and tag.startswith("n") and tag != "nr" and word not in common
        ]
    found = []
    for match in _WORD.finditer(text.lower()):
        word = match.group().replace("’", "'").removesuffix("'s")
        verbal = len(word) > 5 and word.endswith(("ed", "ing", "ly"))
        if len(word) >= 4 and not verbal and "'" not in word and word not in common:
            found.append(word)
    return found


class Frequencies:
    """In how many stories of a corpus each term occurs, for each language; bounded to the 200,000 most common."""

    def __init__(self) -> None:
        """Know nothing: every term is equally rare."""
        self._counts: dict[Language, Counter[str]] = {"en": Counter(), "zh": Counter()}
        self._stories: Counter[Language] = Counter()

    @classmethod
    def of(cls, stories: Iterable[Story]) -> Frequencies:
        """Count the terms in the first 20,000 characters of each story."""
        frequencies = cls()
        for story in stories:
            counts = frequencies._counts[story.language]
            counts.update(set(terms(story.text[:20_000], story.language)))
            frequencies._stories[story.language] += 1
            if len(counts) > 2 * _MOST_WORDS:
                frequencies._counts[story.language] = Counter(dict(counts.most_common(_MOST_WORDS)))
        return frequencies

    def rarity(self, term: str, language: Language) -> float:
        """The inverse document frequency of a term: ln((1 + stories) / (1 + stories that have it)), Spärck Jones 1972.

        At least 0.1. A term of one story in a large corpus is more likely a misprint than a subject, so it counts
        no more than a term of three.
        """
        stories, seen = self._stories[language], self._counts[language][term]
        return max(0.1, math.log((1 + stories) / (1 + (max(seen, 3) if stories > 100 else seen))))
