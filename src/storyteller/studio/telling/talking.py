"""Talking: chat with the storyteller or with a person of the story, and whatever other programs ask through `/v1`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from storyteller.corpus.story import Language
from storyteller.craft.safety import check
from storyteller.errors import GenerationError
from storyteller.generate.remote import Message, RemoteModel
from storyteller.generate.sampling import SamplingSettings
from storyteller.generate.stopping import FinishReason
from storyteller.generate.writing import Alternative, Renders, Token
from storyteller.studio.telling.local import Candidate, run
from storyteller.studio.telling.tellers import Loaded
from storyteller.tokens import StoryTokenizer
from storyteller.tokens.chat import Conversation
from storyteller.tokens.request import Request

__all__ = ["ANSWER", "chat_turns", "complete", "complete_remote", "latest_scene", "reads", "renders"]

Turns = list[tuple[str, str]]
Hear = Callable[[int, Token | FinishReason], bool]
"""Told of a candidate's token, and of why it ended; whether to go on."""

#: Of the scene that the writer works on, its last characters; and the lines of the chat that are remembered.
LATEST, REMEMBERED = 1500, 8

#: Tokens of an answer in the chat.
ANSWER = 300

#: Characters below which a part of what is told is left out rather than cut.
_LEAST = 80

_SAYS: dict[Language, dict[str, str]] = {
    "en": {
        "storyteller": "You are a storyteller who helps a writer with a story. Answer in a few sentences.",
        "character": "You are {name}, a person of a story, and you talk with its writer. Stay {name}, and say what {name} "
        "would say, in a few sentences.",
        "who": "Who {name} is: {text}", "idea": "The story: {text}", "memory": "Remember: {text}",
        "scene": "Where the story stands now:\n{text}",
    },
    "zh": {
        "storyteller": "你是一位讲故事的人，帮作者写故事。用几句话回答。",
        "character": "你是故事里的{name}，正在和作者说话。始终是{name}，用几句话说出{name}会说的话。",
        "who": "{name}是谁：{text}", "idea": "故事：{text}", "memory": "记住：{text}", "scene": "故事写到这里：\n{text}",
    },
}  # fmt: skip


def chat_turns(
    project: Mapping[str, Any],
    scene: str,
    messages: Sequence[Mapping[str, Any]],
    character: Mapping[str, Any] | None,
    count: Callable[[Turns], int],
    room: int,
) -> Turns:
    """The conversation of a chat, in at most `room` tokens: who speaks and what about, what was said lately, the writer's line.

    What does not fit is left out: the oldest lines first, then the scene's beginning, then the end of memory, idea and
    person. A line that takes more than half of the room is cut in its middle. `count` counts the tokens of turns.
    """
    language: Language = "zh" if project["language"] == "zh" else "en"
    words = _SAYS[language]
    name = character["name"] if character else ""
    about = {key: str(project[key]).strip()[:LATEST] for key in ("idea", "memory")}
    about = {"who": character["text"].strip() if character else "", **about, "scene": scene.strip()[-LATEST:]}
    mine = [one for one in messages if one["character"] == (character["id"] if character else None)][-REMEMBERED:]
    # What was kept before it was refused: with it in sight nothing could be asked any more.
    mine = [one for one in mine if not check(str(one["text"]), setting="off")]
    said = [
        ("user" if one["role"] == "person" else "assistant", _cut(str(one["text"]), count, room // 2)) for one in mine
    ]

    def turns() -> Turns:
        told = [words["character" if character else "storyteller"].format(name=name)]
        told += [words[key].format(name=name, text=text) for key, text in about.items() if text]
        return [("system", "\n".join(told)), *said]

    while count(turns()) > room:
        longest = next((key for key in ("scene", "memory", "idea", "who") if about[key]), None)
        if len(said) > 1:
            del said[0]
        elif longest is not None:
            text = about[longest]
            keep = 3 * len(text) // 4 if len(text) > _LEAST else 0
            about[longest] = text[len(text) - keep :] if longest == "scene" else text[:keep]
        else:
            break
    return turns()


def _cut(text: str, count: Callable[[Turns], int], most: int) -> str:
    """A line of at most `most` tokens: its beginning and its end, for a question stands in either."""
    while (size := count([("user", text)])) > most and len(text) > _LEAST:
        half = int(0.9 * most / size * len(text)) // 2
        text = f"{text[:half].rstrip()} … {text[len(text) - half :].lstrip()}"
    return text


def reads(tokenizer: StoryTokenizer, window: int) -> tuple[Callable[[Turns], int], int]:
    """How a model of this machine counts turns, and the tokens that it has for them."""

    def count(turns: Turns) -> int:
        template, request = renders(tokenizer, [{"role": role, "content": text} for role, text in turns])
        return len(template.prompt(request))

    return count, max(window - ANSWER, window // 2)


def latest_scene(writer: Any, project: Mapping[str, Any]) -> str:
    """The text of the last scene of a project that has one."""
    for item in reversed(project["tree"]):
        if item["kind"] == "scene" and item["words"]:
            return str(writer.scene(item["id"])["text"])
    return ""


def renders(tokenizer: StoryTokenizer, prompt: str | Sequence[Mapping[str, str]]) -> tuple[Renders, Request]:
    """What renders a text, or the messages of a conversation, as they are; and the request that goes with it."""
    if isinstance(prompt, str):
        return _Plain(tokenizer, prompt), Request("passage", before=prompt)
    turns = [(one["role"], one["content"]) for one in prompt]
    if tokenizer.id_of("<|im_start|>") is not None:
        return Conversation(tokenizer, turns), Request("passage")
    lines = "\n\n".join(f"{role}: {text}" for role, text in turns)
    return _Plain(tokenizer, f"{lines}\n\nassistant:"), Request("passage")


def complete(
    loaded: Loaded,
    prompt: str | Sequence[Mapping[str, str]],
    hear: Hear,
    *,
    seeds: Sequence[int],
    settings: SamplingSettings,
    max_tokens: int,
    stop: Sequence[str] = (),
    alternatives: int = 0,
    whole: bool = False,
) -> None:
    """Go on with a text or a conversation, a candidate for each seed, until the model ends it or `hear` says so.

    An answer has all of `max_tokens` if the model does not end it, or with `whole` as many whole sentences as they hold.
    """
    teller = loaded.teller
    template, request = renders(teller.tokenizer, prompt)
    size, window = len(template.prompt(request)), teller.engine.context
    if size >= window:
        raise GenerationError(
            f"the prompt is {size} tokens long, and {teller.name} reads {window} at once. Shorten it."
        )
    language: Language = "en" if "en" in teller.languages else "zh"
    request = Request(request.task, language, before=request.before)
    candidates = [
        Candidate(
            number,
            teller.write(
                request,
                seed=seed,
                settings=settings,
                alternatives=alternatives,
                max_tokens=min(max_tokens, window - size),
                template=template,
                exact=not whole,
            ),
        )
        for number, seed in enumerate(seeds)
    ]
    ends = {candidate.number: _Until(stop) for candidate in candidates}
    alive = True

    def heard(candidate: Candidate) -> None:
        nonlocal alive
        until = ends[candidate.number]
        for token in candidate.writing.take():
            for shown in until.feed(token):
                alive = hear(candidate.number, shown) and alive
        if until.over:
            candidate.writing.wanted, candidate.writing.finish_reason = None, "stop"
        if candidate.writing.wanted is None:
            for told in (*until.end(), candidate.writing.finish_reason):
                alive = hear(candidate.number, told) and alive

    run(loaded, candidates, lambda *_: alive, heard)


def complete_remote(
    server: RemoteModel,
    prompt: str | Sequence[Mapping[str, str]],
    hear: Hear,
    *,
    seeds: Sequence[int],
    settings: SamplingSettings,
    max_tokens: int,
    stop: Sequence[str] = (),
    alternatives: int = 0,
    whole: bool = False,
) -> None:
    """The same with a connected server, one candidate after another; where its answer ends is the server's choice."""
    said = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    messages: list[Any] = [Message(**one) for one in said]  # type: ignore[typeddict-item]
    for number, seed in enumerate(seeds):
        pieces = server.stream(
            messages,
            temperature=settings.temperature,
            top_p=settings.top_p,
            max_tokens=max_tokens,
            seed=seed,
            stop=stop,
            top_logprobs=alternatives or None,
        )
        finish = ""
        for piece in pieces:
            finish = piece.finish or finish
            others = tuple(Alternative(text, -1, chance) for text, chance in piece.alternatives)
            if piece.text and not hear(number, Token(piece.text, -1, piece.logprob or 0.0, others)):
                return
        if not hear(number, "length" if finish == "length" else "stop"):
            return


class _Plain:
    """A text as it is."""

    def __init__(self, tokenizer: StoryTokenizer, text: str) -> None:
        self.tokenizer, self._text = tokenizer, text

    def prompt(self, request: Request) -> list[int]:
        """The ids of the text, after the model's mark of a beginning."""
        bos = self.tokenizer.bos_id
        # ChatML's mark of a turn is no beginning of a plain text.
        first = [] if bos is None or bos == self.tokenizer.id_of("<|im_start|>") else [bos]
        return [*first, *self.tokenizer.encode(self._text)] or [self.tokenizer.pad_id]


class _Until:
    """Holds back what may be the beginning of a text at which the answer ends."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held: list[Token] = []
        self.over = False

    def feed(self, token: Token) -> list[Token]:
        """The tokens that may be shown now."""
        if self.over:
            return []
        self._held.append(token)
        text = "".join(one.text for one in self._held)
        found = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if found:
            self.over = True
            return self._cut(min(found))
        most = max((len(stop) for stop in self._stops), default=0)
        if any(text.endswith(stop[:size]) for stop in self._stops for size in range(1, len(stop))):
            free = 0
            while free < len(self._held) - 1 and len(text) - len(self._held[free].text) >= most:
                text = text[len(self._held[free].text) :]
                free += 1
            shown, self._held = self._held[:free], self._held[free:]
            return shown
        return self.end()

    def end(self) -> list[Token]:
        """What was held back."""
        shown, self._held = self._held, []
        return shown

    def _cut(self, place: int) -> list[Token]:
        shown, self._held, room = self._held, [], place
        kept: list[Token] = []
        for token in shown:
            if room <= 0:
                break
            kept.append(Token(token.text[:room], token.id, token.logprob, token.alternatives))
            room -= len(token.text)
        return kept
