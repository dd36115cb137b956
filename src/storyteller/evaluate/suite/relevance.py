"""Relevance: whether a story is about what was asked for, with whom, and as long."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storyteller.errors import DataError
from storyteller.evaluate.findings import Metric
from storyteller.evaluate.people import asked_kept, keyword_coverage
from storyteller.evaluate.statistics import Resampled
from storyteller.evaluate.suite.bench import Bench, Part
from storyteller.evaluate.suite.meanings import Meanings
from storyteller.evaluate.texts import Text

__all__ = ["measure_relevance"]

SIMILARITY = Metric(
    "similarity", "prompt similarity", "relevance", "human",
    "How near the story is to its prompt in meaning (cosine of their embeddings).",
    "A story that repeats its prompt is nearest; people's own value stands beside it.",
)  # fmt: skip
MATCHED = Metric(
    "matched", "prompt found again", "relevance", "higher",
    "How often the story is nearer to its own prompt than to another one; a coin finds it half of the time.",
    "Says that the subject was kept, not that it was used well.",
)  # fmt: skip
KEYWORDS = Metric(
    "keywords", "prompt's words kept", "relevance", "human",
    "The share of the prompt's content words that the story has.", "Synonyms do not count.",
)  # fmt: skip
PEOPLE = Metric(
    "characters_kept", "people kept", "relevance", "higher", "The share of the people asked for who occur.",
    "Occurring is not acting.",
)  # fmt: skip
TERMS = Metric(
    "keywords_kept", "keywords kept", "relevance", "higher", "The share of the keywords asked for that occur.",
    "Occurring is not mattering.",
)  # fmt: skip
LENGTH = Metric(
    "length", "length kept", "relevance", None, "Words written by words asked for.", "Says nothing of pace."
)


def measure_relevance(bench: Bench, meanings: Meanings) -> Part:
    """How near answers are to their prompts in meaning, and what of a request was kept."""
    part = Part()
    asked = {answer.prompt_id: answer.prompt for label in bench.labels for answer in bench.answers[label]}
    prompts = [prompt for prompt in sorted(asked) if asked[prompt].strip()]
    row = {prompt: place for place, prompt in enumerate(prompts)}
    if len(prompts) == len(asked):
        targets, *vectors = meanings.stories(
            [asked[prompt] for prompt in prompts], *(bench.texts(label) for label in bench.labels)
        )
        for label, stories in zip(bench.labels, vectors, strict=True):
            own = np.array([row[prompt] for prompt in bench.prompts(label)])
            near = stories @ targets.T
            part.put(SIMILARITY, label, bench.mean(label, near[np.arange(len(near)), own]))
            part.put(MATCHED, label, bench.mean(label, _found_again(near, own)))
    for label in bench.labels:
        answers = bench.answers[label]
        part.add(KEYWORDS, [label], lambda label, a=answers: bench.mean(label, list(map(_covered, a))))  # type: ignore[misc]
        for metric, field in ((PEOPLE, "characters"), (TERMS, "keywords"), (LENGTH, "length")):
            part.add(metric, [label], lambda label, a=answers, f=field: _kept(bench, label, a, f))  # type: ignore[misc]
    part.drop_empty()
    return part


def _found_again(near: NDArray[np.float32], own: NDArray[np.int64]) -> NDArray[np.float64]:
    """For each text the share of other prompts that it is farther from than from its own, ties half [texts]."""
    mine = near[np.arange(len(near)), own][:, None]
    farther = (near < mine).sum(1) + 0.5 * ((near == mine).sum(1) - 1)
    return np.asarray(farther / max(near.shape[1] - 1, 1), np.float64)


def _covered(text: Text) -> float:
    share = keyword_coverage(text.prompt, text.text, text.language) if text.prompt else None
    return float("nan") if share is None else share


def _kept(bench: Bench, label: str, answers: tuple[Text, ...], field: str) -> Resampled:
    kept = [getattr(asked_kept(text.text, text.request), field) if text.request else None for text in answers]
    if all(value is None for value in kept):
        raise DataError("nothing of the kind was asked for")
    return bench.mean(label, [float("nan") if value is None else value for value in kept])
