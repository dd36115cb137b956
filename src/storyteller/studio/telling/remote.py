"""Writing with a model on a server that the writer connected: candidates side by side, each a stream of its own."""

from __future__ import annotations

import dataclasses
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from storyteller.corpus.language import count_words
from storyteller.corpus.story import Language
from storyteller.craft import rewriting
from storyteller.craft.context import Context, Part, build_context
from storyteller.craft.shown import Shown
from storyteller.errors import GenerationError
from storyteller.generate.remote import Message, Piece, RemoteModel
from storyteller.studio.telling.asking import Ask
from storyteller.studio.telling.generation import Generation
from storyteller.studio.telling.local import ALTERNATIVES, context_record, draw_seeds
from storyteller.tokens.request import Request
from storyteller.tokens.wording import request_text

__all__ = ["estimate", "see_remote", "see_remote_rewriting", "tell_remote", "tell_remote_rewriting"]

#: Tokens that a server's model is given to read; small models have 4,096 positions, and their window is not told.
LIMIT = 3000

_SYSTEM: dict[Language, str] = {
    "en": "You are a storyteller. Write the text that is asked for and nothing else: no heading, no remark. When you "
    "continue a story, go on exactly where it stops, and repeat none of it.",
    "zh": "你是一位讲故事的人。只写所要的文字，不加标题，不加说明。续写时从停下的地方接着写，不重复已有的文字。",
}


def see_remote(ask: Ask) -> Context:
    """What a server's model sees; its tokens are estimated, for its tokenizer is not known."""
    return build_context(ask.view, ask.wish, estimate, LIMIT)


def see_remote_rewriting(ask: Ask) -> Context:
    """What a server's model sees that is to rewrite the selection."""
    parts = [Part(role, text, estimate(text)) for role, text in _turns(ask)]
    request = Request("passage", ask.view.language, ask.view.form)
    return Context(request, parts, sum(part.tokens for part in parts), LIMIT)


def tell_remote(model: RemoteModel, ask: Ask, generation: Generation, origin: Mapping[str, Any] | None = None) -> None:
    """Write the candidates of an ask; `origin` is the record of the generation that it goes on from.

    Raises `GenerationError` when the server cannot.
    """
    said = [] if origin is None else _begun(origin, ask)
    before = "".join(one["text"] for one in said)
    view, context = ask.view, see_remote(_after(ask, before))
    request = dataclasses.replace(context.request, words=ask.words)
    system, user = _SYSTEM[view.language], request_text(request)
    messages: list[Message] = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    told = Part("system", system, estimate(system))
    record = context_record(
        dataclasses.replace(context, parts=[told, *context.parts], tokens=context.tokens + told.tokens)
    )
    seeds = draw_seeds(ask)
    generation.started(seeds, record, {"temperature": ask.settings.temperature, "words": ask.words, "n": ask.n})
    shown = [Shown(view.form, view.language, before) for _ in seeds]
    for number in range(len(seeds)):
        for one in said:
            generation.say(number, one["text"], one)
    begun, finish = [False] * len(seeds), ["stop"] * len(seeds)
    for number, piece in _pieces(model, messages, ask, seeds, 4 * ask.words + 64, generation):
        if piece is None:
            if rest := shown[number].end():
                generation.say(number, rest)
            generation.end(number, finish[number], {"trimmed": shown[number].trimmed.strip()})
            continue
        text = piece.text
        if not begun[number] and text.strip():
            text, begun[number] = _joined(request.before or "", text), True
        finish[number] = piece.finish or finish[number]
        token = None
        if piece.logprob is not None:
            others = [{"text": other, "p": round(chance, 4)} for other, chance in piece.alternatives]
            token = {"logprob": round(piece.logprob, 4), "alternatives": others, "raw": text}
        if text and not generation.say(number, shown[number].feed(text), token) and generation.log.closed:
            return  # else only this candidate was refused, and the others go on
    if not generation.stopped:
        generation.done()


def tell_remote_rewriting(model: RemoteModel, ask: Ask, generation: Generation) -> None:
    """Rewrite the selection with a server's model."""
    wish, view = ask.wish, ask.view
    selection, action = view.text[wish.at or 0 : wish.end], cast(rewriting.Action, wish.action)
    messages = [cast(Message, {"role": role, "content": text}) for role, text in _turns(ask)]
    seeds = draw_seeds(ask)
    generation.started(
        seeds, context_record(see_remote_rewriting(ask)), {"temperature": ask.settings.temperature, "n": ask.n}
    )
    texts = [""] * len(seeds)
    for number, piece in _pieces(model, messages, ask, seeds, 6 * estimate(selection) + 256, generation):
        if piece is None:
            one = rewriting.check(texts[number], selection, action, view.language, wish.value)
            generation.say(number, one.text)
            generation.end(number, "stop", {"doubt": ", ".join(one.faults)})
        else:
            texts[number] += piece.text
    if not generation.stopped:
        generation.done()


def _begun(origin: Mapping[str, Any], ask: Ask) -> list[dict[str, Any]]:
    """The tokens of an earlier candidate up to the one that is chosen in another's place.

    A server takes no beginning of an answer from us, so it is told them as text that stands there already.
    """
    assert ask.origin is not None
    *kept, chosen = ask.origin.begun(origin, ask.view.form, ask.view.language)
    if not any(token["text"].strip() for token in kept):
        chosen["text"] = _joined(ask.view.text[: ask.wish.at], chosen["text"])
    return [*kept, chosen]


def _after(ask: Ask, told: str) -> Ask:
    """The same wish behind a text that is told already."""
    if not told:
        return ask
    text, at = ask.view.text, ask.wish.at or 0
    view = dataclasses.replace(ask.view, text=text[:at] + told + text[at:])
    end = None if ask.wish.end is None else ask.wish.end + len(told)
    mode = "continue" if ask.wish.mode == "begin" else ask.wish.mode
    wish = dataclasses.replace(ask.wish, mode=mode, at=at + len(told), end=end)
    return dataclasses.replace(ask, view=view, wish=wish)


def _turns(ask: Ask) -> list[tuple[str, str]]:
    wish = ask.wish
    selection = ask.view.text[wish.at or 0 : wish.end]
    return rewriting.turns(
        cast(rewriting.Action, wish.action), selection, ask.view.language, wish.value, wish.instruction
    )


def _pieces(
    model: RemoteModel, messages: Sequence[Message], ask: Ask, seeds: Sequence[int], most: int, generation: Generation
) -> Iterator[tuple[int, Piece | None]]:
    """(candidate, piece) as they come from all streams; None when a candidate is over.

    A stream is read in a thread of its own, so that a stop need not wait for a server that says nothing.
    """
    come: queue.Queue[tuple[int, Piece | BaseException | None]] = queue.Queue()
    over = threading.Event()

    def read(number: int, seed: int) -> None:
        try:
            stream = model.stream(
                messages,
                temperature=ask.settings.temperature,
                top_p=ask.settings.top_p,
                max_tokens=most,
                seed=seed,
                top_logprobs=ALTERNATIVES,
            )
            for piece in stream:
                come.put((number, piece))
                if over.is_set():
                    return
            come.put((number, None))
        except Exception as error:  # whatever happens in this thread is told in the other one
            come.put((number, error))

    for number, seed in enumerate(seeds):
        threading.Thread(target=read, args=(number, seed), daemon=True, name=f"stream-{number}").start()
    left = len(seeds)
    try:
        while left and generation.progress(0, 0):
            try:
                number, piece = come.get(timeout=0.1)
            except queue.Empty:
                continue
            if isinstance(piece, BaseException):
                raise piece if isinstance(piece, GenerationError) else GenerationError(str(piece)) from piece
            left -= piece is None
            yield number, piece
    finally:
        over.set()


def _joined(before: str, text: str) -> str:
    """A beginning as it follows what stands before it; a chat model leaves the space away."""
    if not before or before[-1].isspace() or before[-1] in "“「『（(":
        return text.lstrip()
    apart = before[-1] in ".!?,;:”\"'’" or before[-1].isalnum()
    return f" {text}" if apart and before[-1].isascii() and text[:1].isalnum() and text[0].isascii() else text


def estimate(text: str) -> int:
    """About how many tokens a text has: three characters of English, or two thirds of a 字, each."""
    words = count_words(text, "zh")
    return max(len(text) // 3, words + words // 2)
