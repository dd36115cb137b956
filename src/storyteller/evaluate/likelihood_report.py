"""The likelihood tests of several models on the same stories and choices, with differences from the first."""

from __future__ import annotations

import json
import lzma
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from storyteller.corpus.language import identify_language
from storyteller.corpus.story import Language, Story
from storyteller.errors import DataError
from storyteller.evaluate.bootstrap import ratio_interval
from storyteller.evaluate.likelihood import (
    Choice,
    ChoiceScores,
    OrderScores,
    choice_scores,
    next_sentence_choices,
    order_scores,
)
from storyteller.evaluate.log_probabilities import LogProbabilities
from storyteller.evaluate.loss_report import choose_stories
from storyteller.runs.console import say

__all__ = ["evaluate_likelihood", "read_choices", "render_likelihood", "stories_of_one_language"]

_CLOZE = ("InputSentence1", "InputSentence2", "InputSentence3", "InputSentence4")
_QUIZ = ("RandomFifthSentenceQuiz1", "RandomFifthSentenceQuiz2")


def evaluate_likelihood(
    names: Sequence[str],
    texts: Sequence[str] = (),
    *,
    works: Sequence[str] | None = None,
    choices: Path | None = None,
    language: Language = "en",
    limit: int | None = None,
    seed: int = 0,
    precision: Any = "auto",
) -> dict[str, Any]:
    """Measure each model by the likelihood tests; the first one named is the baseline of the others.

    `texts` (human stories, `works` naming what is drawn as one) are read by the order test and the next-sentence tests,
    `choices` is a file for `read_choices`; at least one of them is given, and `limit` takes the first of each. A test
    with too few texts for a model stands under `not_computed` with the reason; there are no differences where that model
    is the baseline. Figures are intervals as JSON objects.
    """
    if not texts and choices is None:
        raise DataError("there is nothing to read: give stories, or a file of choices.")
    texts, works = texts[:limit], None if works is None else works[:limit]
    tests: dict[str, Callable[[LogProbabilities], OrderScores | ChoiceScores]] = {}
    if texts:
        near = next_sentence_choices(texts, language, works=works, seed=seed)
        far = next_sentence_choices(texts, language, works=works, elsewhere=True, seed=seed)
        tests["order"] = lambda reader: order_scores(reader, texts, language, works=works, seed=seed)
        tests["next sentence, others from the same story"] = lambda reader: choice_scores(reader, near)
        tests["next sentence, others from other stories"] = lambda reader: choice_scores(reader, far)
    if choices is not None:
        read = read_choices(choices)[:limit]
        tests[f"choices of {choices.name}"] = lambda reader: choice_scores(reader, read)
    results: dict[str, dict[str, OrderScores | ChoiceScores]] = {test: {} for test in tests}
    refused: dict[str, str] = {}
    for name in names:
        reader = LogProbabilities.load(name, precision)
        for test, measure in tests.items():
            say(f"{name}: {test}")
            try:
                results[test][name] = measure(reader)
            except DataError as error:
                refused.setdefault(test, f"{name}: {error}")
    return {
        "models": list(names),
        "tests": {test: _figures(found, names[0]) for test, found in results.items() if found},
        "not_computed": refused,
    }


def stories_of_one_language(data: Path, split: str, limit: int | None, language: str | None) -> list[Story]:
    """Stories as `choose_stories` gives them, all in one language, in which the tests then ask.

    Without a `language` it is that of the corpus; of a mixed one English, and what is left out is said.
    """
    found = Counter(story.language for story in choose_stories(data, split, None, language))
    chosen = "en" if "en" in found else next(iter(found))
    for other in found.keys() - {chosen}:
        say(f"only stories in {chosen} are read; the {found[other]} in {other} are read with --lang {other}")
    return choose_stories(data, split, limit, chosen)


def read_choices(path: Path) -> list[Choice]:
    """The choices of a JSONL file, also of one packed by xz.

    A line is `{"context", "endings": [...], "answer": index from 0}`, with `language`, which is otherwise seen, and `work`
    if it is known, or a record of the Story Cloze Test (Mostafazadeh et al. 2016), whose answer counts from 1. Raises
    `DataError` that names the line.
    """
    found = []
    for number, line in _lines(path):
        try:
            found.append(_choice(line, number))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise DataError(
                f"{path}, line {number}: not a choice ({error}). A line is "
                '{"context": ..., "endings": [..., ...], "answer": 0} or a record of the Story Cloze Test.'
            ) from error
    return found


def render_likelihood(report: dict[str, Any]) -> str:
    """The report as Markdown: a table a test, a row a model, and what was not computed."""
    parts = ["# What the models' own likelihood knows\n"]
    for test, figures in report["tests"].items():
        ways = list(next(iter(figures["models"].values())))
        parts.append(f"\n## {test[0].upper()}{test[1:]}\n")
        parts.append(f"{figures['n']} items; a blind guess is right in {figures['chance']:.2f} of them.\n")
        parts.append(f"| model | {' | '.join(ways)} |\n|---|{'---:|' * len(ways)}")
        for name, row in figures["models"].items():
            parts.append(f"| {name} | {' | '.join(_shown(row[way]) for way in ways)} |")
        for name, row in figures["differences"].items():
            parts.append(f"| {name} minus {report['models'][0]} | {' | '.join(_shown(row[way]) for way in ways)} |")
    parts += [f"\n{test}: not computed: {why}" for test, why in report["not_computed"].items()]
    return "\n".join(parts) + "\n"


def _figures(found: dict[str, OrderScores | ChoiceScores], baseline: str) -> dict[str, Any]:
    first = found.get(baseline) or next(iter(found.values()))
    return {
        "n": len(_items(first, next(iter(_ways(first))))),
        "chance": first.chance if isinstance(first, ChoiceScores) else 0.5,
        "models": {
            name: {way: vars(ratio_interval(_items(scores, way), [1.0] * len(_works(scores)), _works(scores)))
                   for way in _ways(scores)}
            for name, scores in found.items()
        },
        "differences": {
            name: {
                way: vars(ratio_interval(
                    [b - a for a, b in zip(_items(first, way), _items(scores, way), strict=True)],
                    [1.0] * len(_works(first)), _works(first)))
                for way in _ways(first)
            }
            for name, scores in found.items()
            if baseline in found and name != baseline and _works(scores) == _works(first)
        },
    }  # fmt: skip


def _ways(scores: OrderScores | ChoiceScores) -> tuple[str, ...]:
    return ("total", "mean", "pmi") if isinstance(scores, ChoiceScores) else ("accuracy", "nats a token")


def _items(scores: OrderScores | ChoiceScores, way: str) -> list[float]:
    """One value an item, whose mean is the figure."""
    if isinstance(scores, ChoiceScores):
        return scores.right(way)
    pairs = zip(scores.original, scores.shuffled, strict=True)
    return [float(a < b) for a, b in pairs] if way == "accuracy" else [b - a for a, b in pairs]


def _works(scores: OrderScores | ChoiceScores) -> list[str]:
    return [choice.work for choice in scores.choices] if isinstance(scores, ChoiceScores) else list(scores.works)


def _choice(line: str, number: int) -> Choice:
    record = json.loads(line)
    if _CLOZE[0] in record:
        context = " ".join(record[key].strip() for key in _CLOZE)
        options, answer = tuple(record[key] for key in _QUIZ), int(record["AnswerRightEnding"]) - 1
        work = record.get("InputStoryid") or str(number)
    else:
        context, options, answer = record["context"], tuple(record["endings"]), int(record["answer"])
        work = str(record.get("work") or number)
    if not 0 <= answer < len(options) or len(options) < 2:
        raise ValueError(f"answer {answer} of {len(options)} endings")
    if not all(isinstance(option, str) and option.strip() for option in (context, *options)):
        raise ValueError("an empty context or ending")
    language = record.get("language") or identify_language(f"{context} {' '.join(options)}") or "en"
    if language not in ("en", "zh"):
        raise ValueError(f"the language {language!r} is neither en nor zh")
    return Choice(context, options, answer, work, language)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
    except (OSError, UnicodeDecodeError, lzma.LZMAError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}). Give a JSONL file in UTF-8, plain or packed by xz."
        ) from error


def _shown(interval: dict[str, Any]) -> str:
    if interval["low"] is None:
        return f"{interval['value']:.3f}"
    return f"{interval['value']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"
