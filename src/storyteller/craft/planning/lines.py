"""Lines: the slots of a plan. We write how a line begins, the model ends it, and the best of a few ends is taken."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from storyteller.corpus.language import count_words, ends_sentence, split_sentences
from storyteller.craft.planning.names import common_names
from storyteller.craft.planning.plan import Idea, Person, clean
from storyteller.craft.planning.scoring import coverage, distinctness, length_score, mentioned, total
from storyteller.generate.constraint import Cast, Constraint, Line, Together
from storyteller.generate.sampling import SamplingSettings
from storyteller.tokens.request import Character, Request

__all__ = ["Filled", "Lines", "Teller", "characters_of"]

#: How lines are drawn: calm, and nothing under a tenth of the likeliest. DRY would forbid the names and the premise.
CALM = SamplingSettings(temperature=0.7, min_p=0.1, dry_multiplier=0.0)

#: Words or 字 of a line, its beginning included, and of the plan so far that the model is shown.
LINE = {"en": (7, 26), "zh": (10, 40)}
SHOWN = {"en": 70, "zh": 110}

#: What a plan's line must not say: words about stories, and empty ones.
_EMPTY = re.compile(
    r"\b(?:story|tale|chapter|moral|reader|once upon a time|nothing happened|lived happily|the end)\b"
    "|故事|小说|本文|作者|读者",
    re.I,
)
_FORBIDDEN = re.compile(r"[\"“”「」*_#|<>{}\[\]\n]|\.\.\.|…")


class Teller(Protocol):
    """What planning and drafting ask of a model: `generate.Storyteller`, or another with these two.

    `write` yields tokens with `text` and `logprob`; a forced opening comes first with the id -1. One that cannot keep a
    `constraint`, such as a model behind an address, may ignore it: what comes back is checked.
    """

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    def write(
        self,
        prompt: Request,
        *,
        seed: int | None = None,
        settings: SamplingSettings | None = None,
        alternatives: int = 0,
        constraint: Constraint | None = None,
    ) -> Iterator[Any]:
        """Begin to write for a request."""
        ...


@dataclass(frozen=True, slots=True)
class Filled:
    """A filled slot: the whole line, what it scores, and the score's parts."""

    text: str
    score: float
    scores: dict[str, float]


class Lines:
    """Fills slots with one model for one idea; the rules of its vocabulary are worked out once."""

    def __init__(self, idea: Idea, teller: Teller, people: Sequence[Person], premise: str = "") -> None:
        self.idea, self.teller, self.people = idea, teller, tuple(people)
        self.premise = clean(premise or idea.text or idea.plot)
        names = [person.name for person in self.people]
        self._names = names
        tokenizer = getattr(teller, "tokenizer", None)
        self._rule: Constraint | None = None
        if tokenizer is not None:
            least, most = LINE[idea.language]
            known = [*names, idea.own_words, self.premise]
            line = Line(tokenizer, idea.language, least // 2, most)
            self._rule = Together((line, Cast(tokenizer, idea.language, known, common_names())))

    def fill(self, before: Sequence[str], frame: str, *, tries: int = 3, seed: int = 0) -> Filled:
        """The best of `tries` ends for a line that begins with `frame`, after the lines `before`.

        A frame that is a whole sentence stands as it is. Whatever the model says, a line comes back; one that is no
        sentence scores 0 for being `sound`.
        """
        if ends_sentence(frame):
            return self.rate(frame, before)
        ends = [self._end(before, frame, seed + number) for number in range(tries)]
        return max((self.rate(text, before, likely) for text, likely in ends), key=lambda filled: filled.score)

    def rate(self, text: str, before: Sequence[str], likelihood: float = math.nan) -> Filled:
        """A line with what speaks for it beside the lines before it."""
        language = self.idea.language
        wanted = "\n".join((self.premise, self.idea.plot, self.idea.theme))
        near = [*before[-6:], self.premise]
        sound = ends_sentence(text) and not _EMPTY.search(text) and _FORBIDDEN.search(text) is None
        scores = {
            "likelihood": max(-4.0, likelihood),
            "distinct": distinctness(text, near, language),
            "relevance": min(1.0, 3 * coverage(wanted, text, language)),
            "people": float(any(mentioned([name], text) for name in self._names)) if self._names else math.nan,
            "length": length_score(text, sum(LINE[language]) // 2, language),
            "sound": float(sound),
        }
        return Filled(text, total(scores), scores)

    def _end(self, before: Sequence[str], frame: str, seed: int) -> tuple[str, float]:
        """The frame with one end to it, cut to its first sentence, and the mean log-likelihood of what is new."""
        new, logprobs = "", []
        for token in self.teller.write(self._request(before, frame), seed=seed, settings=CALM, constraint=self._rule):
            if token.id >= 0:
                new += token.text
                logprobs.append(token.logprob)
        line = next(iter(split_sentences(clean(frame + new), self.idea.language)), frame).strip()
        known = [value for value in logprobs if value is not None and not math.isnan(value)]
        return line, sum(known) / len(known) if known else math.nan

    def _request(self, before: Sequence[str], frame: str) -> Request:
        """A story as short as a plan, told up to the frame; the last lines only, so that it stays short."""
        idea, joint = self.idea, " " if self.idea.language == "en" else ""
        shown: list[str] = []
        room = SHOWN[idea.language]
        for line in reversed(before):
            room -= count_words(line, idea.language)
            if room < 0:
                break
            shown.insert(0, line)
        return Request(
            language=idea.language,
            form="fable" if idea.form == "fable" else "story",
            about=self.premise,
            words=150,
            characters=characters_of(self.people),
            opening=joint.join([*shown, frame]),
        )


def characters_of(people: Sequence[Person], most: int = 4) -> tuple[Character, ...]:
    """People as the template knows them; it was taught with up to four."""
    return tuple(Character(person.name, person.who) for person in people[:most])
