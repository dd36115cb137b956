"""An independent language model: how predictable stories are to a model that shares nothing with the writers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from storyteller.corpus.story import Story
from storyteller.errors import DataError
from storyteller.evaluate.findings import Metric
from storyteller.evaluate.kneser_ney import bits_per_byte, fit_texts, log_perplexity, reverse_costs, text_costs
from storyteller.evaluate.statistics import Resampled
from storyteller.evaluate.suite.bench import Bench, Part
from storyteller.models import DEFAULT_BASE, locate
from storyteller.models.entries import entry_named
from storyteller.tokens import StoryTokenizer

__all__ = ["measure_independent"]

PREDICTABLE = Metric(
    "independent_loss", "independent loss", "realism", "human",
    "How unexpected the words are to a model of five-word runs of people's stories, in nats a token.",
    "Dull texts have a low value and garbled ones a high one; only the distance from people's counts.",
)  # fmt: skip
REVERSE = Metric(
    "reverse_bits", "reverse bits per byte", "realism", "lower",
    "How well a model that has read only the system's stories predicts people's.",
    "Sees runs of three words; a larger vocabulary lowers it whatever it is used for.",
)  # fmt: skip

#: Characters of background that the model reads: with more it changes little and takes longer.
MOST = 3_000_000


def measure_independent(bench: Bench, background: Sequence[Story]) -> Part:
    """The loss of every system's texts under an n-gram model of the background, and of people's under one of the system's.

    Raises nothing: what is missing (background, tokenizer, enough text) stands as the reason in place of the figure.
    """
    part = Part()
    if not entry_named(DEFAULT_BASE).installed:
        part.notes.append(
            f"No independent model was used: its tokenizer comes with `storyteller models pull {DEFAULT_BASE}`."
        )
        return part
    tokenizer = StoryTokenizer.load(locate(DEFAULT_BASE).folder)
    people = _first([story.text for story in background], MOST)
    if people:
        model = fit_texts(people, tokenizer)
        for label in bench.labels:
            costs = text_costs(model, bench.texts(label), tokenizer)
            part.put(PREDICTABLE, label, log_perplexity(bench.bootstrap, costs, bench.clusters(label)))
    if bench.human is None:
        return part
    tokens = {label: sum(map(len, tokenizer.encode_batch(bench.texts(label)))) for label in bench.models}
    budget = min(tokens.values(), default=0)
    for label in bench.models:
        part.add(REVERSE, [label], lambda label: _reverse(bench, bench.texts(label), tokenizer, budget))
    # The ceiling: other texts of people, as much of them as there is of each system.
    part.add(REVERSE, [bench.human], lambda _: _reverse(bench, people, tokenizer, budget))
    return part


def _reverse(bench: Bench, read: Sequence[str], tokenizer: StoryTokenizer, budget: int) -> Resampled:
    if not read:
        raise DataError("there is no background to read")
    assert bench.human
    costs = reverse_costs(read, bench.human_texts, tokenizer, budget=budget)
    return bits_per_byte(bench.bootstrap, costs, bench.clusters(bench.human))


def _first(texts: Sequence[str], most: int) -> list[str]:
    """The first texts of up to `most` characters together, at least one."""
    kept = int(np.searchsorted(np.cumsum([len(text) for text in texts]), most)) + 1 if texts else 0
    return list(texts[:kept])
