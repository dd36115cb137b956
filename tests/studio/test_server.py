"""The studio as a real process: it starts, finds a port, is alone on its database, survives a kill, and ends cleanly."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from filelock import FileLock
from tests.adapters import tiny_ensemble
from tests.studio.web import open_page

from storyteller.runs.files import write_json
from storyteller.studio.errors import StudioError
from storyteller.studio.server import address, listen, run_studio
from storyteller.studio.settings import StudioSettings

COMMAND = [sys.executable, "-m", "storyteller"]


@dataclass
class Running:
    """A studio in a process of its own."""

    process: subprocess.Popen[str]
    said: list[str]

    @property
    def url(self) -> str:
        return str(re.findall(r"http://\S+", self.said[-1])[0]).removesuffix("/v1")

    def end(self, how: int = signal.SIGINT) -> int:
        self.process.send_signal(how)
        return self.process.wait(30)


@contextlib.contextmanager
def started(folder: Path, model: Path, *options: str, command: str = "studio") -> Iterator[Running]:
    database = [f"--database=sqlite:///{folder / 'studio.db'}", "--no-browser"] if command == "studio" else []
    process = subprocess.Popen(
        [*COMMAND, command, "--port=0", f"--model={model}", f"--runs={folder / 'runs'}", *database, *options],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"STORYTELLER_HOME": str(folder / "home"), "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    said: list[str] = []
    try:
        for line in process.stdout:
            said.append(line.strip())
            if "Ctrl-C" in line:
                break
        else:
            pytest.fail(f"it ended with {process.wait()}: {said}")
        running = Running(process, said)
        reader = threading.Thread(target=lambda: said.extend(map(str.strip, process.stdout)), daemon=True)  # type: ignore[arg-type]
        reader.start()
        yield running
    finally:
        process.kill()
        process.wait()
        with contextlib.suppress(NameError, UnboundLocalError):
            reader.join(5)
        process.stdout.close()


def call(url: str, method: str, path: str, **more: Any) -> Any:
    with httpx.Client(trust_env=False, timeout=30) as client:
        answer = client.request(method, url + path, **more)
        assert answer.is_success, answer.text
        return answer.json()


def first_scene(url: str) -> str:
    made = call(url, "POST", "/api/projects", json={"title": "Seals"})
    return str(next(item["id"] for item in made["tree"] if item["kind"] == "scene"))


def type_in(url: str, scene: str, text: str) -> None:
    head = call(url, "GET", f"/api/scenes/{scene}")["head"]
    splices = [{"start": 0, "remove": 0, "insert": text}]
    call(url, "POST", f"/api/scenes/{scene}/splices", json={"base": head, "splices": splices})


def begin_text(url: str, scene: str) -> str:
    """Ask for a long text, and leave when its first words have come."""
    wish = {"mode": "continue", "words": 5000}
    with (
        httpx.Client(trust_env=False, timeout=60) as client,
        client.stream("POST", f"{url}/api/scenes/{scene}/generate", json=wish) as answer,
    ):
        said = (json.loads(line[5:]) for line in answer.iter_lines() if line.startswith("data:"))
        generation = next(data["generation"] for data in said if "generation" in data)
        next(data for data in said if data.get("text", "").strip())
        return str(generation)


def test_a_life(tmp_path: Path, tiny_llama: Path) -> None:
    with started(tmp_path, tiny_llama) as studio:
        scene = first_scene(studio.url)
        type_in(studio.url, scene, "从前，a seal")
        opened: list[str] = []
        said: list[str] = []
        settings = StudioSettings(database=f"sqlite:///{tmp_path / 'studio.db'}")
        run_studio(settings, say=said.append, open_browser=opened.append)
        assert opened == [studio.url]
        assert said == [f"This studio is open already: {studio.url}"]
        generation = begin_text(studio.url, scene)
        begun = time.monotonic()
        assert studio.end(signal.SIGINT) == 0
        assert time.monotonic() - begun < 10
        assert studio.said[-1] == "Closed. Everything is kept."
        assert not (tmp_path / "studio.json").exists()
    with started(tmp_path, tiny_llama) as again:
        kept = call(again.url, "GET", f"/api/generations/{generation}")
        assert kept["status"] in ("stopped", "interrupted")
        assert kept["candidates"][0]["text"]
        type_in(again.url, scene, "Once, ")
        assert again.end(signal.SIGKILL) == -signal.SIGKILL
    with started(tmp_path, tiny_llama) as last:  # the lock of a killed studio holds nobody up
        assert call(last.url, "GET", f"/api/scenes/{scene}")["text"] == "Once, 从前，a seal"
        assert last.end(signal.SIGTERM) == 0
        assert not (tmp_path / "studio.json").exists()


def test_the_api_alone(tmp_path: Path, tiny_llama: Path) -> None:
    with started(tmp_path, tiny_llama, command="serve") as server:
        assert server.said[-1].startswith("Serving http://127.0.0.1:")
        body = {"model": str(tiny_llama), "prompt": "Once upon a time", "max_tokens": 4, "seed": 1, "logprobs": 2}
        answer = call(server.url, "POST", "/v1/completions", json=body)
        assert answer["usage"]["prompt_tokens"] > 0
        assert answer["choices"][0]["finish_reason"] in ("stop", "length")
        again = call(server.url, "POST", "/v1/completions", json=body)
        assert again["choices"] == answer["choices"]  # the same seed
        chat = {"model": str(tiny_llama), "messages": [{"role": "user", "content": "A seal"}], "max_tokens": 4, "n": 2}
        assert len(call(server.url, "POST", "/v1/chat/completions", json=chat)["choices"]) == 2
        with httpx.Client(trust_env=False) as client:
            assert client.get(f"{server.url}/api/projects").status_code == 404
            missing = client.post(f"{server.url}/v1/completions", json={"model": "gpt-9", "prompt": "x"})
            assert missing.json()["error"]["message"]
            assert 400 <= missing.status_code < 500
        assert server.end() == 0
    assert not list(tmp_path.glob("*.db"))


def test_an_ensemble_is_served_like_any_model(tmp_path: Path, tiny_llama: Path) -> None:
    folder = tiny_ensemble(tiny_llama, tmp_path / "mix")
    with started(tmp_path, folder, command="serve") as server:
        body = {"model": str(folder), "prompt": "Once upon a time", "max_tokens": 4, "seed": 1}
        answer = call(server.url, "POST", "/v1/completions", json=body)
        assert answer["choices"][0]["finish_reason"] in ("stop", "length")
        chat = {"model": str(folder), "messages": [{"role": "user", "content": "A seal"}], "max_tokens": 4, "n": 2}
        assert len(call(server.url, "POST", "/v1/chat/completions", json=chat)["choices"]) == 2
        assert server.end() == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host=0.0.0.0"], "--token new"),
        (["--host=203.0.113.9", "--token=a-token-that-nobody-guesses"], "Give another with --host"),
        (["--token=short"], "too easily guessed"),
        (["--database=nonsense://x"], "database"),
    ],
)
def test_it_refuses_with_one_sentence(tmp_path: Path, options: list[str], said: str) -> None:
    done = subprocess.run(
        [*COMMAND, "studio", "--no-browser", *options],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"STORYTELLER_HOME": str(tmp_path)},
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_an_account_is_made_at_the_terminal(tmp_path: Path) -> None:
    database = f"--database=sqlite:///{tmp_path / 'studio.db'}"
    for password, code in [("short\n", 2), ("correct horse battery\n", 0), ("correct horse battery\n", 2)]:
        done = subprocess.run(
            [*COMMAND, "studio", database, "--add-user=小舟"],
            input=password,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, "correct horse" in done.stdout + done.stderr) == (code, False), done.stderr


def test_a_taken_port_gives_way_to_the_next() -> None:
    with listen(port=0) as first:
        port = first.getsockname()[1]
        with listen(port=port) as second:
            assert port < second.getsockname()[1] < port + 20
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(listen(port=port))
        with pytest.raises(StudioError, match="taken"):
            listen(port=port)


def test_a_running_studio_is_found_behind_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    settings = StudioSettings(database=f"sqlite:///{tmp_path / 'studio.db'}")
    with started_here(tmp_path) as url, FileLock(settings.lock):
        write_json(settings.lock.with_suffix(".json"), {"url": url})
        opened: list[str] = []
        run_studio(settings, say=lambda _: None, open_browser=opened.append)
    assert opened == [url]


@contextlib.contextmanager
def started_here(folder: Path) -> Iterator[str]:
    """A studio in this process, for what asks whether one is there."""
    with open_page(folder / "other") as page, listen(port=0) as listener:
        server = uvicorn.Server(uvicorn.Config(page.app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield address("127.0.0.1", listener.getsockname()[1])
        server.should_exit = True
        thread.join(10)


def test_addresses_for_people() -> None:
    assert address("0.0.0.0", 80) == "http://127.0.0.1:80"
    assert address("::", 80) == "http://[::1]:80"
    assert address("::1", 80) == "http://[::1]:80"
