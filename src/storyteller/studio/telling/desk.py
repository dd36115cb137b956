"""The desk: where every request for a text goes, and where those who wait for it listen."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from storyteller.errors import GenerationError, StorytellerError
from storyteller.studio.errors import NotFoundError
from storyteller.studio.telling.asking import Ask, read_ask
from storyteller.studio.telling.events import Event, EventLog, kept_events
from storyteller.studio.telling.generation import Generation
from storyteller.studio.telling.line import Priority
from storyteller.studio.telling.models import instructed, is_remote, members_of, model_of, reading, remote_model
from storyteller.studio.telling.refusing import Heard, refuse, told_of
from storyteller.studio.telling.tellers import Loaded, Tellers

if TYPE_CHECKING:
    from storyteller.generate import FinishReason, Storyteller, Token
    from storyteller.studio.telling.planning import Say
    from storyteller.tokens import StoryTokenizer

__all__ = ["Desk"]

_log = logging.getLogger(__name__)

#: Generations whose events are kept in memory when they are over, for those who join late.
REMEMBERED = 64

_PRIORITIES: dict[str, Priority] = {"ghost": "ghost", "chat": "chat"}


class Desk:
    """Runs generations, one at a time for each model, each in a thread of its own.

    `store` is a `storyteller.studio.store.Store`; `load` makes a storyteller of a model's name, and `instructed` names the
    model that follows instructions for one that may not (see `models.instructed`).
    """

    def __init__(
        self,
        store: Any,
        load: Callable[[str], Storyteller] | None = None,
        instructed: Callable[[str], str] = instructed,
    ) -> None:
        self._store, self._instructed = store, instructed
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
        generation = Generation(record["id"], writer, ask.view.language, model, ask.n, ask.watch)
        self._remember(generation)
        rank = priority or _PRIORITIES.get(ask.wish.mode, "writer")
        self._spawn(generation, lambda: self._tell(writer, ask, generation, origin, rank))
        return generation.id

    async def events(self, generation: str, after: int = 0, user: str = "") -> AsyncIterator[Event]:
        """The events of a generation after that number, as they come; of one that is long over, what is kept of it.

        Its events had other numbers: who heard some of them is told the whole texts and how they ended.
        """
        known = self._generations.get(generation)
        if known is not None:
            async for event in known.log.listen(after):
                yield event
            return
        record = self._store.writer(user).generation(generation)
        for number, (name, data) in enumerate(kept_events(record, joined=after > 0), after + 1):
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
        from storyteller.studio.telling.remote import see_remote, see_remote_rewriting

        ask = read_ask(self._store.writer(user), scene, wish)
        rewrites = ask.wish.mode == "rewrite"
        if is_remote(ask.model):
            return context_record((see_remote_rewriting if rewrites else see_remote)(ask))
        model = self._instructed(ask.model) if rewrites else ask.model
        tokenizer, window = self._reading(model)
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

    def set_weights(self, project: str, model: str, weights: Mapping[str, float]) -> None:
        """Let what a project is writing with an ensemble follow other weights from its next token on."""
        if loaded := self.tellers.peek(model):
            loaded.members.change(project, weights)

    @contextmanager
    def turn(self, model: str, priority: Priority = "plan") -> Iterator[Loaded]:
        """Wait for one's turn with a model of this machine and have it for the length of the block; blocks."""
        if is_remote(model):
            raise GenerationError("this needs a model on this machine. Choose one that is no connection.")
        with self.tellers.turn(model, priority) as loaded:
            yield loaded

    def plan(self, project: str, part: str, wish: Mapping[str, Any], user: str = "") -> AsyncIterator[Event]:
        """Proposals for a part of the plan as events `plan`, then `done`; ends when nobody listens."""
        from storyteller.studio.telling.planning import propose

        writer = self._store.writer(user)
        refuse(told_of(writer.project(project), writer.plan(project) or {}))
        model = model_of(writer, project, wish)
        return self._heard(writer, project, model, partial(propose, writer, project, part, wish))

    def draft(self, project: str, wish: Mapping[str, Any], user: str = "") -> AsyncIterator[Event]:
        """A scene from its beats: `beat`, `started`, `text` and `candidate` for each, then `done`."""
        from storyteller.studio.telling.planning import draft

        writer = self._store.writer(user)
        refuse(told_of(writer.project(project), writer.plan(project) or {}))
        model = model_of(writer, project, wish)
        return self._heard(writer, project, model, partial(draft, writer, project, wish))

    async def chat(self, project: str, wish: Mapping[str, Any], user: str = "") -> AsyncIterator[Event]:
        """An answer of the storyteller, or of a person of the story, as events `text`; both lines are kept."""
        from storyteller.studio.telling.remote import LIMIT, estimate
        from storyteller.studio.telling.talking import ANSWER, chat_turns, latest_scene, reads

        writer = self._store.writer(user)
        kept, person = writer.project(project), wish.get("character")
        entry = next((one for one in writer.entries(project) if one["id"] == person), None)
        if person is not None and entry is None:
            raise NotFoundError("that person is no longer among the entries. Choose another one to talk to.")
        refuse([str(wish["text"])])  # before it is kept: it would stand in the way of the lines after it
        writer.add_message(project, "person", str(wish["text"]), person)
        model = model_of(writer, project, wish)
        count, room = (lambda turns: sum(estimate(text) for _, text in turns)), LIMIT
        if not is_remote(model):
            count, room = reads(*await asyncio.to_thread(self._reading, self._speaking(model)))
        turns = chat_turns(kept, latest_scene(writer, kept), writer.messages(project), entry, count, room)
        yield 1, "started", {"model": model, "parts": [{"name": role, "text": text} for role, text in turns]}
        messages = [{"role": role, "content": text} for role, text in turns]
        said, number = "", 1
        settings = {"temperature": 0.7}
        tokens = self.complete(
            messages, model=model, max_tokens=ANSWER, seed=wish.get("seed"), sampling=settings, whole=True, user=user
        )
        try:
            async for _, token in tokens:
                if isinstance(token, str):
                    continue
                said, number = said + token.text, number + 1
                yield number, "text", {"candidate": 0, "text": token.text}
        finally:
            if said.strip():
                writer.add_message(project, "character" if entry else "storyteller", said.strip(), person)
        yield number + 1, "done", {}

    async def complete(
        self,
        prompt: str | Sequence[Mapping[str, str]],
        *,
        model: str = "default",
        max_tokens: int = 256,
        stop: Sequence[str] = (),
        seed: int | None = None,
        sampling: Mapping[str, Any] | None = None,
        top_logprobs: int = 0,
        n: int = 1,
        whole: bool = False,
        user: str = "",
    ) -> AsyncIterator[tuple[int, Token | FinishReason]]:
        """(candidate, token) as they come, for a text or for the messages of a conversation; the last is why it ended.

        An answer is cut after `max_tokens`, or with `whole` after the last whole sentence that they hold.
        """
        from storyteller.generate.sampling import SamplingSettings
        from storyteller.studio.telling import talking

        refuse([prompt] if isinstance(prompt, str) else [one["content"] for one in prompt])
        first = secrets.randbelow(1 << 30) if seed is None else seed
        options: dict[str, Any] = {
            "seeds": [first + number for number in range(n)],
            "settings": SamplingSettings(**(sampling or {})),
            "max_tokens": max_tokens,
            "stop": stop,
            "alternatives": top_logprobs,
            "whole": whole,
        }

        def work(say: Say) -> None:
            def hear(candidate: int, told: Token | FinishReason) -> bool:
                return say("told", {"candidate": candidate, "told": told})

            if is_remote(model):
                with remote_model(self._store.writer(user), model) as server:
                    talking.complete_remote(server, prompt, hear, **options)
                return
            name = model if isinstance(prompt, str) else self._speaking(model)
            with self.tellers.turn(name, "chat") as loaded:
                talking.complete(loaded, prompt, hear, **options)

        async with aclosing(self._events(work, f"completion with {model}")) as events:
            heard = Heard()
            async for _, _, data in events:
                if not isinstance(data["told"], str):
                    heard.add(data["candidate"], data["told"].text)
                yield data["candidate"], data["told"]

    async def count(self, prompt: str | Sequence[Mapping[str, str]], model: str = "default") -> int:
        """The tokens of a prompt of `complete`; of a connected server's, an estimate."""
        from storyteller.studio.telling import talking
        from storyteller.studio.telling.remote import estimate

        if is_remote(model):
            return sum(map(estimate, [prompt] if isinstance(prompt, str) else [one["content"] for one in prompt]))
        tokenizer, _ = await asyncio.to_thread(
            self._reading, model if isinstance(prompt, str) else self._speaking(model)
        )
        template, request = talking.renders(tokenizer, prompt)
        return len(template.prompt(request))

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
            generation.model = model = self._instructed(model)
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
                tell = remote.tell_remote_rewriting if rewrites else partial(remote.tell_remote, origin=origin)
                tell(server, ask, generation)
            return
        loaded = self.tellers.get(generation.model)
        try:
            if rewrites:
                local.tell_rewriting(loaded, ask, generation)
            else:
                loaded.members.begin(ask.project, ask.members or members_of(writer, ask.project, generation.model))
                local.tell(loaded, ask, generation, origin)
                if ask.n == 1 and ask.wish.mode in ("continue", "begin") and not generation.stopped:
                    line = self.tellers.line(generation.model)
                    local.read_ahead(loaded, ask, generation.text(0), lambda: not line.awaited and not self._closing)
        except StorytellerError:
            raise
        except Exception:
            self.tellers.forget(generation.model)  # whatever state it is in now, the next request finds a new one
            raise

    def _heard(self, writer: Any, project: str, model: str, work: Callable[..., None]) -> AsyncIterator[Event]:
        """The events of a project's work with a model of this machine, which has its place in the line."""

        def in_turn(say: Say) -> None:
            with self.turn(model) as loaded:
                loaded.members.begin(project, members_of(writer, project, model))
                work(loaded.teller, say)

        return self._events(in_turn, f"planning with {model}")

    async def _events(self, work: Callable[[Say], None], name: str) -> AsyncGenerator[Event, None]:
        """What `work` says in a thread of its own, until it is done or nobody listens; its error is raised here."""
        log, gone, failed = EventLog(), threading.Event(), list[Exception]()

        def say(event: str, data: dict[str, Any]) -> bool:
            log.add(event, data)
            return not gone.is_set() and not self._closing

        def run() -> None:
            try:
                work(say)
            except Exception as error:  # it belongs to the one who listens
                failed.append(error)
            finally:
                log.close()

        self._thread(run, name)
        try:
            async for event in log.listen():
                yield event
        finally:
            gone.set()
        if failed:
            raise failed[0]

    def _reading(self, model: str) -> tuple[StoryTokenizer, int]:
        """A model's tokenizer and window, of one that is loaded or from its files."""
        loaded = self.tellers.peek(model)
        return (loaded.teller.tokenizer, loaded.teller.engine.context) if loaded else reading(model)

    def _speaking(self, model: str) -> str:
        """The model that a conversation is put to: one that follows instructions, or this one if there is none."""
        try:
            return self._instructed(model)
        except GenerationError:
            return model

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
