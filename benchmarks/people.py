"""What people's stories measure, as the studio's Quality panel counts: the baselines in `studio/people.json`.

    python benchmarks/people.py STORIES.jsonl ... [--texts TEXTS.jsonl --model default] > people.json

STORIES are prepared stories (`{"text", "language", ...}` a line) of people; TEXTS are those of `storyteller evaluate --suite
stories`: from half of the prompts the phrases are learned that a model over-uses beside people; the shares of words in them
are those of the other half.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from statistics import fmean
from typing import Any

from storyteller.corpus import LANGUAGES, Language
from storyteller.evaluate.degeneration import repeated_shares
from storyteller.evaluate.ngrams import words
from storyteller.evaluate.readability import ChineseLevel, reading_level
from storyteller.evaluate.slop import overused
from storyteller.studio.quality import covered, passages, variety


def counted(stories: list[str], language: Language) -> dict[str, Any]:
    """Means over stories, so that a long one weighs as much as a short one."""
    cut = [passages(story, language) for story in stories]
    repeats = [fmean(repeated_shares([words(one) for one in each], (4,))[0]) for each in cut if each]
    varied = [fmean(blocks) for story in stories if (blocks := variety(story))]
    levels = [level for story in stories if (level := reading_level(story, language))]
    reading = [one.characters_2500 if isinstance(one, ChineseLevel) else one.flesch_kincaid for one in levels]
    return {
        "stories": len(stories),
        "repetition": round(fmean(repeats), 4),
        "variety": round(fmean(varied), 3),
        "reading": round(fmean(reading), 3),
        "overused": {"people": None, "phrases": []},
    }


def learned(path: Path, model: str) -> dict[str, Any]:
    """The phrases that a model over-uses in one half of the prompts, and the shares of both sides' words in the other."""
    sides: dict[str, dict[bool, list[str]]] = {name: {False: [], True: []} for name in (model, "human")}
    for line in path.read_text("utf-8").splitlines():
        record = json.loads(line)
        if isinstance(record, dict) and record.get("system") in sides:
            half = hashlib.sha256(record["prompt_id"].encode()).digest()[0] % 2 == 0
            sides[record["system"]][half].append(record["text"])
    phrases = [one.phrase for one in overused(sides[model][True], sides["human"][True], "en")]
    known = frozenset(tuple(phrase.split(" ")) for phrase in phrases)
    shares = {name: fmean(covered(text, "en", known)[0] for text in side[False]) for name, side in sides.items()}
    return {"people": round(shares["human"], 4), model: round(shares[model], 4), "phrases": phrases}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("stories", nargs="+", type=Path)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--limit", type=int, default=400, help="stories of a language")
    asked = parser.parse_args()
    texts: dict[Language, list[str]] = {language: [] for language in LANGUAGES}
    for path in asked.stories:
        for line in path.read_text("utf-8").splitlines():
            record = json.loads(line)
            texts[record["language"]].append(record["text"])
    told = {language: counted(texts[language][: asked.limit], language) for language in LANGUAGES if texts[language]}
    if asked.texts:
        told["en"]["overused"] = learned(asked.texts, asked.model)
    print(json.dumps(told, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
