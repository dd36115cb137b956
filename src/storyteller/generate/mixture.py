"""A mixture of models behind the interface of one: mixed anew at each token, with weights that may move meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from storyteller.errors import ModelError
from storyteller.generate.engine import (
    DEFAULT_CONTEXT,
    BatchEngine,
    Batching,
    Copying,
    Engine,
    OneByOne,
    open_batch,
    open_engine,
)
from storyteller.generate.mixer import Mixer, Spent
from storyteller.generate.mixing import Mixed

if TYPE_CHECKING:
    from torch import Tensor

    from storyteller.models import Located

__all__ = ["Apart", "Group", "Mixer", "MixtureBatch", "MixtureEngine", "Single", "Spent", "open_mixture"]

#: Members of llama.cpp that are merged into copies of their base, 145 MB each, of which the cache keeps four. A token takes
#: 10 ms of processor time so, and 15 ms with the adapter laid over the base (`benchmarks/ensemble.py`).
MERGED = 3

Logits = NDArray[np.float32]


class Group(Protocol):
    """Members that read together: one call gives the logits of each of them, `[members, vocabulary]`."""

    name: str
    size: int
    context: int
    vocabulary_size: int

    def feed(self, ids: Sequence[int]) -> Logits:
        """The logits of the id that follows `ids`, a row for each member; see `Engine.feed`."""
        ...

    def batch(self, rows: int, context: int) -> GroupBatch:
        """Several sequences at once on the members' weights."""
        ...

    def close(self) -> None:
        """Free the members."""
        ...


class GroupBatch(Protocol):
    """`rows` sequences at once, each through the members of a group."""

    def feed_many(self, sequences: Mapping[int, Sequence[int]], places: Sequence[int]) -> Sequence[Logits]:
        """The logits `[members, vocabulary]` after each sequence, of which only the rows at `places` mean anything."""
        ...

    def close(self) -> None:
        """Free the caches."""
        ...


@runtime_checkable
class TensorBatch(Protocol):
    """A batch of a group whose logits can be mixed where they are, all rows at once."""

    def feed_tensors(self, sequences: Mapping[int, Sequence[int]], places: Sequence[int]) -> Tensor:
        """The logits `[places, sequences, vocabulary]` of the members at `places` after each sequence."""
        ...


@runtime_checkable
class Apart(Protocol):
    """A group whose members can read different sequences in one pass."""

    def alone(self, places: Sequence[int], context: int) -> BatchEngine:
        """A batch whose row r is read with the member at `places[r]` alone; fastest where equal ones lie side by side."""
        ...


class Single:
    """One engine as a group of its own."""

    size = 1

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.context, self.vocabulary_size = engine.name, engine.context, engine.vocabulary_size

    def feed(self, ids: Sequence[int]) -> Logits:
        """The engine's logits as the one row."""
        return self._engine.feed(ids)[None]

    @property
    def batching(self) -> bool:
        """Whether the engine can read several sequences at once."""
        return isinstance(self._engine, Batching)

    def batch(self, rows: int, context: int) -> SingleBatch:
        """Several sequences at once on the engine's weights."""
        return SingleBatch(open_batch(self._engine, rows, context))

    def close(self) -> None:
        """Free the engine."""
        self._engine.close()


class SingleBatch:
    """The batch of one engine as a group's; see `GroupBatch`."""

    def __init__(self, batch: BatchEngine) -> None:
        self._batch = batch

    def feed_many(self, sequences: Mapping[int, Sequence[int]], places: Sequence[int]) -> Sequence[Logits]:
        """The engine's logits, each as the one row."""
        return [logits[None] for logits in self._batch.feed_many(sequences)]

    def copy_row(self, source: int, target: int) -> None:
        """Give one row what another has read, where the engine can; otherwise it is read again."""
        if isinstance(self._batch, Copying):
            self._batch.copy_row(source, target)

    def close(self) -> None:
        """Free the cache."""
        self._batch.close()


class MixtureEngine:
    """Mixes members at each token; see `Engine`, and `Ensemble` for the rules.

    `weights` may be set at any time, from any thread: the next token is drawn with them. A member that is not asked
    (its weight is 0, or the gate is closed) reads what it has missed in one go when it is next asked. A member that
    gives a number that is none is dropped with a message, and the story goes on with the others.
    """

    def __init__(self, groups: Sequence[Group], mixer: Mixer) -> None:
        """Take open groups, in the order of the mixer's members; raises `ModelError` when they do not fit."""
        sizes = {group.vocabulary_size for group in groups}
        if len(sizes) != 1:
            raise ModelError(f"the members have different vocabularies ({', '.join(map(str, sorted(sizes)))} tokens).")
        self.vocabulary_size: int = sizes.pop()
        self.context = min(group.context for group in groups)
        self.name = "mixture of " + " and ".join(sorted({group.name for group in groups}))
        self.mixer = mixer
        self._groups = list(groups)

    @property
    def members(self) -> tuple[str, ...]:
        """The members' names."""
        return self.mixer.members

    @property
    def weights(self) -> tuple[float, ...]:
        """The members' weights, which sum to 1; they hold from the next token on, in the batches too."""
        return self.mixer.weights

    @weights.setter
    def weights(self, weights: Sequence[float]) -> None:
        self.mixer.weights = tuple(weights)

    @property
    def dropped(self) -> tuple[str, ...]:
        """The names of the members that gave a number that is none and are left out."""
        return self.mixer.dropped

    @property
    def spent(self) -> Spent:
        """What was asked and mixed so far."""
        return self.mixer.spent

    def feed(self, ids: Sequence[int]) -> Mixed:
        """The mixed log-probabilities of the id that follows `ids`; see `Engine.feed`."""
        return self.mixer.mix({0: ids}, lambda group, *_: [self._groups[group].feed(ids)])[0]

    def batch(self, rows: int, context: int) -> BatchEngine:
        """Read several sequences at once, where every member can; see `open_batch`."""
        if any(isinstance(group, Single) and not group.batching for group in self._groups):
            return OneByOne(self)
        return MixtureBatch(self._groups, self.mixer, rows, min(context, self.context))

    @property
    def apart(self) -> Apart | None:
        """What gives each row of a batch a member of its own, where all members read together."""
        (group, *others) = self._groups
        return group if isinstance(group, Apart) and not others else None

    def close(self) -> None:
        """Free all members."""
        for group in self._groups:
            group.close()


class MixtureBatch:
    """Several sequences at once, each through every member; see `BatchEngine`."""

    name = "mixture"

    def __init__(self, groups: Sequence[Group], mixer: Mixer, rows: int, context: int) -> None:
        """Take members that can read `rows` sequences of `context` positions at once."""
        self.rows, self.context, self.vocabulary_size = rows, context, groups[0].vocabulary_size
        self._groups, self._mixer = groups, mixer
        self._batches: dict[int, GroupBatch] = {}

    def feed_many(self, sequences: Mapping[int, Sequence[int]]) -> Sequence[Logits]:
        """The mixed log-probabilities after each sequence; see `BatchEngine.feed_many`."""
        if len(self._groups) == 1 and isinstance(batch := self._batch(0), TensorBatch):
            mixed = self._mixer.mix_rows(sequences, lambda places: batch.feed_tensors(sequences, places))
            if mixed is not None:
                return mixed
        return self._mixer.mix(sequences, self._ask)

    def copy_row(self, source: int, target: int) -> None:
        """Give one row what another has read, with the members that can; the others read it again."""
        for batch in self._batches.values():
            if isinstance(batch, SingleBatch):
                batch.copy_row(source, target)

    def close(self) -> None:
        """Free the members' caches."""
        for batch in self._batches.values():
            batch.close()
        self._batches.clear()

    def _ask(self, group: int, sequences: Mapping[int, Sequence[int]], places: Sequence[int]) -> Sequence[Logits]:
        return self._batch(group).feed_many(sequences, places)

    def _batch(self, group: int) -> GroupBatch:
        # A group without a say is never asked, and needs no cache then.
        if group not in self._batches:
            self._batches[group] = self._groups[group].batch(self.rows, self.context)
        return self._batches[group]


def open_mixture(located: Located, engine: str = "auto", context: int | None = None) -> MixtureEngine:
    """Open the members of a located ensemble: side by side, or with torch as rows of one batch over their one base.

    `engine` and `context` are as in `open_engine`. Raises `ModelError` when a member cannot be opened.
    """
    context = context or DEFAULT_CONTEXT  # llama.cpp would take all that a model was trained for, for every member
    ensemble = located.ensemble
    assert ensemble is not None, "an ensemble is what is opened here"
    groups = _open_groups(located, engine, context, apart=ensemble.gate.sure is not None)
    mixer = Mixer(
        [member.name for member in located.members],
        [group.size for group in groups],
        ensemble.weights,
        rule=ensemble.rule,
        gate=ensemble.gate,
        plausibility=ensemble.plausibility,
    )
    return MixtureEngine(groups, mixer)


def _open_groups(located: Located, engine: str, context: int, *, apart: bool) -> list[Group]:
    members = located.members
    from storyteller.models.adapters.factors import is_plain_lora

    one_base = len({member.folder for member in members}) == 1 and len(members) > 1
    if not one_base or not all(is_plain_lora(member.adapter) for member in members):
        return [Single(open_engine(member, engine, context)) for member in members]
    if engine != "torch":
        try:
            return [Single(member) for member in _open_llamas(members, context)]
        except ModelError:
            if engine == "llama":
                raise
    from storyteller.generate.torch_rows import open_rows

    return list(open_rows(members, context, apart=apart))


def _open_llamas(members: Sequence[Located], context: int) -> Sequence[Engine]:
    """A merged model for each of few members; for many, adapters over one base, at a third less speed and no copies."""
    from storyteller.generate.llama_engine import LlamaEngine
    from storyteller.generate.llama_members import open_members

    return [LlamaEngine.open(m, context) for m in members] if len(members) <= MERGED else open_members(members, context)
