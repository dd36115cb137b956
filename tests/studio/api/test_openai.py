"""The real client of OpenAI speaks to us over a real socket."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import uvicorn
from tests.studio.fake_desk import WORDS
from tests.studio.web import open_page

from storyteller.studio.server import listen

TOKEN = "a-token-that-nobody-guesses"
ASK: Any = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "一只海豹"}]},
]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with open_page(tmp_path_factory.mktemp("openai"), token=TOKEN) as page, listen(port=0) as listener:
        config = uvicorn.Config(page.app, log_level="warning", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        server.should_exit = True
        thread.join(10)


@pytest.fixture
def client(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with openai.OpenAI(base_url=address, api_key=TOKEN) as made:
        yield made


def test_models(client: Any) -> None:
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")
    assert client.models.list().object == "list"
    assert client.models.retrieve("default").id == "default"


def test_a_chat(client: Any) -> None:
    answer = client.chat.completions.create(
        model="default", messages=ASK, n=2, seed=3, max_completion_tokens=5, stop=["\n"], logprobs=True, top_logprobs=1
    )
    assert [choice.message.content for choice in answer.choices] == ["".join(WORDS[:5])] * 2
    assert {choice.finish_reason for choice in answer.choices} == {"length"}
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (7, 10, 17)
    told = answer.choices[1].logprobs.content[0]
    assert (told.token, told.logprob, bytes(told.bytes)) == ("The", -0.5, b"The")
    assert told.top_logprobs[0].logprob == pytest.approx(math.log(0.6))
    assert answer.id.startswith("chatcmpl-")
    assert answer.choices[0].finish_reason == "length"
    whole = client.chat.completions.create(model="default", messages=ASK)
    assert whole.choices[0].finish_reason == "stop"
    assert whole.choices[0].logprobs is None


def test_a_chat_that_streams(client: Any) -> None:
    stream = client.chat.completions.create(
        model="default", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "".join(WORDS)
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens == len(WORDS)
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_completion(client: Any) -> None:
    answer = client.completions.create(
        model="default", prompt="从前", max_tokens=3, temperature=0, logprobs=2, stop="。"
    )
    choice = answer.choices[0]
    assert (choice.text, choice.finish_reason) == ("The keeper found", "length")
    assert choice.logprobs.tokens == WORDS[:3]
    assert choice.logprobs.text_offset == [0, 3, 10]
    assert set(choice.logprobs.top_logprobs[0]) == {"The", "X"}
    pieces = client.completions.create(model="default", prompt=["从前"], stream=True)
    assert "".join(piece.choices[0].text for piece in pieces) == "".join(WORDS)


def test_what_is_asked_reaches_the_desk(tmp_path: Path) -> None:
    with open_page(tmp_path) as page:
        body = {
            "messages": ASK,
            "temperature": 0.3,
            "top_p": 0.9,
            "min_p": 0.0,
            "seed": 7,
            "stop": ["a", "b"],
            "user": "me",
        }
        assert page.post("/v1/chat/completions", json=body).status_code == 200
        prompt, model, most, asked = page.app.state.studio.desk.asked[-1]  # type: ignore[attr-defined]
    assert prompt == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "一只海豹"}]
    assert (model, most, asked["stop"], asked["seed"]) == ("default", 1024, ["a", "b"], 7)
    assert asked["sampling"] == {"temperature": 0.3, "top_p": 0.9, "min_p": 0.0, "dry_multiplier": 0.8}


def test_errors_are_what_the_client_expects(client: Any, address: str) -> None:
    for stream in (True, False):
        with pytest.raises(openai.NotFoundError, match="no model 'gpt-9'") as missing:
            client.chat.completions.create(model="gpt-9", messages=ASK, stream=stream)
        assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="the model is broken"):
        client.chat.completions.create(model="smollm2-135m-instruct", messages=ASK)
    with pytest.raises(openai.BadRequestError, match="the model is broken"):
        client.chat.completions.create(model="smollm2-135m-instruct", messages=ASK, stream=True)
    with pytest.raises(openai.UnprocessableEntityError):
        client.chat.completions.create(model="default", messages=[])
    tool = {"type": "function", "function": {"name": "f"}}
    with pytest.raises(openai.BadRequestError, match="call no tools"):
        client.chat.completions.create(model="default", messages=ASK, tools=[tool])
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]
    with pytest.raises(openai.BadRequestError, match="text alone"):
        client.chat.completions.create(model="default", messages=picture)
    with pytest.raises(openai.BadRequestError, match="not supported"):
        client.completions.create(model="default", prompt="x", echo=True)
    with (
        openai.OpenAI(base_url=address, api_key="wrong") as stranger,
        pytest.raises(openai.AuthenticationError, match="does not know you"),
    ):
        stranger.models.list()
