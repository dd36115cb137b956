"""The page's server: this machine only, no outside address, and nothing that a rater should not know."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storyteller.errors import StorytellerError
from storyteller.evaluate.blind.judgements import Choice
from storyteller.evaluate.blind.session import OutOfStepError, Session

__all__ = ["application", "listen", "serve"]

HOST = "127.0.0.1"

#: Nothing but this server's own script and style runs, and nobody else's page may frame or post to it.
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_PAGE = {
    "/": ("blind.html", "text/html"),
    "/blind.css": ("blind.css", "text/css"),
    "/blind.js": ("blind.js", "text/javascript"),
}
_CHOICES: tuple[Choice, ...] = ("left", "right", "tie", "skip")
_LARGEST = 64 * 1024
_LONGEST_REASON = 4000


def application(session: Session) -> Starlette:
    """The ASGI application: the page, its state, and the three things that it may do."""

    async def state(_: Request) -> Response:
        return _answer(session.state)

    async def judge(request: Request) -> Response:
        given = await _body(request)
        if isinstance(given, Response):
            return given
        place, seconds, reason = (given.get(key) for key in ("place", "seconds", "reason"))
        choice: Choice | None = next((known for known in _CHOICES if known == given.get("choice")), None)
        if (
            not isinstance(place, int)
            or choice is None
            or not isinstance(seconds, int | float)
            or not 0 <= seconds < 1e7
            or not isinstance(reason, str)
            or len(reason) > _LONGEST_REASON
        ):
            return JSONResponse({"error": "not a judgement"}, 400)

        def keep() -> dict[str, Any]:
            session.judge(place, choice, float(seconds), reason)
            return session.state()

        return _answer(keep)

    async def undo(request: Request) -> Response:
        given = await _body(request)

        def withdraw() -> dict[str, Any]:
            session.undo()
            return session.state()

        return given if isinstance(given, Response) else _answer(withdraw)

    async def result(request: Request) -> Response:
        given = await _body(request)
        return given if isinstance(given, Response) else _answer(session.reveal)

    routes = [Route(path, _file(*page)) for path, page in _PAGE.items()]
    routes.append(Route("/api/state", state))
    routes += [Route(f"/api/{call.__name__}", call, methods=["POST"]) for call in (judge, undo, result)]
    guard = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False)
    return Starlette(routes=routes, middleware=[Middleware(_Headers), guard])


def listen(port: int = 0) -> socket.socket:
    """A socket on the loopback address, listening already, so that the address can be told; port 0: any free one."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise StorytellerError(f"port {port} cannot be used ({error}). Choose another with --port.") from None
    listener.listen()
    return listener


def serve(session: Session, listener: socket.socket) -> None:
    """Answer until Ctrl-C; the judgements are on disk at every moment."""
    config = uvicorn.Config(application(session), log_level="warning", access_log=False, lifespan="off")
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])


class _Headers:
    """Adds the headers that keep the page to itself to every answer, refusals too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(key.encode(), value.encode()) for key, value in _HEADERS.items()]
            await send(message)

        await self.app(scope, receive, send_with_headers)


def _file(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    content = (files("storyteller.evaluate.blind") / "page" / name).read_bytes()

    async def send(_: Request) -> Response:
        return Response(content, media_type=kind)

    return send


async def _body(request: Request) -> dict[str, Any] | Response:
    """The JSON object of a request from our own page; another site cannot send one (its type, its origin)."""
    origin = request.headers.get("origin", f"http://{request.headers['host']}")
    kind = request.headers.get("content-type", "").partition(";")[0]
    if origin != f"http://{request.headers['host']}" or kind != "application/json":
        return JSONResponse({"error": "only this page may do that"}, 403)
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > _LARGEST:
            return JSONResponse({"error": "too large"}, 413)
    try:
        given = json.loads(data or b"{}")
    except ValueError:
        given = None
    return given if isinstance(given, dict) else JSONResponse({"error": "not a JSON object"}, 400)


def _answer(work: Callable[[], dict[str, Any]]) -> Response:
    """What `work` returns; out of step is 409, and what cannot be kept or read is told to the page."""
    try:
        return JSONResponse(work())
    except OutOfStepError:
        return JSONResponse({"error": "out of step"}, 409)
    except (StorytellerError, OSError) as error:
        return JSONResponse({"error": str(error)}, 500)
