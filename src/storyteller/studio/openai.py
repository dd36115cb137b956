"""`/v1`: our models for every program that speaks to OpenAI's, with the same bodies, answers, streams and errors.

What is not ours to give (tools, pictures, several of `best_of`) is refused rather than left out silently.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from storyteller.errors import StorytellerError
from storyteller.studio.answers import error_answer
from storyteller.studio.api.models import known_models
from storyteller.studio.catalogue import holds_model
from storyteller.studio.errors import NotFoundError, StudioError
from storyteller.studio.presets import DEFAULT_PRESET, preset_named
from storyteller.studio.studio import At, Kept, Studio, User

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["openai"])

_log = logging.getLogger(__name__)

_MOST_TOKENS = 1024

#: Seconds between two looks at whether a caller still waits.
_PATIENCE = 0.5

_EXAMPLE = [{"role": "user", "content": "Tell me of a lighthouse keeper who finds a talking seal."}]


class Asked(BaseModel):
    """What both kinds of requests may say; keys that only change what we do not have are let pass."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _leave_nulls_away(cls, values: Any) -> Any:
        """Clients send null for what they do not set; it is what OpenAI's own server takes for its default."""
        return (
            {key: value for key, value in values.items() if value is not None} if isinstance(values, dict) else values
        )

    model: str = Field("default", description="`default` is the model that `storyteller write` uses.")
    max_tokens: int | None = Field(None, ge=1, le=16384)
    temperature: float | None = Field(None, ge=0, le=5, description="Default: 1.0, measured better than less.")
    top_p: float | None = Field(None, gt=0, le=1)
    min_p: float | None = Field(None, ge=0, le=1, description="Beyond OpenAI's own; default 0.05.")
    top_k: int | None = Field(None, ge=1, description="Beyond OpenAI's own.")
    dry_multiplier: float | None = Field(
        None, ge=0, le=10, description="Beyond OpenAI's own; against loops, default 0.8."
    )
    n: int = Field(1, ge=1, le=8)
    seed: int | None = Field(None, ge=0, lt=1 << 53)
    stop: str | list[str] | None = Field(None, max_length=4000)
    stream: bool = False
    stream_options: dict[str, Any] | None = None

    @property
    def stops(self) -> list[str]:
        """The texts at which the answer ends."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [text for text in given if text]

    @property
    def sampling(self) -> dict[str, Any]:
        """The sampling settings, those of our default preset where nothing is said."""
        names = ("temperature", "top_p", "min_p", "top_k", "dry_multiplier")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        return preset_named(DEFAULT_PRESET).sampling | given

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the count of tokens."""
        return bool((self.stream_options or {}).get("include_usage"))


class ChatMessage(BaseModel):
    """A turn of the conversation."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[dict[str, Any]] | None = Field(description="A text, or parts of type text.")

    @property
    def text(self) -> str:
        """Its words; a part that is none is refused."""
        if not isinstance(self.content, list):
            return self.content or ""
        if any(part.get("type") != "text" for part in self.content):
            raise StudioError("these models read text alone. Leave pictures, sounds and files away.")
        return "".join(str(part.get("text", "")) for part in self.content)


class ChatRequest(Asked):
    """A conversation to go on with."""

    messages: list[ChatMessage] = Field(min_length=1, examples=[_EXAMPLE])
    max_completion_tokens: int | None = Field(None, ge=1, le=16384)
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=20)
    tools: list[Any] | None = Field(None, description="Refused: these models call no tools.")


class CompletionRequest(Asked):
    """A text to go on with."""

    prompt: str | list[str] = Field(examples=["The keeper of the lighthouse"])
    logprobs: int | None = Field(None, ge=0, le=20)
    echo: bool = False
    suffix: str | None = None


class ListedModel(BaseModel):
    """A model that can be asked for."""

    id: str = Field(examples=["default"])
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "storyteller"


class ModelList(BaseModel):
    """The models."""

    object: Literal["list"] = "list"
    data: list[ListedModel]


@dataclass(slots=True)
class _Choice:
    """An answer in the making."""

    tokens: list[Any] = field(default_factory=list)
    finish: str = "stop"

    def take(self, told: Any) -> bool:
        """Add a token, or note why the answer ended: `length` when there was no room for more; whether it was a token."""
        if isinstance(told, str):
            self.finish = "length" if told in ("length", "context") else "stop"
            return False
        self.tokens.append(told)
        return True

    @property
    def text(self) -> str:
        return "".join(token.text for token in self.tokens)


@dataclass(slots=True)
class _Work:
    """One request to the desk: what is asked, and how its answers look."""

    studio: Studio
    prompt: str | list[dict[str, str]]
    asked: Asked
    most: int
    chat: bool
    top: int | None
    user: str
    id: str = ""
    created: int = 0

    def __post_init__(self) -> None:
        self.id = f"{'chatcmpl' if self.chat else 'cmpl'}-{secrets.token_hex(12)}"
        self.created = int(time.time())

    def tokens(self) -> AsyncIterator[tuple[int, Any]]:
        """(candidate, token) as they come, for each candidate at last why it ended."""
        return self.studio.desk.complete(
            self.prompt,
            model=self.asked.model,
            max_tokens=self.most,
            stop=self.asked.stops,
            seed=self.asked.seed,
            sampling=self.asked.sampling,
            top_logprobs=self.top or 0,
            n=self.asked.n,
            user=self.user,
        )

    def head(self, kind: str) -> dict[str, Any]:
        """What stands in every answer and every piece of one."""
        return {"id": self.id, "object": kind, "created": self.created, "model": self.asked.model}

    def usage(self, prompt: int, choices: Sequence[_Choice]) -> dict[str, int]:
        """How many tokens were read and written."""
        written = sum(len(choice.tokens) for choice in choices)
        return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}


@router.get("/models", response_model=ModelList, name="openai_models")
def list_models(studio: At, kept: Kept, user: User) -> ModelList:
    """The models that are on this machine."""
    names = [model["name"] for model in known_models(studio, kept, user) if model["fetched"]]
    return ModelList(data=[ListedModel(id=name) for name in names])


@router.get("/models/{model:path}", response_model=ListedModel, name="openai_model")
def read_model(studio: At, kept: Kept, user: User, model: str) -> ListedModel:
    """One of them."""
    _find(studio, kept, user, model)
    return ListedModel(id=model)


@router.post("/chat/completions", response_model=None, name="openai_chat")
async def chat(
    request: Request, studio: At, kept: Kept, user: User, body: ChatRequest
) -> JSONResponse | StreamingResponse:
    """Go on with a conversation; with `stream` as events `data: {…}`, the last one `data: [DONE]`."""
    if body.tools:
        raise StudioError("these models call no tools. Leave `tools` away.")
    await to_thread.run_sync(_find, studio, kept, user, body.model)
    messages = [
        {"role": "system" if turn.role == "developer" else turn.role, "content": turn.text} for turn in body.messages
    ]
    most = body.max_completion_tokens or body.max_tokens or _MOST_TOKENS
    top = body.top_logprobs if body.logprobs else None
    return await _answer(request, _Work(studio, messages, body, most, True, top, user))


@router.post("/completions", response_model=None, name="openai_completions")
async def complete(
    request: Request, studio: At, kept: Kept, user: User, body: CompletionRequest
) -> JSONResponse | StreamingResponse:
    """Go on with a text; streams as `/v1/chat/completions` does."""
    if body.echo or body.suffix:
        raise StudioError("`echo` and `suffix` are not supported. Leave them away; the prompt is what you sent.")
    prompts = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    if len(prompts) != 1:
        raise StudioError("one prompt a request, please. Send the others in requests of their own.")
    await to_thread.run_sync(_find, studio, kept, user, body.model)
    most = body.max_tokens or 16  # OpenAI's own default here
    return await _answer(request, _Work(studio, prompts[0], body, most, False, body.logprobs, user))


def _find(studio: Studio, kept: Any, user: str, model: str) -> None:
    """Raise `NotFoundError` for a model that is not on the list; who runs the server may name a folder or file, too."""
    if studio.settings.local and holds_model(model):
        return
    if model not in {known["name"] for known in known_models(studio, kept, user)}:
        raise NotFoundError(f"there is no model {model!r}. GET /v1/models lists those there are.")


async def _answer(request: Request, work: _Work) -> JSONResponse | StreamingResponse:
    """The whole answer, or the stream once its first token is there, so that an error is still one of HTTP's."""
    tokens = work.tokens()
    if work.asked.stream:
        first = await anext(tokens, None)
        return StreamingResponse(_stream(work, first, tokens), media_type="text/event-stream")
    hearing = asyncio.create_task(_heard(tokens, work.asked.n))
    while not (await asyncio.wait({hearing}, timeout=_PATIENCE))[0]:
        if await request.is_disconnected():  # nobody waits for the model any more, and others may
            hearing.cancel()
            return JSONResponse(None, 499)
    choices = hearing.result()
    listed = [
        {"index": index, "finish_reason": choice.finish} | _whole(work, choice) for index, choice in enumerate(choices)
    ]
    kind = "chat.completion" if work.chat else "text_completion"
    return JSONResponse(work.head(kind) | {"choices": listed, "usage": work.usage(await _read(work), choices)})


async def _heard(tokens: AsyncIterator[tuple[int, Any]], count: int) -> list[_Choice]:
    """All that is said, until the end."""
    choices = [_Choice() for _ in range(count)]
    async with aclosing(tokens) as coming:  # type: ignore[type-var]
        async for number, told in coming:
            choices[number].take(told)
    return choices


async def _stream(work: _Work, first: Any, tokens: AsyncIterator[tuple[int, Any]]) -> AsyncIterator[bytes]:
    choices = [_Choice() for _ in range(work.asked.n)]
    kind = "chat.completion.chunk" if work.chat else "text_completion"

    def piece(index: int, text: str | None, token: Any = None, finish: str | None = None) -> bytes:
        choice: dict[str, Any] = {"index": index, "finish_reason": finish, "logprobs": _logprobs(work, [token])}
        if work.chat:
            choice["delta"] = {} if text is None else {"content": text}
        else:
            choice["text"] = text or ""
        return _data(work.head(kind) | {"choices": [choice]})

    if work.chat:
        for index in range(work.asked.n):
            opening = {"index": index, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
            yield _data(work.head(kind) | {"choices": [opening]})
    try:
        async with aclosing(tokens) as coming:  # type: ignore[type-var]
            if first is not None and choices[first[0]].take(first[1]):
                yield piece(first[0], first[1].text, first[1])
            async for index, told in coming:
                if choices[index].take(told):
                    yield piece(index, told.text, told)
    except Exception as error:
        if not isinstance(error, StorytellerError | OSError):
            _log.error("a stream broke off", exc_info=error)
        yield b"data: " + bytes(error_answer(error, "/v1/").body) + b"\n\n"
        return
    for index, choice in enumerate(choices):
        yield piece(index, None, finish=choice.finish)
    if work.asked.wants_usage:
        yield _data(work.head(kind) | {"choices": [], "usage": work.usage(await _read(work), choices)})
    yield b"data: [DONE]\n\n"


async def _read(work: _Work) -> int:
    """How many tokens the prompt had."""
    count: int = await work.studio.desk.count(work.prompt, model=work.asked.model)
    return count


def _whole(work: _Work, choice: _Choice) -> dict[str, Any]:
    told = {"logprobs": _logprobs(work, choice.tokens)}
    if work.chat:
        return told | {"message": {"role": "assistant", "content": choice.text, "refusal": None}}
    return told | {"text": choice.text}


def _logprobs(work: _Work, tokens: Sequence[Any]) -> dict[str, Any] | None:
    tokens = [token for token in tokens if token is not None]
    if work.top is None or not tokens:
        return None
    if work.chat:
        return {"content": [_logprob(token) for token in tokens], "refusal": None}
    offsets, place = [], 0
    for token in tokens:
        offsets.append(place)
        place += len(token.text)
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [
            {other.text: _logarithm(other.probability) for other in token.alternatives} for token in tokens
        ],
        "text_offset": offsets,
    }


def _logprob(token: Any) -> dict[str, Any]:
    others = [
        {"token": other.text, "logprob": _logarithm(other.probability), "bytes": list(other.text.encode())}
        for other in token.alternatives
    ]
    return {
        "token": token.text,
        "logprob": token.logprob,
        "bytes": list(token.text.encode()),
        "top_logprobs": others,
    }


def _logarithm(probability: float) -> float:
    return math.log(probability) if probability > 0 else -9999.0


def _data(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
