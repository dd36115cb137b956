"""What a model's own likelihood knows about stories: the order of sentences, the next sentence, the right ending.

A language model that has learned stories finds the true continuation likelier than a false one. Each test here asks that
in one way, and each figure has an interval over stories. `total` compares the summed log-likelihoods of the options,
`mean` those a token (long options are not punished), and `pmi` what the context adds to each, log p(option | context)
- log p(option), which a common phrase gains nothing by (Holtzman et al. 2021, arXiv 2104.08315).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from storyteller.corpus.corruption import corrupt
from storyteller.corpus.language import split_sentences
from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.evaluate.bootstrap import Interval, ratio_interval
from storyteller.evaluate.log_probabilities import LogProbabilities

__all__ = [
    "Choice",
    "ChoiceScores",
    "OrderScores",
    "choice_scores",
    "next_sentence_choices",
    "order_scores",
]

#: Ids of a story that the tests read: about 350 words.
MOST_IDS = 480


@dataclass(frozen=True, slots=True)
class Choice:
    """A context and several continuations, of which `options[answer]` is the true one; `work` is the bootstrap's unit."""

    context: str
    options: tuple[str, ...]
    answer: int
    work: str
    language: Language = "en"


@dataclass(frozen=True)
class ChoiceScores:
    """The options that a model finds likeliest, choice by choice (the index of each), by three ways of comparing."""

    choices: tuple[Choice, ...]
    total: tuple[int, ...]
    mean: tuple[int, ...]
    pmi: tuple[int, ...]

    def accuracy(self) -> dict[str, Interval]:
        """The share of right choices by `total`, `mean` and `pmi`, each with its interval."""
        works = [choice.work for choice in self.choices]
        return {way: ratio_interval(self.right(way), [1.0] * len(works), works) for way in ("total", "mean", "pmi")}

    def right(self, way: str) -> list[float]:
        """1 for each right choice and 0 for each wrong one, by `total`, `mean` or `pmi`."""
        chosen: tuple[int, ...] = getattr(self, way)
        return [float(index == choice.answer) for index, choice in zip(chosen, self.choices, strict=True)]

    @property
    def chance(self) -> float:
        """The accuracy of a blind guess."""
        return float(np.mean([1 / len(choice.options) for choice in self.choices]))


@dataclass(frozen=True)
class OrderScores:
    """Nats a token of each story and of the same story with its sentences shuffled, in the order of `works`."""

    works: tuple[str, ...]
    original: tuple[float, ...]
    shuffled: tuple[float, ...]

    def accuracy(self) -> Interval:
        """The share of stories that the model finds likelier than their shuffled selves."""
        right = [float(a < b) for a, b in zip(self.original, self.shuffled, strict=True)]
        return ratio_interval(right, [1.0] * len(right), self.works)

    def difference(self) -> Interval:
        """Nats a token that shuffling costs, the mean over stories."""
        costs = [b - a for a, b in zip(self.original, self.shuffled, strict=True)]
        return ratio_interval(costs, [1.0] * len(costs), self.works)


def order_scores(
    reader: LogProbabilities,
    texts: Sequence[str],
    language: Language = "en",
    *,
    works: Sequence[str] | None = None,
    seed: int = 0,
    most_ids: int = MOST_IDS,
) -> OrderScores:
    """Compare each story, up to its first `most_ids` ids, with itself in a shuffled order of sentences.

    The first sentence stays in its place (Barzilay and Lapata 2008, the discrimination test). A text of fewer than four
    sentences is left out. Raises `DataError` when fewer than two are left.
    """
    pairs: list[tuple[str, str, str]] = []
    for index, text in enumerate(texts):
        sentences = _beginning(reader, text, language, most_ids)
        start = "".join(sentences).rstrip()
        shuffled = corrupt(start, "shuffle", language, seed=seed + index) if len(sentences) >= 4 else None
        if shuffled is not None:
            pairs.append((works[index] if works else str(index), start, shuffled.text))
    if len(pairs) < 2:
        raise DataError(f"{len(pairs)} of {len(texts)} texts have four sentences; the order test needs two at least.")
    scores = reader.score([("", (text,)) for _, start, other in pairs for text in (start, other)])
    nats = [-score.total / score.tokens for (score,) in scores]
    return OrderScores(tuple(work for work, _, _ in pairs), tuple(nats[::2]), tuple(nats[1::2]))


def next_sentence_choices(
    texts: Sequence[str],
    language: Language = "en",
    *,
    works: Sequence[str] | None = None,
    elsewhere: bool = False,
    wrong: int = 3,
    places: int = 2,
    seed: int = 0,
) -> list[Choice]:
    """Places in stories where the true next sentence stands against `wrong` others, the same ones for a seed.

    The others come from later in the same story, or with `elsewhere` from other stories. The context is at least three
    sentences and at most twelve. Stories that are too short give fewer places or none.
    """
    told = [[sentence.strip() for sentence in split_sentences(text, language)] for text in texts]
    rng = random.Random(seed)
    space = "" if language == "zh" else " "
    choices = []
    for index, sentences in enumerate(told):
        others = sentences
        if elsewhere:
            strangers = [place for place in range(len(told)) if place != index and len(told[place]) > 3]
            chosen = rng.sample(strangers, min(len(strangers), 4 * wrong))
            others = [sentence for place in chosen for sentence in told[place][3:]]
        ends = [at for at in range(3, len(sentences)) if elsewhere or len(sentences) - at - 2 >= wrong]
        for at in sorted(rng.sample(ends, min(places, len(ends)))):
            pool = sorted(set(others if elsewhere else others[at + 2 :]) - {sentences[at]})
            if len(pool) < wrong:
                continue
            options = [sentences[at], *rng.sample(pool, wrong)]
            rng.shuffle(options)
            context = space.join(sentences[max(0, at - 12) : at])
            work = works[index] if works else str(index)
            choices.append(Choice(context, tuple(options), options.index(sentences[at]), work, language))
    return choices


def choice_scores(reader: LogProbabilities, choices: Sequence[Choice]) -> ChoiceScores:
    """Which option a model finds likeliest, for each choice; raises `DataError` when there are fewer than two."""
    if len(choices) < 2:
        raise DataError(f"{len(choices)} choices say nothing; two stories with a few sentences each are the least.")
    spaced = [tuple(_spaced(option, choice.language) for option in choice.options) for choice in choices]
    given = reader.score([(choice.context, options) for choice, options in zip(choices, spaced, strict=True)])
    alone = reader.score([("", options) for options in spaced])
    pmi = [
        [with_it.total - without.total for with_it, without in zip(a, b, strict=True)]
        for a, b in zip(given, alone, strict=True)
    ]
    return ChoiceScores(
        tuple(choices),
        _likeliest([[score.total for score in scores] for scores in given]),
        _likeliest([[score.total / score.tokens for score in scores] for scores in given]),
        _likeliest(pmi),
    )


def _likeliest(values: Sequence[Sequence[float]]) -> tuple[int, ...]:
    return tuple(int(np.argmax(row)) for row in values)


def _spaced(option: str, language: Language) -> str:
    return option if language == "zh" else f" {option.strip()}"


def _beginning(reader: LogProbabilities, text: str, language: Language, most_ids: int) -> list[str]:
    """The first sentences that fit into `most_ids` ids."""
    kept, room = [], most_ids
    for sentence in split_sentences(text, language):
        room -= len(reader.tokenizer.encode(sentence))
        if room < 0:
            break
        kept.append(sentence)
    return kept
