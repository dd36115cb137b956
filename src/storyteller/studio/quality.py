"""A project's figures: what was kept, who wrote what, and what the text itself measures, beside what people write.

There is no grade. Each figure is counted, has an interval where it is a mean, and stands beside the same figure of published
authors, counted in the same way by `benchmarks/people.py`; where there is too little text it says so.
"""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import resources
from typing import TYPE_CHECKING, Any

from storyteller.corpus.language import count_words, ends_sentence
from storyteller.corpus.story import Language

if TYPE_CHECKING:
    from storyteller.studio.store import Writer

__all__ = ["TOO_LITTLE", "Quality", "covered", "measures", "passages", "variety"]

#: The last letters of a manuscript that are measured: a novel would take seconds.
_MOST = 200_000
#: Words or 字 of a passage, as long as those that people's figures come from.
_PASSAGE = 150
#: Words and marks that different pairs are counted in: the more text, the fewer are new.
_BLOCK = 1_000
#: Seconds that a first answer waits for its figures before it says that they are being counted.
_PATIENCE = 2.0
_SHOWN = 6

TOO_LITTLE = "too little text"


class Quality:
    """The figures of projects, counted in a thread of their own and kept until the project changes."""

    def __init__(self) -> None:
        self._counting = ThreadPoolExecutor(max_workers=1, thread_name_prefix="quality")
        self._known: dict[tuple[str, str], tuple[str, Future[dict[str, Any]]]] = {}
        self._last: dict[tuple[str, str], dict[str, Any]] = {}
        self._lock = threading.Lock()

    def of(self, writer: Writer, project: str, patience: float = _PATIENCE) -> dict[str, Any]:
        """The figures as the API sends them, `state` being "ready".

        While they are counted for longer than `patience` seconds it is "measuring", and the figures are those of before
        the last change, or none. Raises `NotFoundError`.
        """
        stamp, key = str(writer.project(project)["updated"]), (writer.owner, project)
        with self._lock:
            known = self._known.get(key)
            if known is None or known[0] != stamp:
                if known is not None:
                    known[1].cancel()
                known = self._known[key] = stamp, self._counting.submit(_count, writer, project)
        try:
            figures = known[1].result(timeout=patience)
        except TimeoutError:
            return {**self._last.get(key, _NOTHING), "state": "measuring"}
        except BaseException:
            with self._lock:
                self._known.pop(key, None)  # what failed once is tried again
            raise
        self._last[key] = figures
        return {**figures, "state": "ready"}

    def close(self) -> None:
        """Count nothing more."""
        self._counting.shutdown(wait=False, cancel_futures=True)


_NOTHING: dict[str, Any] = {"kept": [], "provenance": {}, "disclosure": "", "measures": []}


def _count(writer: Writer, project: str) -> dict[str, Any]:
    from storyteller.craft.disclosure import disclosure, shares

    about = writer.project(project)
    language: Language = "zh" if about["language"] == "zh" else "en"
    scenes = [writer.scene(item["id"]) for item in about["tree"] if item["kind"] == "scene"]
    spans = [span for scene in scenes for span in scene["provenance"]]
    return {
        "kept": writer.kept(project),
        "provenance": shares(spans).sources if spans else {},
        "disclosure": disclosure(spans, language) if spans else "",
        "measures": measures([scene["text"] for scene in scenes], language, about["age"]),
    }


def measures(scenes: Sequence[str], language: Language, age: int | None = None) -> list[dict[str, Any]]:
    """What is counted in the scenes of a text, for a reader of `age`: each figure with what people's texts have."""
    texts = [scene for scene in scenes if scene.strip()]
    text = "\n".join(texts)[-_MOST:]
    cut = passages(text, language)
    return [
        _repetition(cut, language),
        _variety(text, language),
        *_phrases(cut, language),
        *_level(text, language, age),
        _endings(texts),
    ]


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


def variety(text: str) -> list[float]:
    """Distinct-2 (Li et al. 2016) of each 1,000 words and marks of a text; a rest is left out."""
    from storyteller.evaluate.diversity import distinct
    from storyteller.evaluate.ngrams import words

    tokens = words(text)
    return [distinct([tokens[at : at + _BLOCK]], 2) for at in range(0, len(tokens) - _BLOCK + 1, _BLOCK)]


def covered(text: str, language: Language, phrases: Collection[tuple[str, ...]]) -> tuple[float, list[str]]:
    """The share of a text's words that stand in some phrases, and which of them it has, the most frequent first."""
    from storyteller.evaluate.slop import phrase_words

    words = phrase_words(text, language)
    inside = [False] * len(words)
    found: dict[str, int] = {}
    for at in range(len(words)):
        for length in (1, 2, 3):
            if tuple(words[at : at + length]) in phrases:
                inside[at : at + length] = [True] * length
                phrase = " ".join(words[at : at + length])
                found[phrase] = found.get(phrase, 0) + 1
    share = sum(inside) / max(1, sum(map(bool, words)))
    return share, sorted(found, key=lambda phrase: -found[phrase])


@functools.cache
def people(language: Language) -> dict[str, Any]:
    """What the texts of published authors have, and how it was counted; see `benchmarks/people.py`."""
    file = resources.files("storyteller.studio").joinpath("people.json")
    return dict(json.loads(file.read_text(encoding="utf-8"))[language])


def _mean(name: str, values: Sequence[float], baseline: float | None, note: dict[str, str]) -> dict[str, Any]:
    """A mean over pieces of text with its interval; or that there is too little of it."""
    from storyteller.evaluate.bootstrap import ratio_interval

    if not values:
        return {"name": name, "value": TOO_LITTLE, "baseline": baseline, "note": note}
    told = ratio_interval(list(values), [1.0] * len(values), [str(place) for place in range(len(values))])
    return {"name": name, "value": told.value, "low": told.low, "high": told.high, "baseline": baseline, "note": note}


def _repetition(cut: Sequence[str], language: Language) -> dict[str, Any]:
    from storyteller.evaluate.degeneration import repeated_shares
    from storyteller.evaluate.ngrams import words

    shares = repeated_shares([words(one) for one in cut], (4,))[0].tolist() if cut else []
    note = {
        "en": f"How many runs of four words come again within a passage of {_PASSAGE} words ({len(cut)} passages).",
        "zh": f"在约 {_PASSAGE} 字的一段里，连续四字重复出现的比例（共 {len(cut)} 段）。",
    }
    return _mean("repetition", shares, people(language)["repetition"], note)


def _variety(text: str, language: Language) -> dict[str, Any]:
    values = variety(text)
    note = {
        "en": f"How many pairs of neighbouring words are different ones, in each {_BLOCK:,} words ({len(values)} times).",
        "zh": f"每 {_BLOCK} 个字词中，相邻两个组成的不同组合所占比例（共 {len(values)} 次）。",
    }
    return _mean("variety", values, people(language)["variety"], note)


def _phrases(cut: Sequence[str], language: Language) -> list[dict[str, Any]]:
    known = people(language)["overused"]
    if not known["phrases"]:
        return []  # nothing was learned in this language; a figure would be made up
    phrases = frozenset(tuple(phrase.split(" ")) for phrase in known["phrases"])
    found = [covered(one, language, phrases) for one in cut]
    seen = list(dict.fromkeys(phrase for _, told in found for phrase in told))[:_SHOWN]
    listed = ", ".join(f"“{phrase}”" for phrase in seen)
    note = {
        "en": "Words in phrases that our models use at least twice as often as people do."
        + (f" Here: {listed}." if seen else ""),
        "zh": "属于“我们的模型比人多用一倍以上的短语”的词所占比例。" + (f"本文有：{listed}。" if seen else ""),
    }
    return [_mean("model phrases", [share for share, _ in found], known["people"], note)]


def _level(text: str, language: Language, age: int | None) -> list[dict[str, Any]]:
    from storyteller.evaluate.readability import ChineseLevel, EnglishLevel, reading_level

    level = reading_level(text, language) if count_words(text, language) >= _PASSAGE else None
    if language == "zh":
        note = {
            "en": "The share of characters among the 2,500 most frequent, about what primary school teaches.",
            "zh": "属于最常用 2500 字的比例，约为小学所学。",
        }
        value = level.characters_2500 if isinstance(level, ChineseLevel) else TOO_LITTLE
        return [{"name": "common characters", "value": value, "baseline": people("zh")["reading"], "note": note}]
    note = {
        "en": "Years of American school that it asks of a reader (Flesch-Kincaid); formulas see sentences and syllables only.",
        "zh": "阅读所需的美国学校年级（Flesch-Kincaid）；公式只看句长和音节。",
    }
    baseline = people("en")["reading"]
    if age is not None:
        baseline = float(max(0, age - 6))  # the first year of school begins at six
        note["en"] += f" The baseline is what a reader of {age} has."
        note["zh"] += f"基线为 {age} 岁读者的年级。"
    value = round(level.flesch_kincaid, 1) if isinstance(level, EnglishLevel) else TOO_LITTLE
    return [{"name": "reading grade", "value": value, "baseline": baseline, "note": note}]


def _endings(texts: Sequence[str]) -> dict[str, Any]:
    note = {
        "en": "Scenes that stop in the middle of a sentence.",
        "zh": "在句子中间停下的场景。",
    }
    if not texts:
        return {"name": "unfinished ends", "value": TOO_LITTLE, "note": note}
    return {
        "name": "unfinished ends",
        "value": f"{sum(not ends_sentence(text) for text in texts)} / {len(texts)}",
        "note": note,
    }
