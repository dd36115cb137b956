from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from tests.fake_openai import Asked, completion, fake_openai

from storyteller.errors import GenerationError
from storyteller.generate.remote import KEY_VARIABLE, Message, RemoteModel

ASK: list[Message] = [{"role": "user", "content": "讲一个海豹的故事。"}]


def test_a_conversation_there_and_back() -> None:
    with (
        fake_openai(lambda asked: f"从前 {asked.body['max_tokens']}") as fake,
        RemoteModel(fake.url + "/", "judge") as model,
    ):
        reply = model.chat(ASK, max_tokens=9, seed=3, stop=["\n"], temperature=0.5)
        assert model.models() == ["judge"]
    assert (reply.text, reply.finish, reply.prompt_tokens, reply.completion_tokens) == ("从前 9", "stop", 7, 3)
    (asked,) = fake.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.body == {
        "model": "judge", "messages": ASK, "temperature": 0.5, "max_tokens": 9, "seed": 3, "stop": ["\n"]
    }  # fmt: skip
    assert "authorization" not in asked.headers


def test_the_key_is_sent_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(KEY_VARIABLE, "sk-secret\n")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    monkeypatch.setenv("MINE", "sk-mine")
    with fake_openai(lambda _: (401, {"error": {"message": "sk-secret is wrong"}})) as fake:
        model = RemoteModel(fake.url, "judge")
        with pytest.raises(GenerationError, match=f"refuses the key.*{KEY_VARIABLE}") as caught:
            model.chat(ASK)
        with pytest.raises(GenerationError, match="MINE"):
            RemoteModel(fake.url, "judge", key_variable="MINE").chat(ASK)
        with pytest.raises(GenerationError):
            RemoteModel(fake.url, "judge", api_key="sk-given").chat(ASK)
    sent = [asked.headers["authorization"] for asked in fake.asked]
    assert sent == ["Bearer sk-secret", "Bearer sk-mine", "Bearer sk-given"]
    assert "sk-" not in repr(model) + str(vars(model)) + str(caught.value) + caplog.text


def test_a_key_does_not_travel_in_the_clear() -> None:
    with pytest.raises(GenerationError, match="not encrypted"):
        RemoteModel("http://models.example/v1", "judge", api_key="sk-x")
    RemoteModel("https://models.example/v1", "judge", api_key="sk-x").close()
    RemoteModel("http://models.example/v1", "judge").close()


@pytest.mark.parametrize(
    "url", ["models.example", "ftp://x/v1", "https://", "https://me:sk-x@models.example/v1", "https://x/v1?key=sk-x"]
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(GenerationError, match="address of a model") as caught:
        RemoteModel(url, "judge")
    assert "sk-x" not in str(caught.value)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(status: int) -> None:
    answers: list[Any] = [(status, {"error": "busy"}, {"retry-after": "0"}), (status, b""), "at last"]
    with fake_openai(lambda _: answers.pop(0)) as fake, RemoteModel(fake.url, "judge", backoff=0.01) as model:
        assert model.chat(ASK).text == "at last"
    assert len(fake.asked) == 3


def test_the_wait_is_what_the_server_asks_or_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("storyteller.generate.remote.time.sleep", waits.append)
    answers: list[Any] = [(429, {}, {"retry-after": after}) for after in ("7", "soon", "9999", "-1")] + ["done"]
    with fake_openai(lambda _: answers.pop(0)) as fake, RemoteModel(fake.url, "judge") as model:
        model.chat(ASK)
    assert waits[0] == 7
    assert 2 <= waits[1] <= 2.5
    assert waits[2:] == [60, 0]


CASES: dict[str, tuple[Callable[[Asked], Any], str]] = {
    "failing": (lambda _: (500, {"error": {"message": "out\nof memory"}}), "HTTP 500: out of memory.*try again later"),
    "too long": (lambda _: (400, {"error": "context is 2048"}), "HTTP 400: context is 2048.*Check the request"),
    "unknown model": (lambda _: (404, {"error": "no"}), "no model 'other'. It offers: judge"),
    "a web page": (lambda _: b"<html>", "no JSON object"),
    "a list": (lambda _: b"[]", "no JSON object"),
    "no choices": (lambda _: (200, {"choices": []}), "no choices with a message"),
    "no message": (lambda _: (200, {"choices": [{"text": "old API"}]}), "no choices with a message"),
    "no text": (lambda _: (200, completion([1])), "is no text"),  # type: ignore[arg-type]
    "silence": (lambda _: 1.5, "did not answer in time"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_fault_says_what_to_do(case: str) -> None:
    script, message = CASES[case]
    with fake_openai(script) as fake:
        model = RemoteModel(fake.url, "other", retries=1, backoff=0, timeout=0.6 if case == "silence" else 30)
        with model, pytest.raises(GenerationError, match=message):
            model.chat(ASK)


def test_nobody_there_and_a_wrong_path() -> None:
    with fake_openai(lambda _: "x") as fake:
        address = fake.url
    with RemoteModel(address, "judge", retries=0) as model, pytest.raises(GenerationError, match="cannot be reached"):
        model.chat(ASK)
    with fake_openai(lambda _: (404, b"not here"), models=()) as fake:
        model = RemoteModel(fake.url, "judge")
        with model, pytest.raises(GenerationError, match="It offers: none"):
            model.chat(ASK)


def test_silence_from_the_model_is_an_empty_text() -> None:
    with fake_openai(lambda _: (200, completion(None))) as fake, RemoteModel(fake.url, "judge") as model:
        assert model.chat(ASK).text == ""


def events(*data: object) -> tuple[int, bytes, dict[str, str]]:
    lines = [f"data: {one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)}\n\n" for one in data]
    return 200, b": hello\n\n" + "".join(lines).encode(), {"content-type": "text/event-stream; charset=utf-8"}


def delta(text: str | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish, **more}]}


def test_an_answer_comes_in_pieces() -> None:
    told = {
        "content": [
            {
                "token": "海",
                "logprob": -0.5,
                "top_logprobs": [{"token": "海", "logprob": -0.5}, {"token": "山", "logprob": -1.0}],
            }
        ]
    }
    script = events(
        delta("从前，"), delta("海豹", logprobs=told), delta(None, "stop"), {"choices": [], "usage": {}}, "[DONE]"
    )
    with fake_openai(lambda _: script) as fake, RemoteModel(fake.url, "judge") as model:
        pieces = list(model.stream(ASK, seed=3, top_p=0.9, top_logprobs=2))
    assert [piece.text for piece in pieces] == ["从前，", "海豹", ""]
    assert pieces[1].logprob == -0.5
    assert [text for text, _ in pieces[1].alternatives] == ["海", "山"]
    assert pieces[1].alternatives[0][1] == pytest.approx(0.6065, abs=1e-3)
    assert [piece.finish for piece in pieces] == [None, None, "stop"]
    (asked,) = fake.asked
    assert asked.body["stream"] is True
    assert (asked.body["top_p"], asked.body["top_logprobs"]) == (0.9, 2)


def test_a_stream_that_is_none_and_one_that_breaks_off() -> None:
    with fake_openai(lambda _: "whole") as fake, RemoteModel(fake.url, "judge") as model:
        assert [piece.text for piece in model.stream(ASK)] == ["whole"]
    broken = events(delta("从前"), {"error": {"message": "out of memory"}})
    with fake_openai(lambda _: broken) as fake, RemoteModel(fake.url, "judge") as model:
        coming = model.stream(ASK)
        assert next(coming).text == "从前"
        with pytest.raises(GenerationError, match=r"out of memory.*kept"):
            next(coming)
    with (
        fake_openai(lambda _: events("{half")) as fake,
        RemoteModel(fake.url, "judge") as model,
        pytest.raises(GenerationError, match="cannot be read"),
    ):
        list(model.stream(ASK))
    answers = iter([(503, {}), events(delta("then", "stop"), "[DONE]")])
    with fake_openai(lambda _: next(answers)) as fake, RemoteModel(fake.url, "judge", backoff=0.0) as model:
        assert [piece.text for piece in model.stream(ASK)] == ["then"]
    with (
        fake_openai(lambda _: (401, {})) as fake,
        RemoteModel(fake.url, "judge", api_key="k") as model,
        pytest.raises(GenerationError, match="into the connection"),
    ):
        list(model.stream(ASK))
