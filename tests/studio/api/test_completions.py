"""What `/v1` answers when a real desk writes: every token that was allowed, and why it ended."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient
from tests.generate.scripted import ScriptedEngine
from tests.studio.telling.test_desk import scripted
from tests.studio.web import open_page

from storyteller.generate import Storyteller
from storyteller.studio.server import listen
from storyteller.studio.telling import Desk
from storyteller.tokens import StoryTokenizer, Template

Opened = Callable[..., AbstractContextManager[TestClient]]


@pytest.fixture
def saying(tiny_llama: Path, tmp_path: Path) -> Opened:
    """A client of a studio whose model says that text after any prompt."""
    tokenizer = StoryTokenizer.load(tiny_llama)

    @contextmanager
    def opened(text: str, context: int = 1024) -> Iterator[TestClient]:
        def load(name: str) -> Storyteller:
            return Storyteller(
                ScriptedEngine(tokenizer, text, context), Template.load(tiny_llama, tokenizer), name=name
            )

        with open_page(tmp_path, lambda store: Desk(store, load, lambda name: name), warm=False) as client:
            yield client

    return opened


def complete(client: TestClient, prompt: str, **asked: Any) -> Any:
    answer = client.post("/v1/completions", json={"prompt": prompt, "temperature": 0, "dry_multiplier": 0, **asked})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("text", ["The seal swam on. It was cold. " * 40, "海豹游着。水很冷。" * 40])
def test_an_answer_has_every_token_it_may_have(saying: Opened, tiny_llama: Path, text: str) -> None:
    tokenizer = StoryTokenizer.load(tiny_llama)
    for most in (1, 2, 16, 40):
        expected = b"".join(map(tokenizer.token_bytes, tokenizer.encode(text)[:most])).decode("utf-8", "ignore")
        with saying(text) as client:
            answer = complete(client, "Once", max_tokens=most)
        assert answer["choices"][0]["text"] == expected
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["usage"]["completion_tokens"] == most
    with saying(text) as client:
        body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 16, "temperature": 0}
        answer = client.post("/v1/chat/completions", json=body).json()
        assert (answer["choices"][0]["finish_reason"], answer["usage"]["completion_tokens"]) == ("length", 16)


def test_an_answer_that_ends_by_itself_says_so(saying: Opened) -> None:
    for text, asked in (("The seal swam.", {}), ("The seal swam on and on. " * 9, {"stop": "on"})):
        with saying(text) as client:
            choice = complete(client, "Once", max_tokens=300, **asked)["choices"][0]
        assert (choice["text"].strip(" ."), choice["finish_reason"]) == ("The seal swam", "stop")


def test_a_full_window_is_a_want_of_length(saying: Opened) -> None:
    with saying("The seal swam on. " * 40, context=128) as client:
        answer = complete(client, "Once there was a seal", max_tokens=900)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["total_tokens"] == 128


@pytest.mark.parametrize(
    ("prompt", "text"),
    [("pi = 3.", "14159"), ("def f():\n", "    return 1"), ("A list:\n", "\n\n- one"), ("他说：", " 好")],
)
def test_the_white_space_after_a_text_is_the_models_own(saying: Opened, prompt: str, text: str) -> None:
    with saying(text) as client:
        assert complete(client, prompt, max_tokens=300)["choices"][0]["text"] == text


def test_null_is_what_was_not_said(saying: Opened) -> None:
    nulls = dict.fromkeys(("n", "stream", "logprobs", "echo", "max_tokens", "model", "suffix", "seed", "stop"))
    with saying("The seal.") as client:
        assert complete(client, "Once", **nulls)["model"] == "default"
        body = {"messages": [{"role": "user", "content": "Hi"}], "logprobs": None, "top_logprobs": None, "n": None}
        assert client.post("/v1/chat/completions", json=body).status_code == 200


def test_only_what_can_be_loaded_is_a_model(saying: Opened, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "tale.txt").write_text("Once.")
    with saying("The seal.") as client:
        for name in ("", ".", "/etc", "x" * 300, "a\0b", str(tmp_path / "folder"), str(tmp_path / "tale.txt")):
            answer = client.post("/v1/completions", json={"model": name, "prompt": "Once"})
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found"), name


def test_whoever_hangs_up_frees_the_model(tiny_llama: Path, tmp_path: Path) -> None:
    load = scripted(tiny_llama, "The seal swam on. " * 200, pause=0.02)
    body = json.dumps({"prompt": "Once", "max_tokens": 500}).encode()
    head = "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with (
        open_page(tmp_path, lambda store: Desk(store, load, lambda name: name)) as page,
        listen(port=0) as listener,
    ):
        server = uvicorn.Server(uvicorn.Config(page.app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        line = page.app.state.studio.desk.tellers.line("default")  # type: ignore[attr-defined]
        with socket.create_connection(("127.0.0.1", listener.getsockname()[1])) as caller:
            caller.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            _until(lambda: line.busy)
        _until(lambda: not line.busy, seconds=3)  # the whole answer would take ten
        server.should_exit = True
        thread.join(10)


def _until(happens: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.02)
