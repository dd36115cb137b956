"""Scores for lines, plans and prose, of signals that can be looked up; and the reason for a score in words."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Mapping, Sequence

from storyteller.corpus.language import HAN, count_words, words_of
from storyteller.corpus.story import Language
from storyteller.tokens.names import mentions
from storyteller.tokens.vocabulary import terms, word_list

__all__ = ["content", "coverage", "distinctness", "mentioned", "total", "why"]

#: How much each signal counts; each lies about 0 to 1, a likelihood in nats a token about -4 to 0.
WEIGHTS: Mapping[str, float] = {
    "likelihood": 0.5,
    "distinct": 2.0,
    "relevance": 1.5,
    "people": 0.7,
    "length": 0.5,
    "sound": 2.0,
    "strangers": 0.7,
    "coherence": 0.3,
    "ending": 1.0,
    "reading": 0.5,
}
_WORDS = {
    "likelihood": ("likely", "通顺"),
    "distinct": ("does not repeat", "不重复"),
    "relevance": ("about what was asked", "切题"),
    "people": ("has the people", "人物都在"),
    "length": ("the right length", "长短合适"),
    "sound": ("a whole sentence", "句子完整"),
    "strangers": ("nobody new", "没有多余的人"),
    "coherence": ("holds together", "连贯"),
    "ending": ("ends", "有结尾"),
    "reading": ("easy enough", "易读"),
}
_AGAINST = {
    "likelihood": ("unlikely", "不通顺"),
    "distinct": ("repeats", "重复"),
    "relevance": ("strays", "跑题"),
    "people": ("people are missing", "缺人物"),
    "length": ("the wrong length", "长短不合"),
    "sound": ("no whole sentence", "句子不完整"),
    "strangers": ("somebody new", "多了人"),
    "coherence": ("falls apart", "不连贯"),
    "ending": ("does not end", "没有结尾"),
    "reading": ("hard to read", "难读"),
}
_GRAMS = re.compile(f"[{HAN}]+")


def content(text: str, language: Language) -> set[str]:
    """The words that a text is about: in English without inflection's last letters, in Chinese pairs of 字."""
    if language == "zh":
        runs = _GRAMS.findall(text)
        return {run[i : i + 2] for run in runs for i in range(len(run) - 1)} - word_list("common_zh")
    return {word[:6] for word in terms(text, "en")} | {word.lower()[:6] for word in words_of(text) if word[0].isupper()}


def coverage(wanted: str, text: str, language: Language) -> float:
    """The share of the content of `wanted` that `text` has; NaN where nothing is wanted."""
    asked = content(wanted, language)
    return len(asked & content(text, language)) / len(asked) if asked else math.nan


def distinctness(text: str, others: Sequence[str], language: Language) -> float:
    """One minus the largest share of its words that a text has in common with one of the others, by Dice's index."""
    own = _pairs(text, language)
    shared = (2 * len(own & pairs) / max(1, len(own) + len(pairs)) for pairs in (_pairs(o, language) for o in others))
    return 1 - max(shared, default=0.0)


def _pairs(text: str, language: Language) -> set[tuple[str, ...]]:
    words = [word.lower() for word in words_of(text)] if language == "en" else [c for c in text if not c.isspace()]
    return set(itertools.pairwise(words)) | {(word,) for word in words if len(word) > 3}


def mentioned(names: Collection[str], text: str) -> float:
    """The share of the names that a text mentions; NaN for no names."""
    return sum(bool(mentions(name, text)) for name in names) / len(names) if names else math.nan


def length_score(text: str, wanted: int, language: Language) -> float:
    """1 at the wanted length, and less by the logarithm of the ratio; 0 at half or twice."""
    ratio = max(1, count_words(text, language)) / max(1, wanted)
    return max(0.0, 1.0 - max(0.0, abs(math.log(ratio)) - 0.1) / math.log(2))


def total(scores: Mapping[str, float]) -> float:
    """The weighted sum; what is not known (NaN) does not count."""
    return round(sum(WEIGHTS[name] * value for name, value in scores.items() if not math.isnan(value)), 3)


def why(scores: Mapping[str, float], language: Language) -> str:
    """The best and the worst of the signals in words."""
    place = int(language == "zh")
    known = {name: value for name, value in scores.items() if not math.isnan(value) and name != "likelihood"}
    good = [_WORDS[name][place] for name, value in known.items() if value >= 0.75]
    bad = [_AGAINST[name][place] for name, value in known.items() if value < 0.4]
    joint = "、" if place else ", "
    parts = [joint.join(good[:3]), ("但" if place else "but ") + joint.join(bad[:2]) if bad else ""]
    return ("；" if place else "; ").join(part for part in parts if part)
