"""The desk: where every request for a text goes, and where those who wait for it listen."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from storyteller.errors import GenerationError, StorytellerError
from storyteller.studio.telling.asking import Ask, read_ask
from storyteller.studio.telling.events import Event
from storyteller.studio.telling.generation import Generation
from storyteller.studio.telling.line import Priority
from storyteller.studio.telling.models import instructed, is_remote, remote_model
from storyteller.studio.telling.tellers import Tellers

if TYPE_CHECKING:
    from storyteller.generate import Storyteller

__all__ = ["Desk"]

_log = logging.getLogger(__name__)

#: Generations whose events are kept in memory when they are over, for those who join late.
REMEMBERED = 64

_PRIORITIES: dict[str, Priority] = {"ghost": "ghost", "chat": "chat"}


class Desk:
    """Runs generations, one at a time for each model, each in a thread of its own.

    `store` is a `storyteller.studio.store.Store`; `load` makes a storyteller of a model's name.
    """

    def __init__(self, store: Any, load: Callable[[str], Storyteller] | None = None) -> None:
        self._store = store
        self.tellers = Tellers(load or _load)
        self._generations: OrderedDict[str, Generation] = OrderedDict()
        self._places: dict[str, Callable[[], None]] = {}
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._closing = False

    def start(self, scene: str, wish: Mapping[str, Any], user: str = "", priority: Priority | None = None) -> str:
        """Begin what a page wishes (the API's `Wish`) and return the generation's id; it goes on whoever listens.

        Raises `ConflictError` when the page's text is not the kept one, `NotFoundError` and `StudioError` for what cannot
        be asked. What goes wrong later is the event `failed`.
        """
        writer = self._store.writer(user)
        ask = read_ask(writer, scene, wish)
        origin = writer.generation(ask.origin.generation) if ask.origin else None
        model = origin["model"] if origin and not wish.get("model") else ask.model
        record = writer.create_generation(
            scene, ask.wish.mode, ask.at, ask.base, end=ask.end, model=model, seed=ask.seed, request=dict(wish)
        )
        generation = Generation(record["id"], writer, ask.view.language, model, ask.n)
        self._remember(generation)
        rank = priority or _PRIORITIES.get(ask.wish.mode, "writer")
        self._spawn(generation, lambda: self._tell(writer, ask, generation, origin, rank))
        return generation.id

    async def events(self, generation: str, after: int = 0, user: str = "") -> AsyncIterator[Event]:
        """The events of a generation after that number, as they come; of one that is long over, what is kept of it."""
        known = self._generations.get(generation)
        if known is not None:
            async for event in known.log.listen(after):
                yield event
            return
        for number, (name, data) in enumerate(_kept_events(self._store.writer(user).generation(generation)), 1):
            if number > after:
                yield number, name, data

    def stop(self, generation: str) -> None:
        """End a generation now; what was shown of it stays."""
        known = self._generations.get(generation)
        if known is not None:
            known.stop()
            self._places.get(generation, lambda: None)()

    def context(self, scene: str, wish: Mapping[str, Any], user: str = "") -> dict[str, Any]:
        """What a model would see for a wish: {parts, tokens, limit}; nothing is written."""
        from storyteller.studio.telling.local import context_record, see, see_rewriting
        from storyteller.studio.telling.models import reading
        from storyteller.studio.telling.remote import see_remote, see_remote_rewriting

        ask = read_ask(self._store.writer(user), scene, wish)
        rewrites = ask.wish.mode == "rewrite"
        if is_remote(ask.model):
            return context_record((see_remote_rewriting if rewrites else see_remote)(ask))
        model = instructed(ask.model) if rewrites else ask.model
        loaded = self.tellers.peek(model)
        tokenizer, window = (loaded.teller.tokenizer, loaded.teller.engine.context) if loaded else reading(model)
        return context_record((see_rewriting if rewrites else see)(tokenizer, window, ask))

    def load(self, model: str) -> None:
        """Load a model in the background, so that the first text comes sooner."""
        if not is_remote(model):
            self._thread(lambda: self._warm(model), f"load {model}")

    def status(self, model: str | None = None) -> dict[str, Any]:
        """Whether a model (the last used one by default) is loaded or being loaded."""
        names = self.loaded()
        name = model or (names[0] if names else "default")
        return {"name": name, "loaded": name in names or is_remote(name), "loading": self.tellers.loading(name)}

    def loaded(self) -> list[str]:
        """The names of the models in memory, the last used first."""
        return self.tellers.loaded()

    def set_weights(self, model: str, weights: Mapping[str, float]) -> None:
        """Give the members of a loaded ensemble other weights; what is being written follows from its next token on."""
        from storyteller.studio.telling.local import set_weights

        loaded = self.tellers.peek(model)
        if loaded is None:
            raise GenerationError(f"{model} is not loaded, so there is nothing to weigh yet. Write something with it.")
        set_weights(loaded, weights)

    @contextmanager
    def turn(self, model: str, priority: Priority = "plan") -> Iterator[Storyteller]:
        """Wait for one's turn with a model of this machine and have it for the length of the block; blocks."""
        if is_remote(model):
            raise GenerationError("this needs a model on this machine. Choose one that is no connection.")
        with self.tellers.turn(model, priority) as loaded:
            yield loaded.teller

    def close(self) -> None:
        """Stop everything and free the models."""
        self._closing = True
        for generation in list(self._generations.values()):
            self.stop(generation.id)
        for thread in list(self._threads):
            thread.join(timeout=10)
        self.tellers.close()

    def _tell(
        self, writer: Any, ask: Ask, generation: Generation, origin: Mapping[str, Any] | None, priority: Priority
    ) -> None:
        model = generation.model
        rewrites = ask.wish.mode == "rewrite"
        if rewrites and not is_remote(model):
            generation.model = model = instructed(model)
        line = self.tellers.line(model)
        place = line.join(priority, generation.queued, generation.stop)
        self._places[generation.id] = lambda: line.leave(place) if place.waits else None
        try:
            if not line.wait(place) or generation.stopped:
                return
            self._write(writer, ask, generation, origin, rewrites)
        finally:
            self._places.pop(generation.id, None)
            line.leave(place)

    def _write(
        self, writer: Any, ask: Ask, generation: Generation, origin: Mapping[str, Any] | None, rewrites: bool
    ) -> None:
        from storyteller.studio.telling import local, remote

        if is_remote(generation.model):
            with remote_model(writer, generation.model) as server:
                (remote.tell_remote_rewriting if rewrites else remote.tell_remote)(server, ask, generation)
            return
        loaded = self.tellers.get(generation.model)
        try:
            if rewrites:
                local.tell_rewriting(loaded, ask, generation)
            else:
                local.tell(loaded, ask, generation, origin)
        except StorytellerError:
            raise
        except Exception:
            self.tellers.forget(generation.model)  # whatever state it is in now, the next request finds a new one
            raise

    def _warm(self, model: str) -> None:
        try:
            with self.tellers.turn(model, "chat") as loaded:
                loaded.rows.feed({0: loaded.teller.tokenizer.encode("Once upon a time")}, lambda *_: True)
        except StorytellerError as error:
            _log.warning("%s was not loaded: %s", model, error)

    def _remember(self, generation: Generation) -> None:
        with self._lock:
            self._generations[generation.id] = generation
            over = [known for known in self._generations.values() if known.log.closed]
            for known in over[: max(0, len(over) - REMEMBERED)]:
                del self._generations[known.id]

    def _spawn(self, generation: Generation, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except StorytellerError as error:
                generation.fail(error)
            except Exception as error:
                _log.exception("generation %s", generation.id)
                generation.fail(GenerationError(f"the model broke off ({type(error).__name__}: {error}). Try again."))

        self._thread(guarded, f"generation {generation.id}")

    def _thread(self, work: Callable[[], None], name: str) -> None:
        def run() -> None:
            try:
                work()
            finally:
                self._threads.discard(thread)

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.add(thread)
        thread.start()


def _load(model: str) -> Storyteller:
    from storyteller.generate import Storyteller

    return Storyteller.load(model)


def _kept_events(record: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a generation that is over, from its record."""
    seeds = [] if record["seed"] is None else [record["seed"]]
    yield (
        "started",
        {"generation": record["id"], "model": record["model"], "seeds": seeds, "context": record["context"]},
    )
    for candidate in record["candidates"]:
        said = {"candidate": candidate["candidate"], "text": candidate["text"]}
        yield "text", said
        if candidate["finish_reason"]:
            yield "candidate", {**candidate["extra"], **said, "finish_reason": candidate["finish_reason"]}
    if record["status"] in ("done", "stopped"):
        yield "done", {"generation": record["id"]}
    else:
        message = record["error"] or "the server was stopped while this was written"
        yield "failed", {"message": message, "next": "Take what there is, or write it anew.", "kept": True}
