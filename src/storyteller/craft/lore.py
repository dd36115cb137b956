"""Lore: entries for people, places and things that fire when a text names them, in English and in Chinese.

All names are one regular expression, a tree of their letters, so a text is read once whatever the number of entries.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from storyteller.corpus.language import HAN
from storyteller.corpus.story import Language
from storyteller.craft.book import Entry

__all__ = ["Fired", "Why", "fired", "mentions"]

Why = Literal["name", "alias", "always"]

#: A letter or digit that joins a name to a word; Han is none, for in Chinese a name stands among other characters.
#: A mark over a letter (decomposed text) belongs to it.
_LETTER = "[0-9A-Za-z\u00c0-\u024f\u0300-\u052f]"
_LATIN = re.compile(_LETTER)
_SPACE = re.compile(r"\s+")
#: Apostrophes and hyphens that look alike; each is one character, so that places in a text stay.
_ALIKE = str.maketrans(dict.fromkeys("’‘ʼ′＇", "'") | dict.fromkeys("‐‑–−－", "-"))
_HISSING = ("s", "x", "z", "ch", "sh")

#: Longer names are cut: no story names anything in more letters, and a tree as deep as a page cannot be compiled.
_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Fired:
    """An entry that fires: by which of its names, where in the text, and why.

    An entry that is always on, and not named, has no place: `start` and `end` are -1 and `key` is its name.
    """

    entry: Entry
    key: str
    start: int
    end: int
    why: Why


def fired(entries: Sequence[Entry], text: str, language: Language) -> list[Fired]:
    """The entries that fire on a text, each once by its last mention, by priority and then in their own order."""
    last = {id(found.entry): found for found in mentions(entries, text, language)}
    for entry in entries:
        if entry.enabled and entry.always and id(entry) not in last:
            last[id(entry)] = Fired(entry, entry.name, -1, -1, "always")
    order = sorted(range(len(entries)), key=lambda place: -entries[place].priority)
    return [last[id(entries[place])] for place in order if id(entries[place]) in last]


def mentions(entries: Sequence[Entry], text: str, language: Language) -> list[Fired]:
    """Every place where a text names an entry, in the order of the text.

    A Latin name is found as a word of its own, in English also as a plural or possessive; a Chinese one anywhere but
    inside a longer known name, and one of a single 字 only where no 字 stands beside it. A name with a capital is found as
    it is written or in capitals throughout, one without in any case; `extra["case_sensitive"]` decides otherwise. A
    phrase of `avoid` that holds a name takes its own mentions away ("bookmark" from "mark"); any other one, where
    it is read, keeps the entry silent. Straight and curved apostrophes, hyphens of any kind, and letters with their marks
    composed or apart are the same.
    """
    text = text.translate(_ALIKE)
    live = [entry for entry in entries if entry.enabled]
    keys: dict[str, list[tuple[int, str, Why]]] = defaultdict(list)
    sensitive: dict[str, bool] = {}
    shunned: dict[str, list[int]] = defaultdict(list)
    for place, entry in enumerate(live):
        for key, why in _keys(entry):
            for spelling, exact in _spellings(key, entry.extra, language):
                keys[spelling].append((place, key, why))
                sensitive[spelling] = exact
        for phrase in filter(None, map(_tidy, entry.avoid)):
            for spelling in _forms(phrase.casefold()):
                shunned[spelling].append(place)
    found = [
        Fired(live[place], key, start, end, why)
        for start, end, spelling in _outermost(_search(text, sensitive))
        for place, key, why in keys[spelling]
    ]
    return _heeded(found, text, shunned, live) if shunned else found


def _keys(entry: Entry) -> Iterator[tuple[str, Why]]:
    if name := _tidy(entry.name):
        yield name, "name"
    for alias in dict.fromkeys(map(_tidy, entry.aliases)):
        if alias and alias != name:
            yield alias, "alias"


def _tidy(key: str) -> str:
    return _SPACE.sub(" ", key).strip()[:_LONGEST]


def _spellings(key: str, extra: Mapping[str, Any], language: Language) -> Iterator[tuple[str, bool]]:
    """How a name may be written, and whether its capitals count; a spelling that they do not count in is small."""
    choice = extra.get("case_sensitive")
    exact = choice if isinstance(choice, bool) else key != key.lower()
    cases = {key} if exact else {key.casefold()}
    if exact and choice is None and len(key) > 1:
        cases.add(key.upper())
    for word in {form for case in cases for form in _forms(case)}:
        yield word, exact
        if language == "en" and _LATIN.match(word[-1]):
            yield from ((plural, exact) for plural in _plurals(word))


def _forms(word: str) -> set[str]:
    """A spelling with its marks composed, and with them apart, as a text may have them."""
    plain = word.translate(_ALIKE)
    return {unicodedata.normalize("NFC", plain), unicodedata.normalize("NFD", plain)}


def _plurals(word: str) -> Iterator[str]:
    capitals = word.isupper() and len(word) > 1
    small = word.lower()
    if small.endswith("y") and small[-2:-1] not in "aeiou":
        yield word[:-1] + ("IES" if capitals else "ies")
    ending = "es" if small.endswith(_HISSING) else "s"
    yield word + ending
    if capitals:
        yield word + ending.upper()


def _search(text: str, spellings: Mapping[str, bool]) -> Iterator[tuple[int, int, str]]:
    """Where a text holds one of the spellings, of which each says whether its capitals count: (start, end, spelling)."""
    groups: dict[tuple[bool, bool, bool], list[str]] = defaultdict(list)
    for spelling, exact in spellings.items():
        groups[bool(_LATIN.match(spelling[0])), bool(_LATIN.match(spelling[-1])), exact].append(spelling)
    for (begins, ends, exact), group in groups.items():
        pattern = re.compile(_expression(group, begins, ends), 0 if exact else re.I)
        for match in pattern.finditer(text):
            spelling = _SPACE.sub(" ", match[1] or match[2])
            spelling = spelling if exact else spelling.casefold()
            if spelling in spellings:  # but for letters whose small form is another word's
                yield match.start(), match.end(), spelling


def _expression(spellings: Sequence[str], begins: bool, ends: bool) -> str:
    """What finds the spellings; of those that begin or end with a Latin letter, where no other letter joins it."""
    if begins or ends:
        before, after = f"(?<!{_LETTER})" if begins else "", f"(?:'s?)?(?!{_LETTER})" if ends else ""
        return f"{before}({_tree(spellings)}){after}()"
    alone = [spelling for spelling in spellings if len(spelling) == 1]
    longer = [spelling for spelling in spellings if len(spelling) > 1]
    never = r"(?!)"
    return f"({_tree(longer) if longer else never})|(?<![{HAN}])({_tree(alone) if alone else never})(?![{HAN}])"


def _tree(spellings: Iterable[str]) -> str:
    """A regular expression for the longest of these spellings, with one branch for each letter that may come next."""
    root: dict[str, Any] = {}
    for spelling in spellings:
        node = root
        for letter in spelling:
            node = node.setdefault(letter, {})
        node[""] = {}
    return _branches(root)


def _branches(node: Mapping[str, Any]) -> str:
    branches = [
        (r"\s+" if letter == " " else re.escape(letter)) + _branches(after) for letter, after in node.items() if letter
    ]
    if not branches:
        return ""
    return f"(?:{'|'.join(branches)})" + ("?" if "" in node else "")


def _outermost(found: Iterable[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """What lies in nothing longer, in the order of the text: "Mara" in "Mara Lane" names the lane alone."""
    kept: list[tuple[int, int, str]] = []
    for start, end, spelling in sorted(found, key=lambda place: (place[0], -place[1])):
        if not kept or end > kept[-1][1] or (start, end) == kept[-1][:2]:
            kept.append((start, end, spelling))
    return kept


def _heeded(
    found: Sequence[Fired], text: str, shunned: Mapping[str, Sequence[int]], live: Sequence[Entry]
) -> list[Fired]:
    """The mentions that no phrase of their entry's `avoid` takes away."""
    silent: set[int] = set()
    spans: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for start, end, phrase in sorted(_search(text, dict.fromkeys(shunned, False))):
        for place in shunned[phrase]:
            if any(form in phrase for key, _ in _keys(live[place]) for form in _forms(key.casefold())):
                spans[id(live[place])].append((start, end))
            else:
                silent.add(id(live[place]))
    return [
        mention
        for mention in found
        if id(mention.entry) not in silent and not _within(spans[id(mention.entry)], mention)
    ]


def _within(spans: Sequence[tuple[int, int]], mention: Fired) -> bool:
    """Whether one of the spans, which are in order, holds the mention."""
    place = bisect_right(spans, (mention.start, len(spans) and spans[-1][1])) - 1
    return place >= 0 and mention.end <= spans[place][1]
