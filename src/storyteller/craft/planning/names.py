"""Names of our own for people whom a writer left nameless, and who a premise is about."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Collection
from importlib import resources
from typing import Literal

from storyteller.corpus.language import count_words
from storyteller.corpus.story import Language, Story
from storyteller.generate.constraint import USUAL
from storyteller.tokens.names import characters
from storyteller.tokens.vocabulary import word_list

__all__ = ["common_names", "how_many", "names_in", "others_in", "protagonist", "relations", "some_names"]

Sex = Literal["women", "men"]

_SHE = re.compile(
    r"\b(?:she|her|woman|girl|sisters?|mother|daughter|queen|princess|wife|widow|witch|aunt|grandmother|lady|nun|actress"
    r"|waitress|bride)\b|[她女妈母姐妹婆娘妻奶姑姨]",
    re.I,
)
_HE = re.compile(
    r"\b(?:he|his|him|man|boy|brothers?|father|son|king|prince|husband|widower|wizard|uncle|grandfather|monk|fisherman"
    r"|knight|gentleman|groom)\b|[他男爸父哥弟公爷夫叔伯舅僧]",
    re.I,
)
_NO_NAMES = (
    "A",
    "An",
    "The",
    "This",
    "That",
    "There",
    "It",
    "He",
    "She",
    "They",
    "One",
    "Two",
    "Three",
    "Nobody",
    "When",
)
# The first noun phrase of a premise: up to what its people do, or what is said about them.
_WHO = re.compile(
    r"^(?:an?|the|one|two|three|four|five|some) (?:[\w’'-]+ ){0,3}?[\w’'-]+?(?= (?:who|that|which|with|must|has|have|is|are"
    r"|was|were|can|cannot|in|on|at|from|of (?!the)|tries|and|will|inherit|discover|meet|try|want|share|fight|find"
    r"|\w{3,}(?:ed|[^s]s))\b|[,.;:])",
    re.I,
)
_WHO_ZH = re.compile(
    "^(?:一[个位只条名对群]|两[个位只姐兄]|[^，。！？、\\s]{0,6}?的)?[^，。！？、的\\s]{1,6}?"
    "(?=在|发现|想|要|必须|遇|找|把|被|有|是|和|每|从|得|继承|造|开|打|救|听|看|写|走|住|藏|拒绝|来|去|变|养|学|，)"
)
_SEVERAL = re.compile(r"^(two|three|four|five) (?:[a-z’'-]+ ){0,2}?[a-z]+(?:s|men|women|children|people)\b", re.I)
_PERSONAL = re.compile(r"(?:er|or|ist|man|woman|ian|ant|ess|smith|wright|herd|keeper|one)$")
_SEVERAL_ZH = re.compile("^[两二三]")
_ARTICLES = frozenset(("a", "an", "the", "his", "her", "their"))
# Another phrase for somebody; in English its head is looked up instead.
_PHRASE_ZH = re.compile("一[位名只头条匹][^，。！？、\\s]{1,8}?(?=想|要|在|，|。|、|！|$)")


@functools.cache
def _lines(name: str) -> tuple[str, ...]:
    text = resources.files(__package__).joinpath(f"names/{name}.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))


@functools.cache
def _listed(name: str) -> tuple[str, ...]:
    return tuple(word for line in _lines(name) for word in line.split())


def common_names() -> tuple[str, ...]:
    """First names and titles that English models bring in of their own."""
    return _listed("common_en")


def some_names(
    count: int, language: Language, chance: random.Random, taken: Collection[str] = (), hint: str = ""
) -> list[str]:
    """Names from our own lists, no two of which begin alike; a `hint` such as "a shy boy" decides whose they are."""
    she, he = bool(_SHE.search(hint)), bool(_HE.search(hint))
    chosen: list[str] = []
    for number in range(count):
        sex: Sex = "women" if she and not he else "men" if he and not she else ("women", "men")[number % 2]
        if number and not (she and he) and count > 1:
            sex = chance.choice(("women", "men"))
        used = {name[0] for name in (*chosen, *taken)}
        free = [name for name in _listed(f"{sex}_{language}") if name[0] not in used and name not in taken]
        chosen.append(chance.choice(free or list(_listed(f"{sex}_{language}"))))
    return chosen


def names_in(text: str, language: Language) -> list[str]:
    """The names that a premise or a plot itself gives, in the order of their places."""
    story = Story(id="", text=text, language=language, form="story", words=count_words(text, language))
    found = [person.name for person in characters(story, least=1)]
    if language == "en":
        # A single sentence hardly shows that a name acts: capitals in its middle, and what acts at its beginning.
        inside = re.findall(r"(?<=[a-z,;] )[A-Z][a-z]+(?: [A-Z][a-z]+)?", text)
        first = re.findall(r"(?:^|[.!?] )([A-Z][a-z]+)(?= (?:[a-z]+s|and [A-Z]|must|who|had)\b)", text)
        lower = set(re.findall(r"[a-z]+", text))
        usual = {*word_list("not_names_en"), *USUAL, *_NO_NAMES}
        more = (name for name in [*inside, *first] if name not in usual and name.lower() not in lower)
        found = list(dict.fromkeys([*found, *more]))
    return sorted(found, key=text.find)


def protagonist(premise: str, language: Language) -> str:
    """Who a premise is about, such as `a lighthouse keeper`; empty where the rule does not see somebody."""
    premise = premise.strip()
    if language == "zh":
        match = _WHO_ZH.match(premise)
        return match.group().strip() if match else ""
    match = _SEVERAL.match(premise) or _WHO.match(premise)
    if not match:
        return ""
    who = match.group().strip()
    who, head = who[0].lower() + who[1:], who.split(" ")[-1].lower()
    heads = {head, head.removesuffix("s"), head.removesuffix("es")}
    speaks = premise[match.end() :].startswith(" who ")
    return who if speaks or heads & set(_listed("beings_en")) or _PERSONAL.search(head.removesuffix("s")) else ""


def how_many(who: str, language: Language) -> int:
    """How many people a phrase such as `two sisters` means; 1 for one."""
    match = _SEVERAL.match(who) if language == "en" else _SEVERAL_ZH.match(who)
    if not match:
        return 1
    return 2 if match.group().lower().startswith(("two ", "两", "二")) else 3


def others_in(premise: str, language: Language) -> list[str]:
    """Who else can want something in a premise, such as `a talking seal`; the protagonist is not among them."""
    first = protagonist(premise, language)
    rest = premise.strip()[len(first) :]
    if language == "zh":
        return [match.group() for match in _PHRASE_ZH.finditer(rest)]
    beings = set(_listed("beings_en"))
    found = []
    # Phrases overlap: "a race against the richest girl" is looked into from both of its articles.
    for match in re.finditer(r"(?<!\bas )(?=\b(an?|the|his|her|their) ((?:[a-z’'-]+ ){0,2}[a-z’'-]+))", rest):
        words = match[2].split()
        place = next((place for place, word in enumerate(words) if word in beings), None)
        if place is not None and not _ARTICLES & set(words[:place]):
            found.append(" ".join([match[1], *words[: place + 1]]))
    return found


def relations(language: Language) -> tuple[str, ...]:
    """Who somebody can be to the hero, where neither the writer nor the model says it."""
    return _lines(f"relations_{language}")
