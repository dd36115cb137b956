"""What can be seen to be wrong with a part that was just told, so that it is told again, or at least said."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from storyteller.corpus.language import split_sentences, words_of
from storyteller.corpus.story import Form, Language, Story
from storyteller.craft.planning.plan import clean
from storyteller.evaluate.degeneration import loop_shares, repeated_shares
from storyteller.evaluate.ngrams import words as words_and_marks
from storyteller.generate.doubt import doubt
from storyteller.tokens.names import characters

__all__ = ["SERIOUS", "Fault", "echo", "find_faults", "strangers"]

#: Faults for which a beat is told again.
SERIOUS = ("empty", "loop", "echo", "doubt")

#: The share of a part's runs of five words that stood in the story before from which on it is an echo, and the runs
#: that a repeat must have at all: a refrain is none.
ECHO, GRAM = 0.12, 5

#: The share of a part's runs of three words and marks that it has had already, from which on it is a loop.
REPEATED = 0.22

_WORDS = {
    "empty": ("nothing was written", "什么也没写出来"),
    "loop": ("it goes round in a loop: {}", "原地打转：{}"),
    "echo": ("it repeats what was told: {}", "重复前文：{}"),
    "doubt": ("it does not look like a story ({})", "不像故事（{}）"),
    "stranger": ("somebody new comes in late: {}", "后面才出现的新人物：{}"),
    "nobody": ("none of the beat's people is in it: {}", "这一段的人物都没有出现：{}"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by its kind (see `SERIOUS`; besides `stranger` and `nobody`), and what it was seen by."""

    kind: str
    detail: str = ""

    def said(self, language: Language) -> str:
        """The fault in words."""
        return _WORDS[self.kind][int(language == "zh")].format(self.detail)


def find_faults(text: str, earlier: str, language: Language, form: Form = "story") -> list[Fault]:
    """The serious faults of a part, told after `earlier`."""
    if not text.strip():
        return [Fault("empty")]
    found = []
    if looped := _loop(text, language):
        found.append(Fault("loop", looped))
    if repeated := echo(text, earlier, language):
        found.append(Fault("echo", repeated))
    if (reason := doubt(text, form)) is not None:
        found.append(Fault("doubt", reason))
    return found


def echo(text: str, earlier: str, language: Language) -> str:
    """The longest run that a part shares with what came before, where it shares too many; empty where it does not."""
    own, other = _tokens(text, language), _tokens(earlier, language)
    known = {tuple(other[i : i + GRAM]) for i in range(len(other) - GRAM + 1)}
    places = [i for i in range(len(own) - GRAM + 1) if tuple(own[i : i + GRAM]) in known]
    if len(places) < 4 or len(places) < ECHO * max(1, len(own) - GRAM + 1):
        return ""
    return _clip(_longest_run(own, places), language)


def strangers(text: str, known: Collection[str], language: Language) -> list[str]:
    """The names in a part that no known text has, by the rules of `tokens.names`."""
    story = Story(id="", text=text, language=language, form="story", words=0)
    everything = "\n".join(known).lower()
    found = [person.name for person in characters(story, least=1)]
    return [name for name in found if not any(word.lower() in everything for word in name.split(" "))]


def _loop(text: str, language: Language) -> str:
    """A sentence that comes three times, or a span that is repeated on the spot; empty for neither."""
    sentences = Counter(clean(sentence).lower() for sentence in split_sentences(text, language))
    for sentence, count in sentences.items():
        if count >= 3 and len(_tokens(sentence, language)) >= 4:
            return _clip(sentence, language)
    tokens = [words_and_marks(text)]
    if loop_shares(tokens)[0] > 0.05 or repeated_shares(tokens, (3,))[0][0] > REPEATED:
        return _clip(clean(text[-60:]), language)
    return ""


def _tokens(text: str, language: Language) -> list[str]:
    if language == "en":
        return [word.lower() for word in words_of(text)]
    return [character for character in text if re.match(r"\w", character)]


def _longest_run(tokens: Sequence[str], places: Sequence[int]) -> str:
    best: list[int] = []
    run: list[int] = []
    for place in places:
        run = [*run, place] if run and place == run[-1] + 1 else [place]
        best = max(best, run, key=len)
    words = tokens[best[0] : best[-1] + GRAM]
    return " ".join(words) if all(word.isascii() for word in words) else "".join(words)


def _clip(text: str, language: Language) -> str:
    most = 60 if language == "en" else 24
    return text if len(text) <= most else text[:most] + "…"
