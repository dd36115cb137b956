"""Sentences told again by a model, directly or by way of another language; what comes back is checked before it is taken."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from storyteller.corpus.language import count_words, identify_language, split_sentences
from storyteller.corpus.story import Language, Story
from storyteller.tokens.augment.quotes import quoted
from storyteller.tokens.names import CUED, characters

__all__ = ["Paraphraser"]

_AGAIN = {
    "en": "Say this sentence of a story in other words. Keep every name and all that happens. Answer with the sentence"
    " only.\n\n{}",
    "zh": "请用别的话说出故事里的这句话，人名和情节都不变。只回答这句话。\n\n{}",
}
_INTO = {
    "en": "Translate this sentence of a story into English. Answer with the translation only.\n\n{}",
    "zh": "请把故事里的这句话译成中文，只回答译文。\n\n{}",
}
_OTHER: dict[Language, Language] = {"en": "zh", "zh": "en"}
_CAPITAL = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]+")
_LEAST = {"en": 6, "zh": 10}


@dataclass
class Paraphraser:
    """Tells a `share` of the narrated sentences of a story again by asking a model.

    `ask` takes a request in words and returns the answer (any chat model, see `storyteller.generate.RemoteModel`; it may
    raise, which ends the work). `how` is `paraphrase`, or `translate`: into the other of our two languages and back.
    `counts` says how many sentences were asked, taken and refused.
    """

    ask: Callable[[str], str]
    share: float = 0.3
    how: Literal["paraphrase", "translate"] = "paraphrase"
    counts: Counter[str] = field(default_factory=Counter)

    def variant(self, story: Story, seed: int) -> Story | None:
        """The story with some of its sentences told again; None when there is none that could be, or none was taken."""
        if story.form in CUED:
            return None
        chance = random.Random(f"{seed}/{story.id}/{self.how}")
        names = [person.name for person in characters(story, least=1)]
        held = quoted(story.text, story.language)
        parts, at, taken = [], 0, 0
        for sentence in split_sentences(story.text, story.language):
            start, end = at, at + len(sentence)
            at = end
            body = sentence.strip()
            free = not any(start < there and here < end for here, there in held)
            long_enough = count_words(body, story.language) >= _LEAST[story.language] and "\n" not in body
            if free and long_enough and chance.random() < self.share:
                told = self._again(body, story.language, names)
                if told is not None:
                    sentence, taken = sentence.replace(body, told), taken + 1
            parts.append(sentence)
        if not taken:
            return None
        text = "".join(parts)
        words = count_words(text, story.language)
        return replace(story, id=f"{story.id}~{self.how}", text=text, words=words, augmented=self.how)

    def _again(self, sentence: str, language: Language, names: list[str]) -> str | None:
        self.counts["asked"] += 1
        if self.how == "paraphrase":
            told = self.ask(_AGAIN[language].format(sentence)).strip()
        else:
            there = self.ask(_INTO[_OTHER[language]].format(sentence)).strip()
            told = self.ask(_INTO[language].format(there)).strip()
        kept = _keeps(sentence, told, language, names)
        self.counts["taken" if kept else "refused"] += 1
        return told if kept else None


def _keeps(sentence: str, told: str, language: Language, names: list[str]) -> bool:
    """Whether an answer is one other sentence of the same language and like length, with the same names and no quotation."""
    wanted = {name for name in names if name in sentence}
    if language == "en":
        wanted |= set(_CAPITAL.findall(sentence))
    old, new = count_words(sentence, language), count_words(told, language)
    return (
        told != sentence
        and "\n" not in told
        and 0.5 * old <= new <= 1.8 * old
        and told[-1:] in ".!?。！？…"
        and len(split_sentences(told, language)) <= 2
        and identify_language(told) in (language, None)
        and not quoted(told, language)
        and all(name in told for name in wanted)
    )
