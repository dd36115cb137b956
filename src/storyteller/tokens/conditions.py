"""Conditions: what a writer might have asked for to get this story, found in the story itself, without labels."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

from storyteller.corpus.language import count_words, split_sentences
from storyteller.corpus.story import Language, Story
from storyteller.tokens.names import characters
from storyteller.tokens.request import Character, Request, Task
from storyteller.tokens.vocabulary import Frequencies, terms

__all__ = ["Conditions", "central_sentence", "keywords", "opening_of"]

#: Words of a sentence that can stand as a premise or an outline line; Chinese is counted in 字.
_PREMISE = {"en": (6, 30), "zh": (10, 50)}
_QUOTES = "\"“”‘’'「」『』«»—-*_[(（#"
# A sentence that begins so leans on the one before it.
_LEANING = {
    "en": re.compile(
        r"(?:he|she|it|they|but|and|so|then|this|that|these|those|his|her|their|or|for|you|such|yet|nor|here|there|its"
        r"|thus|now|we)\b",
        re.I,
    ),
    "zh": re.compile("[他她它但而这那又便就却你]|可是|于是|所以|因此|然而|只见|我们"),
}


def keywords(text: str, frequencies: Frequencies, language: Language, without: Collection[str] = ()) -> list[str]:
    """The ten terms that most set a text apart from its corpus, by term frequency times inverse document frequency."""
    counts = Counter(terms(text, language))
    excluded = {part.lower() for name in without for part in [name, *name.split()]}
    weights = {
        term: count * frequencies.rarity(term, language)
        for term, count in counts.items()
        if term not in excluded and not (language == "zh" and any(term in name or name in term for name in excluded))
    }
    best = sorted(weights, key=lambda term: (-weights[term], term))
    chosen: list[str] = []
    for term in best[:30]:
        # "seal" and "seals" are one keyword.
        if not any(term.startswith(other[:-1]) or other.startswith(term[:-1]) for other in chosen):
            chosen.append(term)
    return chosen[:10]


def central_sentence(
    text: str, frequencies: Frequencies, language: Language, people: Collection[str] = ()
) -> str | None:
    """The narrated sentence that best stands for a text: it can be understood alone, and holds its heaviest terms.

    Extractive summary by the mean weight of terms (Luhn 1958), with a premium for names and for an early place.
    """
    least, most = _PREMISE[language]
    counts = Counter(terms(text, language))
    sentences = [" ".join(sentence.split()) for sentence in split_sentences(text, language)]
    best, best_score = None, 0.0
    for place, sentence in enumerate(sentences):
        length = count_words(sentence, language)
        if not least <= length <= most or any(quote in sentence for quote in _QUOTES[:2]) or sentence[0] in _QUOTES:
            continue
        if sentence[-1] not in ".!。！…" or (language == "en" and not sentence[0].isupper()) or sentence.isupper():
            continue
        weight = sum(counts[term] * frequencies.rarity(term, language) for term in set(terms(sentence, language)))
        score = weight / (length + 8)
        score *= 1.0 + 0.5 * any(name in sentence for name in people)
        score *= 0.5 if _LEANING[language].match(sentence) else 1.0
        score *= 1.0 - 0.4 * place / len(sentences)
        if score > best_score:
            best, best_score = sentence, score
    return best


def opening_of(text: str, language: Language) -> str | None:
    """The first sentence of a text as it stands there, or `None` when it is all of it or no plain sentence."""
    first = next(iter(split_sentences(text[:2000], language)), "").rstrip()
    if not first or len(first) >= len(text.rstrip()):
        return None
    return first if 2 <= count_words(first, language) <= (40 if language == "en" else 60) else None


@dataclass
class Conditions:
    """Derives the request for a part of a story; each condition is shown with the chance `keep`."""

    frequencies: Frequencies
    keep: float

    def people(self, story: Story) -> list[Character]:
        """The characters of a whole story, to be given to `derive` for each of its parts."""
        return characters(story)

    def derive(
        self, story: Story, part: str, task: Task, chance: random.Random, people: list[Character], whole: bool
    ) -> Request:
        """The request that `part` answers; `whole` says that it is the story's beginning, asked for as a story.

        Conditions come from the part, so that the model sees what it was asked for come true. A beginning is asked
        for with the length of the whole story, for it is told at that story's pace.
        """
        language = story.language
        shown = [person for person in people if person.name.split(" ")[-1].casefold() in part.casefold()]
        names = [person.name for person in people]
        # Each draw is made whether or not it is used, so that one condition does not move the others.
        title, words, persons, keys, about, opening = (chance.random() < self.keep for _ in range(6))
        most_people, most_keys = chance.randint(1, 4), chance.randint(2, 5)
        opening = opening and chance.random() < 0.25  # a forced opening is not learned, so it is the exception
        length = story.words if whole else count_words(part, language)
        request = Request(task=task, language=language, form=story.form, words=length if words else None)
        if title and story.title:
            request = replace(request, title=" ".join(story.title.split()))
        if persons:
            request = replace(request, characters=tuple(shown[:most_people]))
        if keys:
            found = keywords(part, self.frequencies, language, names)[:6]
            request = replace(request, keywords=tuple(chance.sample(found, min(most_keys, len(found)))))
        if task == "passage":
            request = replace(request, outline=central_sentence(part, self.frequencies, language, names))
        elif about:
            given = " ".join(story.prompt.split()) if story.prompt and whole else None
            request = replace(request, about=given or central_sentence(part, self.frequencies, language, names))
        if opening and whole:
            request = replace(request, opening=opening_of(part, language))
        return request
