"""A project's figures: what was kept, who wrote what, and what the text itself measures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storyteller.corpus.language import count_words
from storyteller.corpus.story import Language

if TYPE_CHECKING:
    from storyteller.studio.store import Writer

__all__ = ["disclosure", "measure", "passages"]

#: The last letters of a manuscript that are measured: a novel would take seconds.
_MOST = 200_000
#: Words or 字 of a passage, as long as those that people's figures in docs/results.md come from.
_PASSAGE = 150
#: The share of repeated four-grams in such passages of published authors: .005 [.003, .006].
_PEOPLE_REPEAT = 0.005

_NAMES = {
    "en": {"person": "by hand", "model": "by a language model", "edited": "by a model and edited by hand",
           "prompt": "the opening words", "import": "imported"},
    "zh": {"person": "人写", "model": "语言模型写", "edited": "模型写、人改", "prompt": "开头给定", "import": "导入"},
}  # fmt: skip


def measure(kept: Writer, project: str) -> dict[str, Any]:
    """The figures of a project, as the API sends them."""
    about = kept.project(project)
    language: Language = about["language"]
    text = "\n".join(kept.scene(item["id"])["text"] for item in about["tree"] if item["kind"] == "scene")[-_MOST:]
    units = kept.shares(project)
    total = sum(units.values())
    shares = {source: count / total for source, count in units.items()} if total else {}
    return {
        "kept": kept.kept(project),
        "provenance": shares,
        "disclosure": disclosure(shares, language),
        "measures": _measures(text, language),
    }


def disclosure(shares: dict[str, float], language: Language) -> str:
    """A sentence that says who wrote a text, by its words; empty for a text without any."""
    names = _NAMES[language]
    told = [(share, names[source]) for source, share in shares.items() if source in names and round(100 * share)]
    parts = [f"{name} {share:.0%}" for share, name in sorted(told, reverse=True)]
    if not parts:
        return ""
    if language == "zh":
        return f"本文的构成（按字数）：{'，'.join(parts)}。"
    return f"Who wrote this text, by its length: {', '.join(parts)}."


def passages(text: str, language: Language) -> list[str]:
    """Stretches of whole paragraphs with 150 words or 字 or a little more; a short rest is left out."""
    found, paragraphs, words = [], [], 0
    for paragraph in filter(str.strip, text.split("\n")):
        paragraphs.append(paragraph)
        words += count_words(paragraph, language)
        if words >= _PASSAGE:
            found.append("\n\n".join(paragraphs))
            paragraphs, words = [], 0
    return found


def _measures(text: str, language: Language) -> list[dict[str, Any]]:
    from storyteller.evaluate.bootstrap import ratio_interval
    from storyteller.evaluate.degeneration import degeneration
    from storyteller.evaluate.readability import ChineseLevel, reading_level

    cut = passages(text, language)
    if not cut:
        return []
    places = [str(place) for place in range(len(cut))]
    repeats = ratio_interval([found.rep_4 for found in degeneration(cut, language)], [1.0] * len(cut), places)
    told = {
        "en": f"The share of four-word runs that come again within a passage, over {len(cut)} passages. The baseline: authors.",
        "zh": f"同一段落组内重复出现的四词串比例（共 {len(cut)} 组）。基线是已出版作者的作品（英文）。",
    }
    figures: list[dict[str, Any]] = [
        {"name": "repetition", "value": repeats.value, "low": repeats.low, "high": repeats.high,
         "baseline": _PEOPLE_REPEAT, "note": told}
    ]  # fmt: skip
    level = reading_level(text, language)
    if isinstance(level, ChineseLevel):
        note = {
            "en": "The share of characters among the 2,500 most frequent, about what primary school teaches.",
            "zh": "属于最常用 2500 字的比例，约为小学所学。",
        }
        figures.append({"name": "common characters", "value": level.characters_2500, "note": note})
    elif level is not None:
        note = {"en": "Years of American school (Flesch-Kincaid).", "zh": "美国学校年级（Flesch-Kincaid）。"}
        figures.append({"name": "reading grade", "value": round(level.flesch_kincaid, 1), "note": note})
    return figures
