"""Reading level: how hard a story is to read, by formulas in English and by frequency bands in Chinese."""

from __future__ import annotations

from storyteller.corpus.story import Language
from storyteller.evaluate.findings import Metric
from storyteller.evaluate.readability import reading_level
from storyteller.evaluate.suite.bench import Bench, Part

__all__ = ["measure_reading"]


def _metric(key: str, name: str, meaning: str) -> Metric:
    return Metric(
        key, name, "reading", None, meaning, "Counts surface features: a short sentence may be hard to follow."
    )


LEVELS: dict[Language, tuple[Metric, ...]] = {
    "en": (
        _metric("words_per_sentence", "words a sentence", "How long sentences are."),
        _metric("flesch_ease", "Flesch reading ease", "0 to 100; higher is easier to read."),
        _metric("flesch_kincaid", "Flesch-Kincaid grade", "Years of school that the text takes."),
        _metric("coleman_liau", "Coleman-Liau grade", "The same by letters instead of syllables."),
        _metric("rare_words", "rare words", "The share of words beyond the 3,000 most frequent ones."),
    ),
    "zh": (
        _metric("characters_per_sentence", "字 a sentence", "How long sentences are."),
        _metric("words_1000", "words of the first 1,000", "The share of words among the 1,000 most frequent ones."),
        _metric("words_3000", "words of the first 3,000", "The share of words among the 3,000 most frequent ones."),
        _metric("characters_1000", "字 of the first 1,000", "The share of characters among the 1,000 most frequent ones."),
        _metric("characters_2500", "字 of the first 2,500", "Characters among those that primary school teaches."),
    ),
}  # fmt: skip


def measure_reading(bench: Bench) -> Part:
    """The reading level of every system: no way of it is better, but an asked age or people's own level is to be met."""
    part = Part()
    for label in bench.labels:
        levels = [reading_level(text, bench.language) for text in bench.texts(label)]
        for metric in LEVELS[bench.language]:
            values = [float("nan") if level is None else getattr(level, metric.key) for level in levels]
            part.add(metric, [label], lambda label, v=values: bench.mean(label, v))  # type: ignore[misc]
    return part
