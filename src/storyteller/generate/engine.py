"""An engine: a model that turns a sequence of ids into the logits of the next one, and remembers what it has read."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, get_args, runtime_checkable

from storyteller.errors import GenerationError, ModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from storyteller.models import Located

__all__ = [
    "ENGINES",
    "BatchEngine",
    "Batching",
    "Copying",
    "Engine",
    "EngineName",
    "OneByOne",
    "common_prefix",
    "cores",
    "open_batch",
    "open_engine",
]

EngineName = Literal["auto", "llama", "torch"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)

#: Positions kept by default: a story of 1,200 words and its request. At 4,096 decoding was a third slower at the end.
DEFAULT_CONTEXT = 2048


class Engine(Protocol):
    """What every engine can do; `context` is the most ids it can read at once."""

    name: str
    context: int
    vocabulary_size: int

    def feed(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """The logits `[vocabulary_size]` of the id that follows `ids`, the whole sequence.

        The engine computes only what differs from the sequence of the last call: the longest common prefix stays in
        its cache, so a story grows by one position a call and an edit costs only what comes after it. The array may be
        overwritten by the next call.
        """
        ...

    def close(self) -> None:
        """Free the model; the engine is of no use afterwards."""
        ...


class BatchEngine(Protocol):
    """Reads several sequences at once, each in a row of its own with a cache of `context` positions.

    It shares the weights with the engine that it was made from, which must stay open.
    """

    name: str
    rows: int
    context: int
    vocabulary_size: int

    def feed_many(self, sequences: Mapping[int, Sequence[int]]) -> Sequence[NDArray[np.float32]]:
        """The logits `[vocabulary_size]` of the id that follows each sequence, in the order of `sequences`.

        A key is a row, from 0 to `rows - 1`; rows that are not named rest. As in `Engine.feed`, a row computes only what
        differs from its last sequence, so that a row whose story is over simply takes another one. The arrays may be
        overwritten by the next call.
        """
        ...

    def close(self) -> None:
        """Free the cache; the engine that it was made from stays open."""
        ...


@runtime_checkable
class Batching(Protocol):
    """An engine that can read several sequences at once."""

    def batch(self, rows: int, context: int) -> BatchEngine:
        """A batch of `rows` rows of `context` positions each on this engine's weights; raises `ModelError`."""
        ...


@runtime_checkable
class Copying(Protocol):
    """A batch in which a row can take over what another row has read: a prompt of many rows is read once."""

    def copy_row(self, source: int, target: int) -> None:
        """Forget what `target` has read and give it a copy of what `source` has."""
        ...


class OneByOne:
    """A batch of one row over an engine that reads one sequence at a time."""

    rows = 1

    def __init__(self, engine: Engine) -> None:
        self.name, self.context, self.vocabulary_size = engine.name, engine.context, engine.vocabulary_size
        self._engine = engine

    def feed_many(self, sequences: Mapping[int, Sequence[int]]) -> Sequence[NDArray[np.float32]]:
        """The logits of the one sequence; see `BatchEngine.feed_many`."""
        (ids,) = sequences.values()
        return [self._engine.feed(ids)]

    def close(self) -> None:
        """Do nothing: the engine is not its own."""


def open_batch(engine: Engine, rows: int, context: int | None = None) -> BatchEngine:
    """A batch of `rows` rows on an engine's weights, or of one row where the engine cannot read several at once.

    `context` is the most positions that a row will need; a smaller one saves memory.
    """
    if rows < 1:
        raise GenerationError(f"{rows} stories at once cannot be written; ask for 1 or more.")
    if isinstance(engine, Batching):
        return engine.batch(rows, min(context or engine.context, engine.context))
    return OneByOne(engine)


def open_engine(located: Located, engine: str = "auto", context: int | None = None) -> Engine:
    """Open a located model, base and adapter together, or the members of an ensemble.

    `llama` is llama.cpp, the fast one on a CPU; `torch` runs every transformers model and is the reference; `auto`
    takes the first where it can run the model, with torch in its place otherwise. Raises `GenerationError` for an
    unknown name and `ModelError` when the engine asked for by name cannot run the model.
    """
    if engine not in ENGINES:
        raise GenerationError(f"no engine is called {engine!r}. Choose one of: {', '.join(ENGINES)}.")
    if located.ensemble is not None:
        from storyteller.generate.mixture import open_mixture

        return open_mixture(located, engine, context)
    if engine != "torch":
        from storyteller.generate.llama_engine import LlamaEngine

        try:
            return LlamaEngine.open(located, context or DEFAULT_CONTEXT)
        except ModelError:
            if engine == "llama" or importlib.util.find_spec("torch") is None:
                raise
    from storyteller.generate.torch_engine import TorchEngine

    return TorchEngine.open(located, context or DEFAULT_CONTEXT)


def common_prefix(kept: Sequence[int], ids: Sequence[int]) -> int:
    """How many of the first ids are the same, at most all but the last of `ids`: its logits have to be computed."""
    most = min(len(kept), len(ids) - 1)
    if kept[:most] == ids[:most]:  # the usual case: the story grew by one
        return most
    return next(i for i in range(most) if kept[i] != ids[i])


def cores() -> int:
    """The threads to compute with: the cores that this process may use, at most eight, or fewer by `OMP_NUM_THREADS`.

    A small model gains nothing from more.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return max(1, min(8, usable, int(asked) if asked.isdecimal() else usable))
