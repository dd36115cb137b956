"""An independent language model: how predictable stories are to a model that shares nothing with the writers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from storyteller.corpus.story import Story
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
    else:
        part.notes.append("There is no independent loss: there is no corpus with other works in this language.")
    if bench.human is None:
        return part
    systems = [bench.human, *bench.models]
    budget = min(
        sum(map(len, tokenizer.encode_batch([bench.texts(label)[i] for i in half])))
        for label in systems
        for half in _halves(bench, label)
    )
    for label in systems:
        part.add(REVERSE, [label], lambda label: _reverse(bench, label, tokenizer, budget))
    return part


def _halves(bench: Bench, label: str) -> tuple[list[int], list[int]]:
    """The places of a system's texts on two halves of the works, the same halves for every system."""
    names = np.array(sorted(bench.bootstrap.names))
    first = set(np.random.default_rng(1).permutation(names)[: len(names) // 2].tolist())
    works = bench.clusters(label)
    left = [place for place, work in enumerate(works) if work in first]
    return left, [place for place, work in enumerate(works) if work not in first]


def _reverse(bench: Bench, label: str, tokenizer: StoryTokenizer, budget: int) -> Resampled:
    """Bits a byte of people's texts on half of the works under a model of the system's texts on the other half.

    The works are other ones, since an answer to a prompt has the names and things of the very story it is tested on.
    """
    assert bench.human
    costs, works = [], []
    for read, asked in zip(_halves(bench, label), reversed(_halves(bench, bench.human)), strict=True):
        texts = [bench.texts(label)[place] for place in read]
        people = [bench.human_texts[place] for place in asked]
        costs += reverse_costs(texts, people, tokenizer, budget=budget)
        works += [bench.clusters(bench.human)[place] for place in asked]
    return bits_per_byte(bench.bootstrap, costs, works)


def _first(texts: Sequence[str], most: int) -> list[str]:
    """The first texts of up to `most` characters together, at least one."""
    kept = int(np.searchsorted(np.cumsum([len(text) for text in texts]), most)) + 1 if texts else 0
    return list(texts[:kept])
