"""Degeneration: repetition, loops, unfinished ends, over-used phrases and copied spans."""

from __future__ import annotations

from typing import Literal

import numpy as np

from storyteller.errors import DataError
from storyteller.evaluate.copying import CopyIndex
from storyteller.evaluate.degeneration import degeneration
from storyteller.evaluate.findings import Copied, Curve, HeatMap, Metric, Phrase
from storyteller.evaluate.ngrams import words
from storyteller.evaluate.slop import slop
from storyteller.evaluate.suite.bench import Bench, Part

__all__ = ["measure_degeneration"]

_REPEATS = "A refrain is a repetition, too; people's own value stands beside it."


def _metric(
    key: str,
    name: str,
    meaning: str,
    blind_spot: str = _REPEATS,
    better: Literal["human", "higher", "lower"] = "human",
) -> Metric:
    return Metric(key, name, "degeneration", better, meaning, blind_spot)


INSIDE = (
    _metric("rep_2", "rep-2", "The share of a story's word pairs that it had before."),
    _metric("rep_3", "rep-3", "The share of a story's word triples that it had before."),
    _metric("rep_4", "rep-4", "The share of a story's runs of four words that it had before."),
    _metric("longest_repeat", "longest repeat", "Words of the longest span that a story says twice."),
    _metric("loops", "loops", "The share of stories that say one span three times in a row.", better="lower"),
    _metric(
        "finished", "finished", "The share of stories that end at the end of a sentence.",
        "A sentence's end need not be the story's.", "higher",
    ),
)  # fmt: skip
SLOP = _metric(
    "slop", "over-used phrases", "How many of 100 words belong to phrases that the system uses far more often than people do.",
    "Learned on half of the prompts and counted on the other half; a phrase that people overuse is not seen.", "lower",
)  # fmt: skip
COPIED = _metric(
    "copied", "copied", "The share of a story that stands word for word in the training texts, in spans of 8 words and up.",
    "Sees only the texts that it was given.", "lower",
)  # fmt: skip
LONGEST_COPY = _metric(
    "longest_copy", "longest copied span", "Words of the longest span that stands in the training texts.",
    "Set phrases are shared by all of us; people's own value stands beside it.", "human",
)  # fmt: skip

#: Equal parts of a text that curves are drawn over, and prompts, phrases and copies of a system that are shown.
PARTS, PROMPTS, PHRASES, COPIES = 10, 40, 20, 3


def measure_degeneration(bench: Bench, index: CopyIndex | None) -> Part:
    """Repetition inside texts for every system, phrases that models over-use, and copies from the indexed corpus."""
    part = Part()
    shares: dict[str, list[float]] = {}
    for label in bench.labels:
        records = degeneration(bench.texts(label), bench.language)
        for metric in INSIDE:
            values = [getattr(record, metric.key) for record in records]
            part.add(metric, [label], lambda label, v=values: bench.mean(label, v))  # type: ignore[misc]
        shares[label] = [record.rep_4 for record in records]
        part.curves.append(Curve("rep_4", label, _repeats_by_position(bench.texts(label))))
    part.heat_maps.append(_heat_map(bench, "rep_4", shares))
    if bench.human:
        _add_phrases(part, bench, bench.human)
    if index is not None:
        _add_copies(part, bench, index)
    else:
        part.notes.append("Copies were not looked for: there is no corpus with other works in this language.")
    return part


def _add_phrases(part: Part, bench: Bench, human: str) -> None:
    """What each model over-uses; people's figure by the same phrases is another one beside each model."""
    peers = {}
    for label in bench.models:
        try:
            found = slop(
                bench.texts(label), bench.prompts(label), bench.texts(human), bench.prompts(human), bench.language
            )
        except DataError as why:
            part.put(SLOP, label, str(why))
            continue
        part.put(SLOP, label, bench.mean(label, 100 * found.system))
        peers[label] = part.people[SLOP.key, label] = bench.mean(human, 100 * found.human)
        part.phrases += [Phrase(label, one.phrase, one.system, one.human, one.z) for one in found.phrases[:PHRASES]]
    if len(peers) == 1:
        part.put(SLOP, human, next(iter(peers.values())))
    elif peers:
        beside = ", ".join(f"{peer.value:.1f} beside {label}" for label, peer in peers.items())
        part.put(SLOP, human, f"by each model's own phrases: {beside}")


def _add_copies(part: Part, bench: Bench, index: CopyIndex) -> None:
    for label in bench.labels:
        matches = index.longest_matches(bench.texts(label))
        part.put(COPIED, label, bench.mean(label, [match.copied for match in matches]))
        part.put(LONGEST_COPY, label, bench.mean(label, [match.tokens for match in matches]))
        longest = sorted(zip(bench.prompts(label), matches, strict=True), key=lambda item: -item[1].tokens)[:COPIES]
        part.copied += [Copied(label, prompt, match.tokens, match.source, match.span) for prompt, match in longest]


def _repeats_by_position(texts: list[str]) -> tuple[float, ...]:
    """In each tenth of the stories, the share of its 4-grams that the story had before."""
    seen_again, total = np.zeros(PARTS), np.zeros(PARTS)
    for text in texts:
        tokens = words(text)
        seen: set[tuple[str, ...]] = set()
        for place in range(len(tokens) - 3):
            gram = tuple(tokens[place : place + 4])
            at = place * PARTS // len(tokens)
            seen_again[at] += gram in seen
            total[at] += 1
            seen.add(gram)
    return tuple((seen_again / np.maximum(total, 1)).tolist())


def _heat_map(bench: Bench, metric: str, values: dict[str, list[float]]) -> HeatMap:
    """Prompts by systems, the mean over seeds; the prompts where systems differ most, worst first."""
    labels = bench.labels
    table: dict[str, dict[str, list[float]]] = {}
    for label in labels:
        for prompt, value in zip(bench.prompts(label), values[label], strict=True):
            table.setdefault(prompt, {}).setdefault(label, []).append(value)
    means = {
        prompt: tuple(float(np.mean(row[label])) if label in row else None for label in labels)
        for prompt, row in table.items()
    }
    worst = sorted(means, key=lambda prompt: -max(value or 0.0 for value in means[prompt]))[:PROMPTS]
    return HeatMap(metric, tuple(worst), tuple(labels), tuple(means[prompt] for prompt in worst))
