"""An OpenAI-compatible server on the loopback address that says what a script tells it to."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Asked", "FakeOpenAI", "completion", "fake_openai"]


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def words(self) -> str:
        """The whole conversation as one text."""
        return "\n".join(message["content"] for message in self.body["messages"])


#: What the script answers: a text, a status with a body and headers, raw bytes, or seconds to be silent.
Answer = str | tuple[int, Any] | tuple[int, Any, dict[str, str]] | bytes | float


@dataclass
class FakeOpenAI:
    """The address of the server and everything that it was asked."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)


def completion(text: str | None, **more: Any) -> dict[str, Any]:
    """The body of a chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {
        "object": "chat.completion",
        "choices": [choice],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
        **more,
    }


@contextlib.contextmanager
def fake_openai(script: Callable[[Asked], Answer], models: tuple[str, ...] = ("judge",)) -> Iterator[FakeOpenAI]:
    """Serve until the block ends; `script` answers every chat request."""
    fake = FakeOpenAI()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200, {"data": [{"id": name} for name in models]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked = Asked(self.path, {key.lower(): value for key, value in self.headers.items()}, body)
            fake.asked.append(asked)
            answer = script(asked)
            if isinstance(answer, float):
                time.sleep(answer)
                answer = "late"
            if isinstance(answer, str):
                answer = (200, completion(answer))
            if isinstance(answer, bytes):
                self._send(200, answer)
            else:
                self._send(*answer)

        def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a client that did not wait
                self.send_response(status)
                for key, value in (headers or {}).items():
                    self.send_header(key, value)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
