"""Exchanging words for words of the same meaning, where no tagger is needed to know the meaning."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterator, Sequence
from importlib import resources

from storyteller.corpus.story import Language
from storyteller.tokens.augment.quotes import quoted

__all__ = ["exchange_synonyms", "synonyms"]

#: A word in small letters by itself: names, beginnings of sentences and parts of compounds stay.
_WORD = re.compile(r"(?<![\w’'-])[a-z]{3,}(?![\w’'-])")
_ARTICLE = re.compile(r"\b[Aa]n? $")
_VOWEL = re.compile(r"[ai]|e(?![uw])|o(?!ne\b|nce)|u(?!ni|s[aeu]|ti|bi)|hones|hono|hour|heir")


@functools.cache
def synonyms(language: Language) -> dict[str, tuple[str, ...]]:
    """Each word with what may stand in its place.

    English: WordNet's words of one clear meaning (see `words/synonyms_en.txt`), and groups of our own. Chinese: groups
    of our own.
    """
    table: dict[str, dict[str, None]] = {}
    for name in ("synonyms_own_en", "synonyms_en") if language == "en" else ("synonyms_zh",):
        text = resources.files("storyteller.tokens").joinpath(f"words/{name}.txt").read_text(encoding="utf-8")
        for line in text.splitlines():
            if line.startswith("#") or not (words := line.split()):
                continue
            # WordNet's lines begin with the word that is exchanged; in a group each may stand for each.
            for word in words[:1] if name == "synonyms_en" else words:
                table.setdefault(word, {}).update(dict.fromkeys(other for other in words if other != word))
    return {word: tuple(others) for word, others in table.items()}


def exchange_synonyms(
    text: str, language: Language, chance: random.Random, share: float, keep: Sequence[str] = ()
) -> tuple[str, int]:
    """`text` in which each word that has synonyms was exchanged for one with the chance `share`, and how many were.

    Quotations stay, and the words in `keep` (names) with all that overlaps them. An English word after `a` or `an` is
    only exchanged for one that takes the same article.
    """
    table, parts, done, count = synonyms(language), [], 0, 0
    held = [*quoted(text, language), *_occurrences(text, keep)] if language == "zh" else quoted(text, language)
    held.sort()
    following = iter(held)
    start, end = next(following, (len(text), len(text)))
    for word, at in _words(text, language):
        others = table.get(word)
        if others is None or chance.random() >= share:
            continue
        while end <= at:
            start, end = next(following, (len(text), len(text)))
        if at + len(word) > start:
            continue
        if language == "en" and _ARTICLE.search(text, max(0, at - 3), at):
            others = tuple(other for other in others if _takes_an(other) == _takes_an(word))
        if others:
            parts += [text[done:at], chance.choice(others)]
            done, count = at + len(word), count + 1
    return "".join([*parts, text[done:]]), count


def _words(text: str, language: Language) -> Iterator[tuple[str, int]]:
    if language == "en":
        for match in _WORD.finditer(text):
            yield match.group(), match.start()
        return
    import rjieba

    at = 0
    for word in rjieba.cut(text):
        yield word, at
        at += len(word)


def _takes_an(word: str) -> bool:
    return bool(_VOWEL.match(word))


def _occurrences(text: str, words: Sequence[str]) -> list[tuple[int, int]]:
    if not words:
        return []
    return [match.span() for match in re.finditer("|".join(map(re.escape, words)), text)]
