"""Many stories at once: one pass over the weights gives each of them its next token."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from storyteller.errors import GenerationError
from storyteller.generate.engine import BatchEngine
from storyteller.generate.writing import Writing

__all__ = ["write_many"]


@dataclass
class _Row:
    """A story at work in a row of the batch."""

    writing: Writing
    error: GenerationError | None = None
    began: float = field(default_factory=time.perf_counter)

    @property
    def over(self) -> bool:
        return self.error is not None or self.writing.wanted is None


def write_many(writings: Iterable[Writing], engine: BatchEngine) -> Iterator[tuple[Writing, GenerationError | None]]:
    """Write stories side by side and yield each when it is over, with the error that ended it, if one did.

    As soon as a story is over the next one takes its row (continuous batching: Yu et al. 2022, "Orca"). A story's
    `seconds` are those from its first token to its last, which it shares with the others.
    """
    coming = iter(writings)
    rows: dict[int, _Row] = {}
    while True:
        for number in range(engine.rows):  # the first rows are the cheapest to read
            if number not in rows and (writing := next(coming, None)) is not None:
                rows[number] = _Row(writing)
        if not rows:
            return
        _step(rows, engine)
        for number, row in sorted(rows.items()):
            if row.over:
                del rows[number]
                row.writing.seconds += time.perf_counter() - row.began
                yield row.writing, row.error


def _step(rows: dict[int, _Row], engine: BatchEngine) -> None:
    """Bring every story that is not over one token further."""
    wanted = {number: row.writing.wanted for number, row in sorted(rows.items())}
    sequences = {number: ids for number, ids in wanted.items() if ids is not None and len(ids) <= engine.context}
    logits = dict(zip(sequences, engine.feed_many(sequences), strict=True)) if sequences else {}
    for number, row in rows.items():
        try:
            if number in logits:
                row.writing.read(logits[number])
            elif row.writing.wanted is not None:
                raise GenerationError(f"the story does not fit into the {engine.context} positions of its row.")
        except GenerationError as error:
            row.error = error
