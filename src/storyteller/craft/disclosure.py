"""Who wrote a text: the share of each source, and a line that says so, in English and Chinese."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from storyteller.corpus.story import Language

__all__ = ["SOURCES", "Shares", "Source", "disclosure", "shares"]

Source = Literal["person", "model", "edited", "prompt", "import"]
SOURCES: tuple[Source, ...] = get_args(Source)

_SAID = {
    "en": {
        "person": "{} written by a person",
        "model": "{} by a language model{}",
        "edited": "{} a person's changes inside a model's text",
        "prompt": "{} from the request that the model was given",
        "import": "{} imported",
    },
    "zh": {
        "person": "{}由人写作",
        "model": "{}由语言模型{}写作",
        "edited": "{}是人在模型文字中的修改",
        "prompt": "{}来自写给模型的要求",
        "import": "{}为导入的文字",
    },
}


@dataclass(frozen=True, slots=True)
class Shares:
    """The share of each source and of each model, 0 to 1, and the number of characters that they are shares of."""

    characters: int
    sources: dict[Source, float]
    models: dict[str, float]


def shares(spans: Iterable[Sequence[Any]]) -> Shares:
    """The shares of provenance spans `(length, source, generation, model)`; an unknown source counts as imported."""
    lengths: Counter[Source] = Counter()
    models: Counter[str] = Counter()
    for length, source, *rest in spans:
        known: Source = source if source in SOURCES else "import"
        lengths[known] += max(0, int(length))
        if known == "model" and len(rest) > 1 and rest[1]:
            models[str(rest[1])] += max(0, int(length))
    total = lengths.total()
    whole = total or 1
    sources = {source: lengths[source] / whole for source in SOURCES}
    return Shares(total, sources, {model: length / whole for model, length in models.most_common()})


def disclosure(spans: Iterable[Sequence[Any]], language: Language) -> str:
    """One line for the end of a text: who wrote how much of it, in whole per cent, and with which models."""
    found = shares(spans)
    chinese = language == "zh"
    if not found.characters:
        return "尚无文字。" if chinese else "There is no text yet."
    names = ("、" if chinese else ", ").join(found.models)
    models = (f"（{names}）" if chinese else f" ({names})") if names else ""
    parts = [_SAID[language][source].format(percent, models) for source, percent in _percents(found.sources).items()]
    listed = ("，" if chinese else ", ").join(parts)
    if chinese:
        return f"作者说明：全文{found.characters}个字符中，{listed}。"
    return f"Who wrote this: of {found.characters:,} characters, {listed}."


def _percents(sources: dict[Source, float]) -> dict[Source, str]:
    """Whole per cents that add up to 100, for the sources that there are; what rounds to nothing is `<1%`."""
    present = {source: 100 * share for source, share in sources.items() if share > 0}
    whole = {source: int(percent) for source, percent in present.items()}
    by_rest = sorted(present, key=lambda source: whole[source] - present[source])
    for source in by_rest[: 100 - sum(whole.values())]:
        whole[source] += 1
    return {source: f"{percent}%" if percent else "<1%" for source, percent in whole.items()}
