"""Conditions: what a writer might have asked for to get this story, found in the story itself, without labels."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

from storyteller.corpus.language import count_words, ends_sentence, split_sentences
from storyteller.corpus.story import Language, Story
from storyteller.tokens.names import CUED, characters, without_speech
from storyteller.tokens.request import Character, Request, Task
from storyteller.tokens.vocabulary import Frequencies, terms

__all__ = ["Conditions", "central_sentence", "keywords", "opening_of"]

#: Words of a sentence that can stand as a premise or an outline line; Chinese is counted in 字.
_PREMISE = {"en": (6, 30), "zh": (10, 50)}
_SPEECH = '"“”「」『』'
_SAYS = re.compile("[道说曰问云言叫答][：:]")
_VERSE = re.compile("(?:[一-鿿]{5}[，；][一-鿿]{5}|[一-鿿]{7}[，；][一-鿿]{7})[。！]$")
_ELEMENT = re.compile(r"^\s*[-*•] *[A-Z][\w' ]{2,30}: *(\S.*)$", re.M)
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
        term: (count - 0.6) * frequencies.rarity(term, language)  # said once, said in passing
        for term, count in counts.items()
        if frequencies.is_subject(term, language)
        and term not in excluded
        and not (language == "zh" and any(term in name or name in term for name in excluded))
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
    sentences = _narrated(text, language)
    best, best_score = None, 0.0
    for place, sentence in enumerate(sentences):
        if not least <= count_words(sentence, language) <= most or sentence[-1] not in ".!。！…":
            continue
        if sentence.isupper() or (language == "en" and not sentence[0].isupper()) or _VERSE.match(sentence):
            continue
        weight = sum(counts[term] * frequencies.rarity(term, language) for term in set(terms(sentence, language)))
        score = weight / (count_words(sentence, language) + 8)
        score *= 1.0 + 0.5 * any(name in sentence for name in people)
        score *= 0.5 if _LEANING[language].match(sentence) else 1.0
        # The first sentence is a bad premise: the story would begin by repeating it.
        score *= 1.0 - 0.4 * place / len(sentences) if place else 0.4
        if score > best_score:
            best, best_score = sentence, score
    return best


def _narrated(text: str, language: Language) -> list[str]:
    """The sentences of a text in which nobody speaks, each on one line."""
    found, speech = [], 0
    for sentence in split_sentences(text, language):
        marks = [mark for mark in sentence if mark in _SPEECH]
        if not speech and not marks and sentence[0] not in "'‘’*_[(（#—-" and not _SAYS.search(sentence):
            found.append(" ".join(sentence.split()))
        for mark in marks:
            speech = speech ^ 1 if mark == '"' else int(mark in "“「『")
        if "\n" in sentence[-2:]:  # a speech that goes on in the next paragraph is opened there again
            speech = 0
    return [sentence for sentence in found if sentence]


def _premise_of(prompt: str) -> str:
    """The premise that a source's own prompt gives: what its list of elements names, or the prompt as it is."""
    elements = [match[1].strip(" .") for match in _ELEMENT.finditer(prompt)]
    return "; ".join(elements) if len(elements) > 1 else prompt.strip()


def opening_of(text: str, language: Language) -> str | None:
    """The first sentence of a text as it stands there, or `None` when it is all of it or no plain sentence."""
    first = next(iter(split_sentences(text[:2000], language)), "").rstrip()
    if not first or len(first) >= len(text.rstrip()):
        return None
    if not ends_sentence(first):
        return None  # a heading
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
        told = without_speech(part) if story.form in CUED else part
        if task == "passage":
            request = replace(request, outline=central_sentence(told, self.frequencies, language, names))
        elif about:
            given = _premise_of(story.prompt) if story.prompt and whole else None
            request = replace(request, about=given or central_sentence(told, self.frequencies, language, names))
        if opening and whole:
            request = replace(request, opening=opening_of(part, language))
        return request
