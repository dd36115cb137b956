"""Several candidates of several members, ranked, and the few of them that a writer is shown."""

from __future__ import annotations

import dataclasses
import functools
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storyteller.ensemble.ranking import (
    Scorer,
    asked_keywords,
    asked_length,
    asked_people,
    calibrate,
    diverse,
    overlap,
    resample,
)
from storyteller.errors import GenerationError, StorytellerError
from storyteller.generate import Storyteller, Told
from storyteller.generate.mixture import MixtureEngine
from storyteller.generate.storyteller import ROWS
from storyteller.runs.console import say
from storyteller.tokens import Request

__all__ = ["FAILURES", "RULES", "Draft", "Writer", "draft_many", "rank", "show", "writers"]

RULES: Mapping[str, Scorer] = {"people": asked_people, "keywords": asked_keywords, "length": asked_length}
"""What a request asks for and a text can be checked against; a critic, coherence and repetition are passed in."""

FAILURES = (StorytellerError, OSError, MemoryError, RuntimeError)
"""What a model raises that cannot write: refused, not to be read, or too large (torch's own is a `RuntimeError`)."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A candidate, who wrote it, and once it is ranked its scores as they are and its total in standard deviations."""

    told: Told
    member: str
    scores: Mapping[str, float] = field(default_factory=dict)
    total: float = 0.0

    @property
    def text(self) -> str:
        """What was written."""
        return self.told.text


@dataclass(frozen=True)
class Writer:
    """One member that writes alone: a storyteller, or one member of its mixture."""

    name: str
    teller: Storyteller
    member: int | None = None

    @property
    def failure(self) -> GenerationError | None:
        """Why its mixture has left it out, if it has: what is written in its turn is the others' then, not its own."""
        engine = self.teller.engine
        if self.member is None or not isinstance(engine, MixtureEngine) or self.name not in engine.dropped:
            return None
        return GenerationError("it gives no finite logits; its weights are damaged.")

    @contextmanager
    def alone(self) -> Iterator[Storyteller]:
        """The storyteller, in which within the block nobody but this member has a say."""
        engine = self.teller.engine
        if self.member is None or not isinstance(engine, MixtureEngine):
            yield self.teller
            return
        weights, rule = engine.weights, engine.mixer.rule
        engine.mixer.rule = "arithmetic"
        engine.weights = tuple(float(number == self.member) for number in range(len(engine.members)))
        try:
            yield self.teller
        finally:
            engine.mixer.rule = rule
            engine.weights = weights


def writers(tellers: Storyteller | Sequence[Storyteller]) -> list[Writer]:
    """The members that can write drafts: those of every mixture one by one, and the storytellers that are none.

    The storytellers may have different tokenizers; those of one mixture share their weights in memory.
    """
    found: list[Writer] = []
    for teller in [tellers] if isinstance(tellers, Storyteller) else tellers:
        if isinstance(teller.engine, MixtureEngine):
            found += [Writer(name, teller, number) for number, name in enumerate(teller.engine.members)]
        else:
            found.append(Writer(teller.name, teller))
    return found


def draft_many(
    tellers: Storyteller | Sequence[Storyteller],
    request: Request,
    count: int = 8,
    *,
    seed: int | None = None,
    **options: Any,
) -> list[Draft]:
    """`count` candidates in equal parts by each member; options as in `tell_many`.

    Adapters that the torch engine reads as rows of one batch write all theirs at once, other members one after another.
    The same seed gives the same candidates; each has one of its own. Ctrl-C keeps those that are whole, and a message
    names the members whose drafts failed. Raises the first error when none can be told.
    """
    members = writers(tellers)
    if count < 1:
        raise GenerationError(f"{count} drafts cannot be written; ask for 1 or more.")
    if seed is not None and seed < 0:
        raise GenerationError(f"the seed is {seed}; it must be 0 or more.")
    first = secrets.randbelow(1 << 30) if seed is None else seed
    drafts: dict[int, Draft] = {}
    failed: dict[str, Exception] = {}
    try:
        for place, told in _told(members, request, count, first, options):
            name = members[place % len(members)].name
            if isinstance(told, Told):
                drafts[place] = Draft(told, name)
            else:
                failed.setdefault(name, told)
    except KeyboardInterrupt:
        if not drafts:
            raise
        say(f"stopped after {len(drafts)} of {count} drafts")
    if not drafts:
        raise next(iter(failed.values()))
    for name, error in failed.items():
        say(f"drafts by {name} are left out: {error}")
    return [drafts[place] for place in sorted(drafts)]


def _told(
    members: Sequence[Writer], request: Request, count: int, first: int, options: Mapping[str, Any]
) -> Iterator[tuple[int, Told | Exception]]:
    """The drafts with their places as they come; the one at place p is by member p, going round, with seed `first` + p."""

    def tell(places: Sequence[int], teller: Storyteller, **more: Any) -> Iterator[tuple[int, Told | Exception]]:
        seeds, left = [first + place for place in places], set(places)
        try:
            for index, told in teller.tell_many([request] * len(places), seeds=seeds, **options, **more):
                left.discard(places[index])
                yield places[index], told
        except FAILURES as error:  # of all that are being written; those by others are still to be had
            yield from ((place, error) for place in sorted(left))

    for teller in dict.fromkeys(writer.teller for writer in members):
        own = [number for number, writer in enumerate(members) if writer.teller is teller]
        places = {number: range(number, count, len(members)) for number in own if number < count}
        apart = teller.engine.apart if isinstance(teller.engine, MixtureEngine) else None
        if apart is not None and places and options.get("rows") is None and sum(map(len, places.values())) <= ROWS:
            worn = [own.index(number) for number, mine in places.items() for _ in mine]
            opened = functools.partial(apart.alone, worn)
            yield from tell([place for mine in places.values() for place in mine], teller, opened=opened)
            continue
        for number, mine in places.items():
            writer = members[number]
            if writer.failure is not None:
                yield from ((place, writer.failure) for place in mine)
                continue
            with writer.alone():
                yield from ((place, writer.failure or told) for place, told in tell(mine, teller))


def rank(
    drafts: Sequence[Draft],
    request: Request,
    scorers: Mapping[str, Scorer] | None = None,
    weights: Mapping[str, float] | None = None,
) -> list[Draft]:
    """The drafts with their scores, best first.

    `RULES` are always asked, `scorers` beside them; each is brought to standard scores within each member (see
    `calibrate`), but for the rules, which mean the same whoever wrote. The total is their sum by `weights`, 1 where none
    is named. A text that is hardly a story (`Told.doubt`) comes after all that are.
    """
    texts, members = [draft.text for draft in drafts], [draft.member for draft in drafts]
    weights = weights or {}
    everything = {**RULES, **(scorers or {})}
    if unknown := sorted(weights.keys() - everything.keys()):
        raise GenerationError(f"no scorer is called {unknown[0]!r}. There are: {', '.join(everything)}.")
    raw = {name: [float(value) for value in scorer(texts, request)] for name, scorer in everything.items()}
    pooled = ["all"] * len(drafts)
    standard = {name: calibrate(values, pooled if name in RULES else members) for name, values in raw.items()}
    ranked = []
    for place, draft in enumerate(drafts):
        scores = {name: values[place] for name, values in raw.items()}
        total = sum(weights.get(name, 1.0) * values[place] for name, values in standard.items())
        ranked.append(dataclasses.replace(draft, scores=scores, total=total))
    return sorted(ranked, key=lambda draft: (draft.told.doubt is not None, -draft.total))


def show(
    ranked: Sequence[Draft],
    count: int = 3,
    *,
    temperature: float = 0.5,
    balance: float = 0.7,
    seed: int = 0,
    similarity: Callable[[Sequence[str]], NDArray[np.float64]] = overlap,
) -> list[Draft]:
    """The few drafts that a writer is shown: the first drawn by softmax of the totals, the rest good and unlike.

    `temperature` 0 takes the best; see `resample` and `diverse`. `similarity(texts)` is `[n, n]` in 0..1.
    """
    sound = [draft for draft in ranked if draft.told.doubt is None] or list(ranked)
    totals = [draft.total for draft in sound]
    first = resample(totals, 1, temperature, seed)
    chosen = diverse(totals, similarity([draft.text for draft in sound]), count, balance, *first)
    return [sound[place] for place in chosen]
