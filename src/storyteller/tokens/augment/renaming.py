"""Other names for people and places, the same all through a story, so that a model learns stories and not their names."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from storyteller.corpus.story import Story
from storyteller.tokens.names import character_names
from storyteller.tokens.vocabulary import word_list

__all__ = ["Renaming"]

_TITLE = re.compile(
    r"^(?:(?:Mr|Mrs|Ms|Miss|Dr|Doctor|Professor|Sir|Lady|Lord|King|Queen|Prince|Princess|Captain|Colonel|Major|General"
    r"|Sergeant|Uncle|Aunt|Father|Mother|Brother|Sister|Old|Little|Saint|St|Count|Baron|Duke|Judge|Inspector|Madame"
    r"|Monsieur|Grandma|Grandpa|Granny|Squire|Reverend)\.? )+"
)
#: Before these stands a surname; before the others, a given name.
_FORMAL = re.compile(
    r"\b(?:Mr|Mrs|Ms|Miss|Dr|Doctor|Professor|Captain|Colonel|Major|General|Sergeant|Judge|Inspector|Squire)\.? $"
)
_SHE, _HE = re.compile(r"\b(?:she|her|herself|hers)\b", re.I), re.compile(r"\b(?:he|his|him|himself)\b", re.I)
_WORD = re.compile(r"\b[A-Za-z]+\b")
_CAPITALISED = re.compile(r"\b[A-Z][A-Za-z]*\b")
_CALLED = "先生|太太|小姐|老师|师傅|大爷|大娘|大伯|大叔|大婶|大嫂|大哥|大姐|老伯|爷爷|奶奶|家|妈|大人|公子|员外|掌柜"
_TITLED = re.compile(f"^(?:{_CALLED})$")


@dataclass(frozen=True)
class Renaming:
    """A one-to-one exchange of names; `names` maps each old name, as it stands in the text, to the new one."""

    names: dict[str, str]

    @classmethod
    def of(cls, story: Story, chance: random.Random, people: Sequence[str] | None = None) -> Renaming:
        """Draw new names for the people of a story and for the towns in it.

        A given name becomes one of the same gender (by lists, else by the pronouns that follow it; when neither tells, it
        stays), a surname another surname; Chinese given names become names that anybody may have. No new name occurs in the
        story, so nobody is confused with anybody, and the exchange can be undone; where it could not, nothing is renamed.
        `people` are the names of the characters, where they are known already.
        """
        if people is None:
            people = character_names(story)
        find = _chinese if story.language == "zh" else _english
        found = cls(dict(find(story.text, people, chance)))
        texts = [text for text in (story.title, story.prompt) if text]
        # English: whole words, one to one, onto words that are not in the text, so that the text need not be tried.
        texts += [story.text] if story.language == "zh" else []
        return found if all(found.undone().apply(found.apply(text)) == text for text in texts) else cls({})

    def apply(self, text: str) -> str:
        """`text` with every name exchanged at once; English names as whole words, in capitals too."""
        if not self.names:
            return text
        # Names are few and stories many: a pattern made for each story takes longer to make than to use.
        text = _CAPITALISED.sub(lambda match: self.names.get(match.group(), match.group()), text)
        if names := sorted((name for name in self.names if not name.isascii()), key=len, reverse=True):
            text = re.sub("|".join(map(re.escape, names)), lambda match: self.names[match.group()], text)
        return text

    def undone(self) -> Renaming:
        """The exchange that leads back."""
        return Renaming({new: old for old, new in self.names.items()})

    def parts(self, story: Story) -> dict[str, str | None]:
        """Text, title and prompt of `story`, renamed."""
        parts = {"text": story.text, "title": story.title, "prompt": story.prompt}
        return {name: self.apply(part) if part else part for name, part in parts.items()}

    def story(self, story: Story) -> Story:
        """`story` with its text, title and prompt renamed."""
        return replace(story, **self.parts(story))  # type: ignore[arg-type]


def _english(text: str, people: Sequence[str], chance: random.Random) -> Iterator[tuple[str, str]]:
    present = set(_WORD.findall(text))
    taken = {word.lower() for word in present}
    pools = {
        name: _drawn(name, taken, chance) for name in ("given_female_en", "given_male_en", "surnames_en", "places_en")
    }
    done: set[str] = set()
    for name in people:
        words = _TITLE.sub("", name).split(" ")
        for place, word in enumerate(words):
            if word in done or not word.isascii() or not word.isalpha() or word in word_list("not_people_en"):
                continue
            done.add(word)
            if word.lower() in present:  # "Fox" of a fable, and "Rose" where a rose grows
                continue
            pool = _pool(word, text, alone=len(words) == 1, last=place == len(words) - 1)
            if pool is not None and (new := next(pools[pool], None)):
                yield word, new
                yield word.upper(), new.upper()
    for place_name in sorted(present & word_list("places_en") - done):
        # "Venetian" would stay behind.
        if not re.search(rf"\b{place_name[:4]}\w*(?:ian|ish|ese|er|ers|ians)\b", text) and (
            new := next(pools["places_en"], None)
        ):
            yield place_name, new
            yield place_name.upper(), new.upper()


def _drawn(name: str, taken: set[str], chance: random.Random) -> Iterator[str]:
    """Names of a list in a random order, without those that are taken; drawn one by one, for most stories need few."""
    words = _ordered(name)
    drawn: set[str] = set()
    while len(drawn) < len(words):
        word = chance.choice(words)
        if word not in drawn:
            drawn.add(word)
            if word.lower() not in taken:
                yield word


@functools.cache
def _ordered(name: str) -> tuple[str, ...]:
    return tuple(sorted(word_list(name)))


def _pool(word: str, text: str, alone: bool, last: bool) -> str | None:
    """The list from which a name's successor comes; None where it cannot be told what kind of name it is."""
    if not alone and last:
        return "surnames_en"
    if word in word_list("given_female_en"):
        return "given_female_en"
    if word in word_list("given_male_en"):
        return "given_male_en"
    mentions = [match.span() for match in _CAPITALISED.finditer(text, 0, 20_000) if match.group() == word]
    if alone and any(_FORMAL.search(text, max(0, start - 14), start) for start, _ in mentions):
        return "surnames_en"
    she = he = 0
    for _, end in mentions[:20]:
        after = text[end : end + 80]
        she += bool(_SHE.search(after)) and not _HE.search(after)
        he += bool(_HE.search(after)) and not _SHE.search(after)
    if she + he < 2 or max(she, he) < 0.75 * (she + he):
        return None
    return "given_female_en" if she > he else "given_male_en"


def _chinese(text: str, people: Sequence[str], chance: random.Random) -> Iterator[tuple[str, str]]:
    surnames, present = word_list("surnames_zh"), set(text)
    fresh = [name for name in _ordered("surnames_zh") if len(name) == 1 and name not in present]
    given = [name for name in _ordered("given_zh") if name[0] not in present or name not in text]
    chance.shuffle(fresh)
    chance.shuffle(given)
    parts = [(surname, name[len(surname) :], name) for name in people if (surname := _surname(name, surnames))]
    families: dict[str, str] = {}
    for surname in dict.fromkeys(surname for surname, _, _ in parts):
        called = set(_addressed(surname).findall(text))
        known = called | {name for mine, _, name in parts if mine == surname}
        # Where the surname stands in yet other words, a kinsman may hide in them: then the family keeps it.
        rest = re.sub("|".join(sorted(map(re.escape, known), key=len, reverse=True)), "", text)
        families[surname] = fresh.pop() if fresh and surname not in rest else surname
        if families[surname] != surname:
            yield from ((match, match.replace(surname, families[surname])) for match in called)
    for surname, own, name in parts:
        new = own if _TITLED.match(own) else _take(given, len(own))
        if new is not None and (families[surname], new) != (surname, own):
            yield name, families[surname] + new
            if len(own) == 2 and new != own:
                yield own, new
    towns = [name for name in _ordered("places_zh") if name[0] in present and name in text]
    cities = [name for name in _ordered("places_zh") if name not in towns]
    chance.shuffle(cities)
    for city in towns:
        if cities:
            yield city, cities.pop()


@functools.cache  # there are some hundred surnames, and the pattern's class of characters takes long to make
def _addressed(surname: str) -> re.Pattern[str]:
    return re.compile(f"[老小]{surname}(?![一-鿿])|{surname}(?:{_CALLED})")


def _surname(name: str, surnames: frozenset[str]) -> str | None:
    """The surname that a full name begins with."""
    return next((name[:size] for size in (2, 1) if name[:size] in surnames and len(name) > size), None)


def _take(names: list[str], size: int) -> str | None:
    """Take the first name of that many characters out of the list."""
    found = next((name for name in names if len(name) == size), None)
    if found is not None:
        names.remove(found)
    return found
