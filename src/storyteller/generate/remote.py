"""A model behind an OpenAI-compatible address: the only code that may leave this machine, and only when asked to.

Nothing is sent anywhere unless the user gives a URL. The key is read from the environment or an argument, lives in the
client's headers, and is in no message, record or representation.
"""

from __future__ import annotations

import json
import math
import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict
from urllib.parse import urlsplit

import httpx

from storyteller.errors import GenerationError

__all__ = ["KEY_VARIABLE", "Message", "Piece", "RemoteModel", "Reply"]

KEY_VARIABLE = "STORYTELLER_API_KEY"
"""Where the key is looked for; a key meant for somebody else, such as `OPENAI_API_KEY`, is sent only if it is named."""

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_TRY_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_LONGEST_WAIT = 60.0


class Message(TypedDict):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model said; `finish` is `stop`, `length` or what else the server calls it, tokens are 0 where not told."""

    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer as it comes; `finish` stands on the last one.

    Of a server that tells them, `logprob` is the natural logarithm of its probability, and `alternatives` what could have
    stood in its place with their probabilities.
    """

    text: str
    logprob: float | None = None
    alternatives: tuple[tuple[str, float], ...] = ()
    finish: str | None = None


class RemoteModel:
    """A chat model at `url` (which ends in `/v1` as a rule), called `model` there.

    `timeout` is in seconds for each wait on the server, `retries` how often a busy or failing server is asked again,
    after 1, 2, 4 ... seconds or as long as it says (`backoff` scales them). Threads may share one. Raises
    `GenerationError` for an address that is none, and for a key that would be sent unencrypted to another machine.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key: str | None = None,
        key_variable: str = KEY_VARIABLE,
        timeout: float = 120.0,
        retries: int = 4,
        backoff: float = 1.0,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise GenerationError(
                "the address of a model is http(s)://HOST[:PORT]/v1, without a name, key or question mark in it. "
                f"Give the key in the environment variable {key_variable}."
            )
        self.url, self.model, self.retries, self.backoff = url.rstrip("/"), model, retries, backoff
        self._where = f"into the environment variable {key_variable}" if api_key is None else "into the connection"
        key = os.environ.get(key_variable, "") if api_key is None else api_key
        local = parts.hostname in _LOOPBACK
        if key and parts.scheme == "http" and not local:
            raise GenerationError(
                f"{url} is not encrypted, so the key would be readable on the way. Use https, or unset {key_variable}."
            )
        self._client = httpx.Client(
            headers={"authorization": f"Bearer {key.strip()}"} if key.strip() else {},
            timeout=httpx.Timeout(timeout, connect=min(timeout, 15.0)),
            trust_env=not local,  # a proxy of the environment is no way to one's own machine
        )

    def chat(
        self,
        messages: Sequence[Message],
        *,
        temperature: float = 0.0,
        max_tokens: int | None = None,
        seed: int | None = None,
        stop: Sequence[str] = (),
    ) -> Reply:
        """The model's answer to a conversation.

        Raises `GenerationError` when the server cannot be reached, refuses the key, does not know the model, goes on
        failing, or answers something else than a chat completion; each says what to do next.
        """
        body = self._body(messages, temperature=temperature, max_tokens=max_tokens, seed=seed, stop=stop)
        answer = self._send("POST", "/chat/completions", body)
        try:
            choice = answer["choices"][0]
            text = choice["message"]["content"]
            usage = answer.get("usage") or {}
            counts = [int(usage.get(key) or 0) for key in ("prompt_tokens", "completion_tokens")]
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            raise self._malformed("it has no choices with a message") from None
        if text is not None and not isinstance(text, str):
            raise self._malformed("the content of its message is no text")
        return Reply(text or "", str(choice.get("finish_reason") or ""), *counts)

    def stream(
        self,
        messages: Sequence[Message],
        *,
        temperature: float = 1.0,
        top_p: float | None = None,
        max_tokens: int | None = None,
        seed: int | None = None,
        stop: Sequence[str] = (),
        top_logprobs: int | None = None,
    ) -> Iterator[Piece]:
        """The answer piece by piece; closing the iterator hangs up, so that the server can stop too.

        The errors of `chat`; a server that is busy before the first piece is asked again. One that breaks off in the
        middle raises `GenerationError` after the pieces that came.
        """
        options: dict[str, Any] = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens, "seed": seed}
        if top_logprobs:
            options |= {"logprobs": True, "top_logprobs": top_logprobs}
        body = self._body(messages, **options, stop=stop) | {"stream": True}
        for attempt in range(self.retries + 1):
            last = attempt == self.retries
            begun = False
            try:
                with self._client.stream("POST", f"{self.url}/chat/completions", json=body) as response:
                    if response.status_code in _TRY_AGAIN and not last:
                        self._wait(attempt, response.headers.get("retry-after"))
                        continue
                    if not response.is_success:
                        response.read()
                        self._read(response)
                    for piece in self._pieces(response):
                        begun = True
                        yield piece
                    return
            except httpx.TransportError as error:
                if begun:
                    raise GenerationError(
                        f"{self.url} broke off in the middle ({type(error).__name__}). What came is kept; go on from there."
                    ) from None
                if last:
                    raise self._unreachable(error) from None
                self._wait(attempt, None)

    def _pieces(self, response: httpx.Response) -> Iterator[Piece]:
        """The pieces of a stream of server-sent events; a server that does not stream sends one."""
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.read()
            answer = self._read(response)
            try:
                choice = answer["choices"][0]
                yield Piece(str(choice["message"]["content"] or ""), finish=str(choice.get("finish_reason") or "stop"))
            except (KeyError, IndexError, TypeError, AttributeError):
                raise self._malformed("it has no choices with a message") from None
            return
        for line in response.iter_lines():
            data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
            if data == "[DONE]":
                return
            if data:
                yield from self._piece(data)

    def _piece(self, data: str) -> Iterator[Piece]:
        try:
            answer = json.loads(data)
            if "error" in answer:
                raise GenerationError(
                    f"{self.url} broke off: {_error_words(answer)}. What came is kept; go on from there."
                )
            choices = answer.get("choices") or []
            if not choices:  # the usage, in a last event of its own
                return
            choice = choices[0]
            text, finish = (choice.get("delta") or {}).get("content") or "", choice.get("finish_reason")
            told = ((choice.get("logprobs") or {}).get("content") or [None])[0] or {}
            others = tuple((str(one["token"]), math.exp(one["logprob"])) for one in told.get("top_logprobs") or ())
            if text or finish:
                yield Piece(str(text), told.get("logprob"), others, str(finish) if finish else None)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise self._malformed("a piece of its stream cannot be read") from None

    def models(self) -> list[str]:
        """The names of the models that the server offers; the errors of `chat`."""
        answer = self._send("GET", "/models")
        try:
            return [str(model["id"]) for model in answer["data"]]
        except (KeyError, TypeError):
            raise self._malformed("it lists no models") from None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> RemoteModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RemoteModel({self.url!r}, {self.model!r})"

    def _body(self, messages: Sequence[Message], **options: Any) -> dict[str, Any]:
        """The request, without what was left out."""
        given = {key: value for key, value in options.items() if value is not None and value != ()}
        return {"model": self.model, "messages": list(messages), **given}

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The JSON object of an answer; asks again while the server is busy."""
        for attempt in range(self.retries + 1):
            last = attempt == self.retries
            try:
                response = self._client.request(method, self.url + path, json=body)
            except (httpx.TransportError, httpx.InvalidURL) as error:
                if last or not isinstance(
                    error, httpx.NetworkError | httpx.TimeoutException | httpx.RemoteProtocolError
                ):
                    raise self._unreachable(error) from None
                self._wait(attempt, None)
                continue
            if response.status_code in _TRY_AGAIN and not last:
                self._wait(attempt, response.headers.get("retry-after"))
                continue
            return self._read(response)
        raise AssertionError("the last attempt returns or raises")

    def _wait(self, attempt: int, asked: str | None) -> None:
        """Wait as long as the server asks, else twice as long as before; a little at random, so that clients spread."""
        try:
            seconds = float(asked or "")
        except ValueError:
            seconds = 2.0**attempt * (1 + random.random() / 4)
        time.sleep(min(max(seconds, 0.0), _LONGEST_WAIT) * self.backoff)

    def _read(self, response: httpx.Response) -> dict[str, Any]:
        status = response.status_code
        if status in (401, 403):
            raise GenerationError(
                f"{self.url} refuses the key (HTTP {status}). Put the right one {self._where}, and check that it may use "
                f"{self.model!r}."
            )
        if status == 404:
            raise GenerationError(self._not_found(response))
        if not response.is_success:
            raise GenerationError(
                f"{self.url} answered HTTP {status}: {_told(response) or 'nothing more'}. "
                + (
                    "It is overloaded or out of order; try again later."
                    if status in _TRY_AGAIN
                    else "Check the request."
                )
            )
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self._malformed("it is no JSON object")
        return answer

    def _not_found(self, response: httpx.Response) -> str:
        """Whether it is the model or the address that is not there, as far as the server lets one see."""
        try:
            listed = self._client.get(f"{self.url}/models").json()["data"]
            names = [str(model["id"]) for model in listed]
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            return (
                f"{self.url} does not answer chat requests (HTTP 404: {_told(response) or 'nothing more'}). "
                "Check the address; it ends in /v1 as a rule."
            )
        return f"{self.url} has no model {self.model!r}. It offers: {', '.join(names) or 'none'}. Name one of these."

    def _unreachable(self, error: Exception) -> GenerationError:
        if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
            return GenerationError(
                f"{self.url} did not answer in time, {self.retries + 1} times over. Give it longer with --timeout, or use "
                "a smaller model."
            )
        return GenerationError(
            f"{self.url} cannot be reached ({type(error).__name__}). Is the server running, and is the address right?"
        )

    def _malformed(self, what: str) -> GenerationError:
        return GenerationError(
            f"the answer of {self.url} is not a chat completion: {what}. Check that the address is that of an "
            "OpenAI-compatible API (it ends in /v1 as a rule)."
        )


def _told(response: httpx.Response) -> str:
    """The server's own words about an error, on one line and not too many."""
    try:
        return _error_words(response.json())
    except (ValueError, KeyError, TypeError):
        return " ".join(response.text.split())[:300]


def _error_words(answer: Mapping[str, Any]) -> str:
    error = answer["error"]
    return " ".join(str(error["message"] if isinstance(error, dict) else error).split())[:300]
