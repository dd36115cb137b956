"""Constraints: what a text in the making may not say next, and where it is over, beyond what a request asks for.

A small model breaks every form that it is merely asked to keep. What it must keep is therefore not asked but drawn:
ids that would break it are never drawn. `Line` holds one line, `Cast` the people who are known, `Fresh` forbids repeats;
`Together` joins them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from storyteller.corpus.language import count_words, ends_sentence, words_of
from storyteller.corpus.story import Language
from storyteller.tokens import StoryTokenizer

__all__ = ["USUAL", "Cast", "Constraint", "Fresh", "Line", "Together", "ids_like"]


class Constraint(Protocol):
    """Follows a text; `story` is all of it, the opening or what it continues included, `written` what is new."""

    def banned(self, story: str, written: str) -> Collection[int]:
        """The ids that may not come next."""
        ...

    def over(self, story: str, written: str) -> bool:
        """Whether the text ends here."""
        ...


def ids_like(tokenizer: StoryTokenizer, pattern: str) -> frozenset[int]:
    """The ids whose text holds the pattern, of the whole vocabulary; a piece of a character has no text yet."""
    holds = re.compile(pattern).search
    texts = (tokenizer.token_bytes(index).decode("utf-8", "ignore") for index in range(tokenizer.vocabulary_size))
    return frozenset(index for index, text in enumerate(texts) if holds(text))


#: What no plain sentence has: line breaks, quotes, brackets, list marks and what else leads into another form.
_NO_SENTENCE = "^ ?['‘]$|^ ['‘]|[`\\n\\r\"*“”「」『』#|<>{}()\\[\\]_=:;：；（）【】…]"
_SENTENCE_END = "[.!?。！？]"


@dataclass
class Line:
    """One plain sentence of `least` to `most` words or 字, in which nobody speaks; over where the sentence is.

    A sentence that grows too long is over at `most`, wherever it is.
    """

    tokenizer: StoryTokenizer
    language: Language
    least: int = 3
    most: int = 28
    _never: frozenset[int] = field(init=False, repr=False)
    _too_early: frozenset[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        stops = frozenset(self.tokenizer.stop_ids)
        self._never = stops | ids_like(self.tokenizer, _NO_SENTENCE)
        self._too_early = self._never | ids_like(self.tokenizer, _SENTENCE_END)

    def banned(self, story: str, written: str) -> Collection[int]:
        """What breaks the line; while it is too short, also what ends it."""
        return self._too_early if count_words(written, self.language) < self.least else self._never

    def over(self, story: str, written: str) -> bool:
        """Whether the sentence is over, or as long as it may be."""
        return ends_sentence(written) or count_words(written, self.language) >= self.most


#: Capitals in the middle of an English sentence that name nobody new.
_WORDS = (
    "I I'm I'll I've I'd I’m I’ll I’ve I’d God Lord Heaven Earth English French Monday Tuesday Wednesday Thursday Friday"
    " Saturday Sunday January February March April May June July August September October November December Christmas"
    " Mother Father Mom Mum Dad Mama Papa Grandma Grandpa Granny Grandmother Grandfather OK TV"
)
USUAL = frozenset(_WORDS.split())
_INSIDE = re.compile(r"[a-z0-9,;’'”\")-]\s?$")


@dataclass
class Cast:
    """Nobody new in an English story: in the middle of a sentence only known words have a capital letter.

    `known` are names and whole texts whose capitals are known; `strangers` first names that may not begin a sentence
    either (there every word has a capital). The language of Chinese has no such mark: there it bans nothing.
    """

    tokenizer: StoryTokenizer
    language: Language
    known: Iterable[str]
    strangers: Iterable[str] = ()
    _inside: frozenset[int] = field(init=False, repr=False)
    _first: frozenset[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        words = set(USUAL)
        words.update(word for text in self.known for word in re.findall(r"[A-Z][\w’'-]*", text))
        encode = self.tokenizer.encode
        allowed = {ids[0] for word in words for ids in (encode(f" {word}"), encode(word)) if ids}
        names = [name for name in self.strangers if name not in words]
        first = {ids[0] for name in names for ids in (encode(f" {name}"), encode(name)) if len(ids) == 1}
        capital = ids_like(self.tokenizer, "^ [A-Z]") if self.language == "en" else frozenset()
        self._inside, self._first = (capital | first) - allowed, frozenset(first - allowed)

    def banned(self, story: str, written: str) -> Collection[int]:
        """The ids that would name somebody new after `story`."""
        return self._inside if _INSIDE.search(story[-3:]) else self._first

    def over(self, story: str, written: str) -> bool:
        """Never."""
        return False


#: What English prose is made of; rows of full-width letters come when everything likely is forbidden.
_FOREIGN = "[^\\x00-\\x7f“”‘’–—…éèêëàâäçîïôöûüñœæ£ÉÀÇ]"


@dataclass
class Fresh:
    """No run of `gram` words (字) comes twice in a text, nor one that stood in `earlier`.

    Repetition control by ids forgets what has left the window, and must let speeches begin alike; this does neither.
    """

    tokenizer: StoryTokenizer
    language: Language
    earlier: str = ""
    gram: int = 5
    _next: dict[tuple[str, ...], set[str]] = field(default_factory=dict, init=False, repr=False)
    _seen: list[str] = field(default_factory=list, init=False, repr=False)
    _read: int = field(default=0, init=False, repr=False)
    _ids: dict[str, frozenset[int]] = field(default_factory=dict, init=False, repr=False)
    _foreign: frozenset[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._learn(_words(self.earlier, self.language))
        self._foreign = ids_like(self.tokenizer, _FOREIGN) if self.language == "en" else frozenset()

    def banned(self, story: str, written: str) -> Collection[int]:
        """The ids that begin the word with which a run of words would come again."""
        settled = max((written.rfind(mark) for mark in " \n"), default=-1) if self.language == "en" else len(written)
        if settled > self._read:
            self._learn(_words(written[self._read : settled], self.language))
            self._read = settled
        last = [*self._seen, *_words(written[self._read :], self.language)][1 - self.gram :]
        words = self._next.get(tuple(last), ()) if len(last) == self.gram - 1 else ()
        return self._foreign.union(*(self._beginning(word) for word in words))

    def over(self, story: str, written: str) -> bool:
        """Never."""
        return False

    def _learn(self, words: list[str]) -> None:
        text = self._seen + words
        for place in range(len(text) - self.gram + 1):
            run = tuple(text[place : place + self.gram])
            self._next.setdefault(run[:-1], set()).add(run[-1])
        self._seen = text[1 - self.gram :]

    def _beginning(self, word: str) -> frozenset[int]:
        if word not in self._ids:
            spellings = {word, word.capitalize(), f" {word}", f" {word.capitalize()}"}
            firsts = (self.tokenizer.encode(spelling) for spelling in spellings)
            self._ids[word] = frozenset(ids[0] for ids in firsts if ids)
        return self._ids[word]


def _words(text: str, language: Language) -> list[str]:
    if language == "en":
        return [word.lower() for word in words_of(text)]
    return [character for character in text if character.isalnum()]


@dataclass(frozen=True)
class Together:
    """Several constraints at once."""

    rules: tuple[Constraint, ...]

    def banned(self, story: str, written: str) -> Collection[int]:
        """What any of them bans."""
        return frozenset[int]().union(*(rule.banned(story, written) for rule in self.rules))

    def over(self, story: str, written: str) -> bool:
        """Whether it is over for any of them."""
        return any(rule.over(story, written) for rule in self.rules)
