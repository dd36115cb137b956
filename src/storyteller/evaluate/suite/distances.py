"""Distances: how far the stories of a system lie from people's in the space of an embedder."""

from __future__ import annotations

from storyteller.errors import DataError
from storyteller.evaluate.bootstrap import Interval
from storyteller.evaluate.distances import kid, kid_floor, mauve
from storyteller.evaluate.findings import Metric
from storyteller.evaluate.suite.bench import Bench, Part
from storyteller.evaluate.suite.meanings import Meanings

__all__ = ["measure_distances"]

_SEES = "Sees what the embedder sees, and the spread of subjects more than their telling."
KID = Metric(
    "kid", "KID", "realism", "lower", "How far the stories lie from people's; people's own value is that of halves.", _SEES
)  # fmt: skip
MAUVE = Metric(
    "mauve", "MAUVE", "realism", "higher", "How much the stories cover people's and are covered by them, 0 to 1.",
    _SEES + " It has contradicted people; the interval is that of its k-means alone.",
)  # fmt: skip


def measure_distances(bench: Bench, meanings: Meanings) -> Part:
    """KID and MAUVE of every system beside people, with people's own value on halves of their texts."""
    part = Part()
    if bench.human is None:
        return part
    labels = [bench.human, *(label for label in bench.labels if label != bench.human)]
    human, *others = meanings.stories(*(bench.texts(label) for label in labels))
    works = bench.clusters(bench.human)
    part.add(KID, [bench.human], lambda _: kid_floor(human, works))
    ceiling: Interval | None = None
    for label, vectors in zip(labels[1:], others, strict=True):
        part.add(KID, [label], lambda label, v=vectors: kid(human, v, works, bench.clusters(label), bench.bootstrap))  # type: ignore[misc]
        try:
            found = mauve(human, vectors)
        except DataError as why:
            part.put(MAUVE, label, str(why))
            continue
        part.put(MAUVE, label, _around(found.value, found.spread, len(set(works))))
        ceiling = ceiling or _around(found.ceiling, 0.0, len(set(works)))
    if ceiling:
        part.put(MAUVE, bench.human, ceiling)
    part.notes.append(f"Meanings are those of {meanings.name}.")
    return part


def _around(value: float, spread: float, works: int) -> Interval:
    return Interval(value, value - 2 * spread, value + 2 * spread, works)
