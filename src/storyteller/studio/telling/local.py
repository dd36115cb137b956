"""Writing with a model of this machine: one prompt, read once, and several candidates side by side."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from storyteller.corpus.language import count_words, ends_sentence
from storyteller.corpus.story import Form, Language
from storyteller.craft import rewriting
from storyteller.craft.context import Context, Part, Wish, build_context
from storyteller.craft.shown import Shown
from storyteller.errors import GenerationError
from storyteller.generate.constraint import Constraint
from storyteller.generate.storyteller import Storyteller
from storyteller.generate.writing import Alternative, Renders, Token, Writing
from storyteller.studio.telling.asking import Ask
from storyteller.studio.telling.generation import Generation
from storyteller.studio.telling.rows import Read
from storyteller.studio.telling.tellers import Loaded
from storyteller.tokens import StoryTokenizer
from storyteller.tokens.chat import Conversation
from storyteller.tokens.request import Character, Request

__all__ = [
    "ALTERNATIVES",
    "Candidate",
    "context_record",
    "draw_seeds",
    "read_ahead",
    "run",
    "see",
    "see_rewriting",
    "tell",
    "tell_rewriting",
    "token_record",
]

#: Likely tokens that are kept beside each.
ALTERNATIVES = 8

#: Rewritings that are made for one that is shown.
TRIES = 3

#: Positions that are read ahead at once; whoever comes meanwhile waits for that many.
AHEAD = 16

#: Tokens of a ghost's sentence at most.
GHOST = 40


@dataclass
class Unbounded:
    """The model's template without the line for the length: so a prompt stays the same whatever length is wished."""

    template: Renders

    def __post_init__(self) -> None:
        self.tokenizer = self.template.tokenizer

    def prompt(self, request: Request) -> list[int]:
        """The ids before the story."""
        return self.template.prompt(dataclasses.replace(request, words=None))


@dataclass(frozen=True)
class OneSentence:
    """The rest of a sentence, or the next one: what ghost text is."""

    language: Language
    least: int = 3

    def banned(self, story: str, written: str) -> Collection[int]:
        """Nothing."""
        return ()

    def over(self, story: str, written: str) -> bool:
        """Whether a sentence, or a paragraph, is over."""
        if "\n" in written.strip(" "):
            return bool(written.strip())
        return ends_sentence(written) and count_words(written, self.language) >= self.least


@dataclass
class Candidate:
    """A text in the making."""

    number: int
    writing: Writing


def see(tokenizer: StoryTokenizer, window: int, ask: Ask) -> Context:
    """What the model sees, in a window of which a quarter, or half for much text, is left for what it writes."""
    encode = tokenizer.encode
    room = window // 4 if 2 * ask.words < window // 4 else window // 2
    return build_context(ask.view, ask.wish, lambda text: len(encode(text)), window - room)


def see_rewriting(tokenizer: StoryTokenizer, window: int, ask: Ask) -> Context:
    """What a model sees that is to rewrite the selection."""
    turns = _turns(ask)
    names = {"system": "task", "user": "selection"}
    parts = [Part(names[role], text, len(tokenizer.encode(text))) for role, text in turns]
    request = Request("passage", ask.view.language, ask.view.form)
    return Context(request, parts, len(Conversation(tokenizer, turns).prompt(request)), window)


def tell(loaded: Loaded, ask: Ask, generation: Generation, origin: Mapping[str, Any] | None = None) -> None:
    """Write the candidates of an ask; `origin` is the record of the generation that it goes on from.

    Raises `GenerationError` for what the model cannot do.
    """
    teller, wish = loaded.teller, ask.wish
    _check_language(teller, ask.view.language)
    context = see(teller.tokenizer, teller.engine.context, ask)
    request, begun = context.request, list[dict[str, Any]]()
    if origin is not None and ask.origin is not None:
        request, begun = _again(origin), ask.origin.begun(origin, ask.view.form, ask.view.language)
    ghost = wish.mode == "ghost"
    template: Renders = teller.template if request.task == "write" else Unbounded(teller.template)
    request = dataclasses.replace(request, words=None if ghost else ask.words)
    seeds = draw_seeds(ask)
    record = context_record(context) | {"request": dataclasses.asdict(dataclasses.replace(request, words=None))}
    settings = {"sampling": dataclasses.asdict(ask.settings), "words": ask.words, "n": ask.n}
    generation.started(seeds, record, settings)
    rule: Constraint | None = OneSentence(ask.view.language) if ghost else None
    writings = [
        teller.write(
            request,
            seed=seed,
            settings=ask.settings,
            alternatives=0 if ghost else ALTERNATIVES,
            max_tokens=GHOST if ghost else None,
            constraint=rule,
            template=template,
            begun=[_token(one, loaded.members.names) for one in begun],
        )
        for seed in seeds
    ]
    _write(loaded, writings, generation, ask.view.form, begun)


def tell_rewriting(loaded: Loaded, ask: Ask, generation: Generation) -> None:
    """Rewrite the selection: more often than is shown, so that what is no rewriting can be left out."""
    teller, wish, view = loaded.teller, ask.wish, ask.view
    selection, action = _selection(ask), _action(ask)
    if no := rewriting.refusal(action, wish.value, view.language, teller.languages):
        raise GenerationError(f"{no} Connect a server with a larger model, or choose another one.")
    conversation = Conversation(teller.tokenizer, _turns(ask))
    context = see_rewriting(teller.tokenizer, teller.engine.context, ask)
    request = dataclasses.replace(
        context.request, language=rewriting.target_language(action, wish.value, view.language)
    )
    size = len(teller.tokenizer.encode(selection))
    most = (4 if action in ("expand", "describe") else 2) * size + 48
    if context.tokens + most > teller.engine.context:
        raise GenerationError(f"the selection is {size} tokens long, too long to be rewritten at once. Select less.")
    settings = dataclasses.replace(ask.settings, temperature=min(ask.settings.temperature, 0.6))
    seeds = draw_seeds(dataclasses.replace(ask, n=max(ask.n, TRIES)))
    generation.started(seeds[: ask.n], context_record(context), {"sampling": dataclasses.asdict(settings)})
    candidates = [
        Candidate(number, teller.write(request, seed=seed, settings=settings, max_tokens=most, template=conversation))
        for number, seed in enumerate(seeds)
    ]
    if run(loaded, candidates, generation.progress, lambda candidate: candidate.writing.take() and None):
        answers = [candidate.writing.told().text for candidate in candidates]
        checked = [rewriting.check(answer, selection, action, view.language, wish.value) for answer in answers]
        _show_best(checked, ask.n, generation)


def read_ahead(loaded: Loaded, ask: Ask, text: str, go_on: Callable[[], bool]) -> None:
    """Read what a next continuation would, if the writer keeps this text, as long as nobody waits for the model."""
    view, at = ask.view, ask.wish.at or 0
    told = dataclasses.replace(view, text=view.text[:at] + text)
    wish = Wish(at=len(told.text), instruction=ask.wish.instruction)
    teller = loaded.teller
    context = see(teller.tokenizer, teller.engine.context, dataclasses.replace(ask, view=told, wish=wish))
    prompt = Unbounded(teller.template).prompt(context.request)
    if go_on():
        loaded.rows.feed({loaded.rows.take(prompt, 1)[0]: prompt}, lambda *_: go_on(), AHEAD)


def token_record(token: Token, names: Sequence[str] = ()) -> dict[str, Any]:
    """A token as it is kept and sent, without its text."""

    def members(shares: Sequence[float]) -> dict[str, Any]:
        return {"members": {n: round(s, 3) for n, s in zip(names, shares, strict=True)}} if names and shares else {}

    others = [
        {"text": other.text, "id": other.id, "p": round(other.probability, 4), **members(other.members)}
        for other in token.alternatives
    ]
    return {"id": token.id, "logprob": round(token.logprob, 4), "alternatives": others, **members(token.members)}


def context_record(context: Context) -> dict[str, Any]:
    """A context as it is kept and sent; of what was left out, the beginning."""
    parts = [
        {**dataclasses.asdict(part), "text": part.text[:400] if part.dropped else part.text} for part in context.parts
    ]
    return {"parts": parts, "tokens": context.tokens, "limit": context.limit}


def draw_seeds(ask: Ask) -> list[int]:
    """A seed for each candidate, from the one that was asked for on."""
    first = secrets.randbelow(1 << 30) if ask.seed is None else ask.seed
    return [first + number for number in range(ask.n)]


def _check_language(teller: Storyteller, language: Language) -> None:
    if language not in teller.languages:
        other = "gemma3-270m" if language == "zh" else "default"
        names = {"en": "English", "zh": "Chinese"}
        raise GenerationError(
            f"the model {teller.name} writes no {names[language]}. Choose another one, such as {other}, or connect a server."
        )


def _again(origin: Mapping[str, Any]) -> Request:
    """The request of an earlier generation, as it was."""
    kept = origin["context"].get("request")
    if kept is None:
        raise GenerationError("what the model saw then was not kept. Write it anew instead.")
    people = tuple(Character(**one) for one in kept["characters"])
    return Request(**{**kept, "characters": people, "keywords": tuple(kept["keywords"])})


def _token(record: Mapping[str, Any], names: Sequence[str]) -> Token:
    """A token from its record; `names` are the model's members."""
    others, shares = _alternatives(record, names), _shares(record, names)
    return Token(record["text"], record["id"], record["logprob"], others, shares)


def _alternatives(token: Mapping[str, Any], names: Sequence[str]) -> tuple[Alternative, ...]:
    return tuple(Alternative(one["text"], one["id"], one["p"], _shares(one, names)) for one in token["alternatives"])


def _shares(record: Mapping[str, Any], names: Sequence[str]) -> tuple[float, ...]:
    """Who wanted a token, from its record; nothing where other members wrote it than these."""
    kept = record.get("members") or {}
    return tuple(kept[name] for name in names) if kept.keys() == set(names) else ()


def _write(
    loaded: Loaded,
    writings: Sequence[Writing],
    generation: Generation,
    form: Form,
    begun: Sequence[Mapping[str, Any]],
) -> None:
    """Write side by side and say every token as it comes, after those that are said again."""
    names = loaded.members.names
    before = "".join(one["text"] for one in begun)
    shown = [Shown(form, writing.request.language, before) for writing in writings]
    candidates = [Candidate(number, writing) for number, writing in enumerate(writings)]
    for candidate in candidates if begun else ():
        candidate.writing.take()
        for one in begun:
            generation.say(candidate.number, one["text"], one)

    def heard(candidate: Candidate) -> None:
        number, mine = candidate.number, shown[candidate.number]
        for token in candidate.writing.take():
            generation.say(number, mine.feed(token.text), token_record(token, names) | {"raw": token.text})
        if candidate.writing.wanted is None:
            if rest := mine.end():
                generation.say(number, rest)
            told = candidate.writing.told()
            more = {"doubt": told.doubt, "trimmed": mine.trimmed.strip(), "left_out": list(loaded.members.dropped)}
            generation.end(number, told.finish_reason, more)

    if run(loaded, candidates, generation.progress, heard):
        generation.done()


def run(loaded: Loaded, candidates: Sequence[Candidate], go_on: Read, heard: Callable[[Candidate], object]) -> bool:
    """Bring candidates with one prompt to their end, as many at once as there are rows; whether nobody stopped it.

    `go_on` is asked before every pass, `heard` is told of every candidate that has got a token.
    """
    waiting = [candidate for candidate in candidates if candidate.writing.wanted is not None]
    if not waiting:
        return True
    prompt = waiting[0].writing.wanted or ()
    rows = loaded.rows.take(prompt, len(waiting))
    logits = loaded.rows.feed({rows[0]: prompt}, go_on)
    if logits is None:
        return False
    loaded.rows.share(rows)
    active = {row: waiting.pop(0) for row in rows}
    for candidate in active.values():
        candidate.writing.read(logits[0])
        heard(candidate)
    while True:
        for row in rows:
            if active[row].writing.wanted is None and waiting:
                active[row] = waiting.pop(0)
        wanted = {row: ids for row in rows if (ids := active[row].writing.wanted) is not None}
        if not wanted:
            return go_on(0, 0)
        found = loaded.rows.feed(wanted, go_on)
        if found is None:
            return False
        for row, row_logits in zip(wanted, found, strict=True):
            active[row].writing.read(row_logits)
            heard(active[row])


def _selection(ask: Ask) -> str:
    return ask.view.text[ask.wish.at or 0 : ask.wish.end]


def _action(ask: Ask) -> rewriting.Action:
    return cast(rewriting.Action, ask.wish.action)


def _turns(ask: Ask) -> list[tuple[str, str]]:
    wish = ask.wish
    return rewriting.turns(_action(ask), _selection(ask), ask.view.language, wish.value, wish.instruction)


def _show_best(checked: Sequence[rewriting.Checked], count: int, generation: Generation) -> None:
    """Say the best answers, with what is wrong with them."""
    chosen = rewriting.best(checked, count)
    if not chosen:
        raise GenerationError("the model gave no answer. Try again, select less, or connect a larger model.")
    for number, one in enumerate(chosen):
        generation.say(number, one.text)
        scores = {"likeness": round(one.likeness, 3), "score": round(one.score, 3)}
        generation.end(number, "stop", {"doubt": ", ".join(one.faults), "scores": scores})
    generation.done()
