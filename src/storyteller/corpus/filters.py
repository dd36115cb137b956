"""Filters: each says why a cleaned text is no story for this corpus, or nothing."""

from __future__ import annotations

import re
from collections import Counter

from storyteller.corpus.language import sample, words_of
from storyteller.corpus.settings import PrepareSettings
from storyteller.corpus.story import Form, Story

__all__ = ["layout_refusal", "refusal"]

_LICENCE_WORDS = (
    "licen",
    "copyright",
    "warrant",
    "trademark",
    "reserved",
    "permission",
    "gutenberg",
    "版权",
    "许可",
    "著作",
)
_LICENCE = re.compile(
    r"project gutenberg|\blicen[cs]e\b|\bcopyright|warrant(?:y|ies)|redistribut|trademark|all rights reserved"
    r"|permission is (?:hereby )?granted|版权所有|许可协议|著作权",
    re.I,
)
_LONG_LINE = 20_000
_YOUNG_EN = re.compile(
    r"\b(?:fuck\w*|shit\w*|cunts?|whores?|harlots?|prostitut\w+|brothels?|rap(?:ed?|ing|ist)|naked|nude|orgasm\w*|penis"
    r"|vagina\w*|erotic\w*|incest\w*|sodom\w+|nigg(?:er|a)\w*|darkies|darky|chinks?|chinam[ae]n|japs?|kikes?|injuns?"
    r"|half-?breeds?|savages|suicid\w+|disembowel\w*|bitch\w*|bastards?|lynch(?:ed|ing))\b",
    re.I,
)
_YOUNG_ZH = re.compile(
    "奸淫|强奸|通奸|淫妇|淫乱|云雨|交欢|行房|娼妓|妓女|嫖|窑子|春药|裸体|阳物|阴户|乳房|肏|鸡巴|婊子|龟公|自缢|上吊|剖腹|凌迟|碎尸|鞑子|倭奴"
)


def refusal(story: Story, settings: PrepareSettings) -> str | None:
    """The reason for which `story` is left out, the same words for the same reason so that they can be counted."""
    if story.words < settings.min_words:
        return "too short"
    if settings.max_words is not None and story.words > settings.max_words:
        return "too long"
    if story.language not in settings.languages:
        return "language not asked for"
    if story.form not in settings.forms:
        return "form not asked for"
    return _licence(story, settings) or layout_refusal(story.text, story.form) or _unsuitable(story, settings)


def layout_refusal(text: str, form: Form) -> str | None:
    """The reason for which `text` does not even look like a story, or nothing."""
    seen = sample(text, 1500)
    solid = len(seen) - seen.count(" ") - seen.count("\n")
    if sum(map(str.isalpha, seen)) < 0.6 * solid:
        return "mostly not letters"
    lines = [line for line in text.split("\n") if line]
    if sum(len(line) for line in lines if len(line) > _LONG_LINE) > 0.5 * len(text):
        return "no paragraphs"
    if sum(line.count("|") > 1 for line in lines) > 0.3 * len(lines):
        return "table"
    if len(lines) >= 8 and sum(len(line) < 100 and line[-1].isdigit() for line in lines) > 0.4 * len(lines):
        return "index or table of contents"
    if len(lines) >= 10 and form not in ("screenplay", "play", "dialogue"):
        repeated = sum(len(line) * (count - 1) for line, count in Counter(lines).items() if count > 1)
        if repeated > 0.4 * len(text):
            return "repeated lines"
    return None


def _licence(story: Story, settings: PrepareSettings) -> str | None:
    stated = story.licence or ""
    if settings.licences and not re.search(settings.licences, stated, re.I):
        return "licence not allowed" if stated else "no licence stated"
    if settings.exclude_licences and re.search(settings.exclude_licences, stated, re.I):
        return "licence excluded"
    return None


def _unsuitable(story: Story, settings: PrepareSettings) -> str | None:
    seen = sample(story.text)
    lower = seen.lower()
    found = _LICENCE.findall(lower) if any(word in lower for word in _LICENCE_WORDS) else []
    if len(found) >= 4 and len(found) * 60 > len(words_of(seen)):
        return "licence text"
    if settings.young_readers and (_YOUNG_EN if story.language == "en" else _YOUNG_ZH).search(story.text):
        return "not for young readers"
    return None
