"""Which words of a text say what it is about: terms, and in how many stories each occurs."""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from importlib import resources

from storyteller.corpus.story import Language, Story

__all__ = ["Frequencies", "terms", "word_list"]

_WORD = re.compile(
    r"\b((?:the|an?|his|her|its|their|my|our|your|this|that|these|those|no|some|any|every|two|three|many) )?"
    r"([a-z]+(?:['’-][a-z]+)*)"
)

_MOST_WORDS = 200_000


@functools.cache
def word_list(name: str) -> frozenset[str]:
    """The words of one of the lists in `words/`."""
    lines = resources.files("storyteller.tokens").joinpath(f"words/{name}.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def terms(text: str, language: Language) -> list[str]:
    """The content words of a text, repeats kept: English words of 4 letters and up, Chinese nouns of 2 字 and up.

    English verbs and adverbs go by their endings (-ed, -ing, -ly).
    """
    if language == "zh":
        import rjieba

        common = word_list("common_zh")
        return [
            word
            for word, tag in rjieba.tag(text)
            if len(word) >= 2 and tag.startswith("n") and tag != "nr" and word not in common
        ]
    return [word for word, _ in _english(text)]


def _english(text: str) -> Iterator[tuple[str, bool]]:
    """The content words of an English text, each with whether a determiner stands before it."""
    common = word_list("common_en")
    for determiner, match in _WORD.findall(text.lower()):
        word = match.replace("’", "'").removesuffix("'s")
        verbal = len(word) > 5 and word.endswith(("ed", "ing", "ly"))
        if len(word) >= 4 and not verbal and "'" not in word and word not in common:
            yield word, bool(determiner)


class Frequencies:
    """In how many stories of a corpus each term occurs, for each language; bounded to the 200,000 most common."""

    def __init__(self) -> None:
        """Know nothing: every term is equally rare, and any may be a noun."""
        self._counts: dict[Language, Counter[str]] = {"en": Counter(), "zh": Counter()}
        self._determined: Counter[str] = Counter()
        self._stories: Counter[Language] = Counter()

    @classmethod
    def of(cls, stories: Iterable[Story]) -> Frequencies:
        """Count the terms in the first 20,000 characters of each story."""
        frequencies = cls()
        for story in stories:
            counts, text = frequencies._counts[story.language], story.text[:20_000]
            if story.language == "en":
                found = set(_english(text))
                frequencies._determined.update(word for word, determined in found if determined)
                counts.update({word for word, _ in found})
            else:
                counts.update(set(terms(text, "zh")))
            frequencies._stories[story.language] += 1
            if len(counts) > 2 * _MOST_WORDS:
                frequencies._counts[story.language] = Counter(dict(counts.most_common(_MOST_WORDS)))
        return frequencies

    def rarity(self, term: str, language: Language) -> float:
        """The inverse document frequency of a term, ln((1 + stories) / (1 + stories with it)) (Spärck Jones 1972).

        Between 0.1 and 4: beyond that, rarity says more of the corpus than of the text.
        """
        stories, seen = self._stories[language], self._counts[language][term]
        return min(4.0, max(0.1, math.log((1 + stories) / (1 + seen))))

    def is_subject(self, term: str, language: Language) -> bool:
        """Whether a term can name a subject: no misprint of one story, and in English mostly a noun.

        A noun follows a determiner in a third of the stories that have it; a verb (`tore`, `sings`) hardly ever does.
        """
        seen = self._counts[language][term]
        if seen < 3:
            return self._stories[language] < 100
        return language == "zh" or self._determined[term] * 3 >= seen
