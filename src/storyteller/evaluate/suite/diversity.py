"""Diversity: how many different things a system says, over equally much text of each system."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from storyteller.errors import DataError
from storyteller.evaluate.diversity import Diversity, diversity, vendi, vendi_within
from storyteller.evaluate.findings import Metric
from storyteller.evaluate.ngrams import words
from storyteller.evaluate.statistics import Resampled
from storyteller.evaluate.suite.bench import Bench, Part
from storyteller.evaluate.suite.meanings import Meanings
from storyteller.evaluate.suite.spread import drawn, half_samples, spread

__all__ = ["COUNTED", "measure_diversity"]

_COUNTED = "Counts words, not ideas: two tellings of one plot in other words count as different."
_SEEDS = "Needs several seeds; people wrote one text a prompt."


def _metric(key: str, name: str, meaning: str, blind_spot: str = _COUNTED) -> Metric:
    return Metric(key, name, "diversity", "human", meaning, blind_spot)


COUNTED = (
    _metric("distinct_1", "distinct-1", "The share of words that are different words."),
    _metric("distinct_2", "distinct-2", "The share of word pairs that are different."),
    _metric("distinct_3", "distinct-3", "The share of word triples that are different."),
    _metric("ead", "EAD", "Different words, corrected for the amount of text."),
    _metric("bigram_entropy", "bigram entropy", "How hard the next word pair is to guess from all others, in bits."),
    _metric("self_bleu", "self-BLEU-4", "How much a story shares with the system's other stories."),
    _metric("self_bleu_within", "self-BLEU-4 within a prompt", "How much the answers to one prompt share.", _SEEDS),
)
_MEANING = "Sees what the embedder sees: topics more than turns of plot."
VENDI = _metric("vendi", "Vendi score", "As how many entirely different stories these are as varied.", _MEANING)
VENDI_WITHIN = _metric(
    "vendi_within", "Vendi score within a prompt", "How many different answers a prompt gets.", _SEEDS
)


def measure_diversity(bench: Bench, meanings: Meanings) -> Part:
    """Counted diversity for every system, and the Vendi scores of its stories' embeddings."""
    part = Part()
    tokens = {label: _tokens(bench, label) for label in bench.labels}
    halves = {label: half_samples(bench.bootstrap, bench.clusters(label)) for label in bench.labels}
    budget = min(map(sum, tokens.values()))
    # Every half sample of every system is counted over equally much text, too.
    half_budget = min(sum(tokens[label][i] for i in half) for label in bench.labels for half in halves[label])
    for label in bench.labels:
        counted: dict[str, Resampled | str] = _counted(bench, label, halves[label], budget, half_budget)
        for metric in COUNTED:
            part.put(metric, label, counted[metric.key])
    vectors_of = meanings.stories(*(bench.texts(label) for label in bench.labels))
    for label, vectors in zip(bench.labels, vectors_of, strict=True):
        first = bench.first_answers(label)
        part.add(VENDI, [label], lambda label, v=vectors[first], f=first: _vendi(bench, label, v, f))  # type: ignore[misc]
        part.add(VENDI_WITHIN, [label], lambda label, v=vectors: _vendi_within(bench, label, v))  # type: ignore[misc]
    part.notes.append(
        f"Counted diversity is taken over {budget:,} words and marks of each system, of one answer a prompt; its intervals "
        "come from half samples."
    )
    return part


def _tokens(bench: Bench, label: str) -> list[int]:
    """The words and marks of each text; 0 for further answers to a prompt, which say nothing of other prompts."""
    first = set(bench.first_answers(label).tolist())
    return [len(words(text)) if place in first else 0 for place, text in enumerate(bench.texts(label))]


def _counted(
    bench: Bench, label: str, halves: list[NDArray[np.int64]], budget: int, half_budget: int
) -> dict[str, Resampled | str]:
    texts, prompts = bench.texts(label), bench.prompts(label)

    def count(chosen: NDArray[np.int64], budget: int) -> Diversity:
        return diversity([texts[i] for i in chosen], [prompts[i] for i in chosen], bench.language, budget)

    try:
        everything = count(np.arange(len(texts)), budget)
        parts = [count(half, half_budget) for half in halves]
    except DataError as why:
        return {metric.key: str(why) for metric in COUNTED}
    found: dict[str, Resampled | str] = {}
    for metric in COUNTED:
        value = getattr(everything, metric.key)
        found[metric.key] = (
            "one text a prompt: collect several seeds"
            if value is None
            else drawn(bench.bootstrap, bench.clusters(label), value, [getattr(half, metric.key) for half in parts])
        )
    return found


def _vendi(bench: Bench, label: str, vectors: NDArray[np.float32], first: NDArray[np.int64]) -> Resampled:
    clusters = [bench.clusters(label)[i] for i in first]
    return spread(bench.bootstrap, clusters, vendi(vectors), lambda half: vendi(vectors[half]))


def _vendi_within(bench: Bench, label: str, vectors: NDArray[np.float32]) -> Resampled:
    prompts = bench.prompts(label)
    if len(set(prompts)) == len(prompts):
        raise DataError("one text a prompt: collect several seeds")
    scores = dict(zip(dict.fromkeys(prompts), vendi_within(vectors, prompts), strict=True))
    return bench.mean(label, [scores[prompt] for prompt in prompts])
