"""One story being written: the loop from logits to tokens, with its end and its window."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus.language import count_words, split_sentences
from storyteller.corpus.story import Form, Language
from storyteller.errors import GenerationError
from storyteller.generate.constraint import Constraint
from storyteller.generate.doubt import doubt
from storyteller.generate.engine import Engine
from storyteller.generate.mixing import Mixed
from storyteller.generate.sampling import Sampler, blank_ids
from storyteller.generate.stopping import ByteDecoder, FinishReason, Length
from storyteller.tokens import StoryTokenizer
from storyteller.tokens.request import Request

__all__ = ["Alternative", "Renders", "Token", "Told", "Writing"]

#: Positions that must be left for the story when its prompt is in.
LEAST_ROOM = 64

#: Tokens of white space that a story may begin with; a small model now and then draws nothing else to the end.
MOST_BLANK = 2


@dataclass(frozen=True, slots=True)
class Alternative:
    """A token that could have stood in a place, with the model's probability for it; `members` as in `Token`."""

    text: str
    id: int
    probability: float
    members: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the story, of whole characters; `text` may be empty while a character is unfinished.

    `logprob` is the natural logarithm of the model's own probability. The forced opening is one token with the id -1.
    Of an ensemble, `members` tells who wanted it: a share for each member, in their order.
    """

    text: str
    id: int
    logprob: float
    alternatives: tuple[Alternative, ...] = ()
    members: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """A finished story; `words` counts words or 字.

    `finish_reason` is `stop` (the model's own end, or a sentence end near the wished length), `length` (cut at 130 %
    of it or at `max_tokens`, after the last whole sentence), `context` (the window is full and the task allows no
    other) or `cancelled`. `doubt` is set when the text does not look like a story, and says like what.
    """

    text: str
    words: int
    finish_reason: FinishReason
    model: str
    engine: str
    seed: int
    prompt: str
    form: Form
    language: Language
    title: str | None
    seconds: float
    tokens: int
    tokens_per_second: float
    doubt: str | None = None


class Renders(Protocol):
    """What turns a request into the ids before the story: the model's `Template`, or what stands in its place."""

    tokenizer: StoryTokenizer

    def prompt(self, request: Request) -> list[int]:
        """All ids before the first token of the story."""
        ...


class Writing:
    """The tokens of a story as they come, and `told()` at any time for what there is so far.

    Iterating over it reads through its own engine. Whoever writes many stories at once reads `wanted`, the ids whose
    logits the story needs next, and hands those to `read`; `wanted` is None when the story is over.
    """

    def __init__(
        self,
        engine: Engine,
        template: Renders,
        request: Request,
        sampler: Sampler,
        *,
        model: str,
        max_tokens: int,
        constraint: Constraint | None = None,
        begun: Sequence[Token] = (),
        exact: bool = False,
    ) -> None:
        """Prepare the prompt; raises `GenerationError` when it does not fit the engine's context.

        `begun` are tokens that the story begins with, as if they had been drawn. With `exact` the text is the model's
        own to the last of `max_tokens`: it ends at no sentence for their sake, and is not fitted to the story so far.
        """
        self._begun = begun
        self._engine, self._template, self._sampler, self._constraint = engine, template, sampler, constraint
        self._model, self._tokens, self._exact = model, max_tokens, exact
        self.request = request
        self.seed = sampler.seed
        self.finish_reason: FinishReason = "cancelled"
        self.seconds = 0.0
        self._waiting: deque[Token] = deque()  # tokens that may be shown and were not asked for yet
        self._shown: list[str] = []
        self._count = 0
        self._prompt = self._first_prompt()
        self._steps = self._write()
        self.wanted: Sequence[int] | None = next(self._steps)

    @property
    def longest(self) -> int:
        """The positions that the story can take in an engine's cache, and some for what the bound leaves uncounted.

        Those are the tokens of an unfinished character, and white space at the beginning.
        """
        return min(self._engine.context, len(self._prompt) + self._tokens + LEAST_ROOM)

    def __iter__(self) -> Iterator[Token]:
        return self

    def __next__(self) -> Token:
        started = time.perf_counter()
        try:
            while not self._waiting and self.wanted is not None:
                self.read(self._engine.feed(self.wanted))
        finally:
            self.seconds += time.perf_counter() - started
        if not self._waiting:
            raise StopIteration
        token = self._waiting.popleft()
        self._shown.append(token.text)
        self._count += token.id >= 0
        return token

    def take(self) -> list[Token]:
        """The tokens that may be shown and were not yet; reads nothing."""
        tokens = list(self._waiting)
        self._waiting.clear()
        self._shown += [token.text for token in tokens]
        self._count += sum(token.id >= 0 for token in tokens)
        return tokens

    def read(self, logits: NDArray[np.float32]) -> None:
        """Go on by one token with the logits `[vocabulary]` of the id that follows `wanted`."""
        try:
            self.wanted = self._steps.send(logits)
        except StopIteration:
            self.wanted = None

    def told(self) -> Told:
        """The story so far; `cancelled` while it is unfinished."""
        request = self.request
        text = "".join(self._shown).rstrip()
        return Told(
            text=text,
            words=count_words(text, request.language),
            finish_reason=self.finish_reason,
            model=self._model,
            engine=self._engine.name,
            seed=self.seed,
            prompt=request.about or "",
            form=request.form,
            language=request.language,
            title=request.title,
            seconds=round(self.seconds, 3),
            tokens=self._count,
            tokens_per_second=round(self._count / self.seconds, 1) if self.seconds else 0.0,
            doubt=None if self.finish_reason == "cancelled" else doubt(text, request.form),
        )

    def _write(self) -> Generator[Sequence[int], NDArray[np.float32], None]:
        """Yield the ids whose logits come next and be sent them; what may be shown goes to `_waiting`.

        Near the end whole sentences are held back until they are complete.
        """
        request, stops, show = self.request, frozenset(self._template.tokenizer.stop_ids), self._waiting.extend
        length = Length(request.language, request.words, self._tokens, self._exact)
        story = request.before or ""
        if request.opening:
            story = request.opening.rstrip()
            show([Token(story, -1, 0.0)])
            length.feed(story, 0)
        rules, begun = self._constraint, len(story)
        ids, decoder = list(self._prompt), ByteDecoder()
        for token in self._begun:
            ids.append(token.id)
            decoder.feed(self._template.tokenizer.token_bytes(token.id))
            story += token.text
            length.feed(token.text)
        show(self._begun)
        held: list[Token] = []
        unit: list[Token] = []  # tokens of one unfinished character
        raw = self._exact and request.before is not None  # a text to go on with, its white space the model's own
        joins = not self._begun and not raw  # the next text has to be joined to what was read as the story so far
        empty, first = not self._begun, len(ids)  # nothing but white space is written yet
        while True:
            if len(ids) >= self._engine.context:
                window = self._window(story) if request.task in ("write", "continue") else None
                if window is None:
                    self.finish_reason = "context"
                    return
                ids, joins = window, True
            logits = yield ids
            banned = stops if empty or length.too_short_to_end else frozenset[int]()
            if empty and not raw and len(ids) - first >= MOST_BLANK:
                banned = banned.union(blank_ids(self._template.tokenizer))
            if rules is not None:
                banned = banned.union(rules.banned(story, story[begun:]))
            draw = self._sampler.draw(logits, ids, banned)
            if draw.id in stops:
                self.finish_reason = "stop"
                show(held)
                return
            ids.append(draw.id)
            text = decoder.feed(self._template.tokenizer.token_bytes(draw.id))
            if joins:
                text = _joined(story, text)
            unit.append(
                Token(text, draw.id, draw.logprob, self._named(draw.alternatives, logits), _wanted(logits, draw.id))
            )
            if not text:
                if self._exact and length.fed + len(unit) >= self._tokens:
                    self.finish_reason = "length"
                    show(unit)
                    return
                continue
            joins = False
            if length.sentence_ended(text):
                show(held)
                held = []
                if length.may_end(text):
                    self.finish_reason = "stop"
                    return
            length.feed(text, len(unit))
            story += text
            empty = empty and not text.strip()
            held += unit
            unit = []
            if rules is not None and rules.over(story, story[begun:]):
                self.finish_reason = "stop"
                show(held)
                return
            if not length.holds_sentences:
                show(held)
                held = []
            if length.exceeded:
                self.finish_reason = "length"
                return

    def _first_prompt(self) -> list[int]:
        """The ids of the request; a story so far, or an opening, too long for the window is read from its last part on."""
        request, context = self.request, self._engine.context
        ids = self._template.prompt(request)
        if len(ids) + LEAST_ROOM <= context:
            return ids
        story = {"write": request.opening, "continue": request.before}.get(request.task)
        window = self._window(story) if story else None
        if window is None:
            raise GenerationError(
                f"the request is {len(ids)} tokens long and the model reads {context} at once, of which {LEAST_ROOM} "
                "are kept for the story. Shorten the prompt, or choose a model with a longer context."
            )
        return window

    def _window(self, story: str) -> list[int] | None:
        """A new prompt for the same conditions that continues the last part of `story`, if there is room for one.

        That part takes up to half of the context, and leaves at least a quarter free.
        """
        bare = dataclasses.replace(self.request, task="continue", before=None, opening=None)
        context = self._engine.context
        room = min(context // 2, context - context // 4 - len(self._template.prompt(bare)))
        if room < LEAST_ROOM:
            return None
        return self._template.prompt(dataclasses.replace(bare, before=self._tail(story, room)))

    def _tail(self, story: str, room: int) -> str:
        """The last whole sentences of `story` that fit into `room` ids, from a paragraph's start where there is one."""
        encode = self._template.tokenizer.encode
        sentences = split_sentences(story[-8 * room :], self.request.language)
        kept, left = len(sentences), room
        while kept > 0 and (left := left - len(encode(sentences[kept - 1]))) >= 0:
            kept -= 1
        chosen = sentences[max(kept, 1) :] if len(sentences) > 1 else []
        if not chosen:  # one endless sentence
            last = story[-2 * LEAST_ROOM :]
            while len(encode(last)) > room:
                last = last[len(last) // 2 :]
            return last
        starts = (i for i in range(1, len(chosen) // 2) if "\n" in chosen[i - 1])
        return "".join(chosen[next(starts, 0) :])

    def _named(
        self, alternatives: tuple[tuple[int, float], ...], logits: NDArray[np.float32]
    ) -> tuple[Alternative, ...]:
        spell = self._template.tokenizer.token_bytes
        return tuple(
            Alternative(spell(i).decode("utf-8", "replace"), i, p, _wanted(logits, i)) for i, p in alternatives
        )


def _wanted(logits: NDArray[np.float32], index: int) -> tuple[float, ...]:
    """Which members of an ensemble wanted the id; of one model, nothing."""
    return logits.shares(index) if isinstance(logits, Mixed) else ()


def _joined(story: str, text: str) -> str:
    """`text` as it follows `story`, whose white space at the end the model has not seen."""
    if not story or story[-1].isspace():
        return text.lstrip()
    return f" {text}" if story[-1] in ".!?,;" and text[:1].isalnum() else text
