"""The guard before everything: who asks, from which page, under which name, and how much they send.

A browser lets any web site send requests to a server on this machine. Three checks keep them out: the `Host` must be one
of ours (a name that was bound to 127.0.0.1 afterwards is not), a request that a browser marks as coming from another
site is refused, and so is a changing one whose `Origin` is not our own page. Then comes who it is.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storyteller.studio.answers import error_answer
from storyteller.studio.errors import DeniedError, LimitError
from storyteller.studio.settings import StudioSettings

__all__ = [
    "COOKIE",
    "HEADERS",
    "Attempts",
    "Guard",
    "SecureHeaders",
    "bearer",
    "body_limit",
    "check_host",
    "check_origin",
    "hash_password",
    "right_password",
    "token_cookie",
]

COOKIE = "storyteller"

#: The page is ours and alone: scripts, styles and calls from here only, no frame around it, nothing told to other sites.
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}

_MEGABYTE = 1 << 20
#: The most bytes of a body, by the beginning of the path, the first that fits.
_LIMITS = (
    ("/api/session", 4096),
    ("/api/backup", 1024 * _MEGABYTE),
    ("/api/import", 64 * _MEGABYTE),
    ("/api/jobs", 64 * _MEGABYTE),
    ("", 8 * _MEGABYTE),
)
_SAFE = {"GET", "HEAD", "OPTIONS"}
#: What a stranger may read: whether the studio asks for a token or a name, and how to give one.
_OPEN = {"/api/status", "/api/session"}


class Guard:
    """Lets through what may pass, with `scope["state"]["user"]` set to the writer's id.

    `who` tells the id of the writer behind a bearer token or a cookie, or None for a stranger.
    """

    def __init__(
        self, app: ASGIApp, settings: StudioSettings, who: Callable[[str | None, str | None], Awaitable[str | None]]
    ) -> None:
        self.app, self.settings, self.who = app, settings, who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with an error, or hand on."""
        if scope["type"] == "websocket":
            return  # there are none
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, path = Headers(scope=scope), scope["path"]
        inside = path.startswith(("/api/", "/v1/"))
        try:
            check_host(headers, self.settings)
            if inside:
                check_origin(headers, scope["method"], scope["scheme"])
            limit = body_limit(path)
            if (headers.get("content-length") or "0").isdigit() and int(headers.get("content-length") or 0) > limit:
                raise LimitError(_too_large(limit))
            cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE)
            user = await self.who(bearer(headers), cookie) if inside else None
            if user is None and inside and path not in _OPEN:
                raise DeniedError(_stranger(self.settings), 401)
        except (DeniedError, LimitError) as error:
            await error_answer(error, path)(scope, receive, send)
            return
        scope.setdefault("state", {})["user"] = user
        await self.app(scope, _limited(receive, limit), send)


class SecureHeaders:
    """Adds the headers that keep the page to itself to every answer, refusals too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, and add to what comes back."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in HEADERS.items()),
                ]
            await send(message)

        await self.app(scope, receive, send_with_headers)


class Attempts:
    """Counts failed attempts: more than `most` within `seconds` from one place are refused."""

    def __init__(self, most: int = 5, seconds: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.most, self.seconds, self.clock = most, seconds, clock
        self._failed: dict[str, deque[float]] = {}

    def check(self, place: str) -> None:
        """Raise `LimitError` (429) when this place has failed too often of late."""
        times = self._failed.get(place, deque())
        while times and times[0] <= self.clock() - self.seconds:
            times.popleft()
        if len(times) >= self.most:
            wait = max(1, round(times[0] + self.seconds - self.clock()))
            raise LimitError(f"that was wrong too often. Try again in {wait} seconds.", 429, wait)

    def fail(self, place: str) -> None:
        """Remember a failure; what is over is forgotten."""
        now = self.clock()
        self._failed = {key: times for key, times in self._failed.items() if times and times[-1] > now - self.seconds}
        self._failed.setdefault(place, deque()).append(now)


def check_host(headers: Headers, settings: StudioSettings) -> None:
    """Raise `DeniedError` unless the `Host` is a name of this studio.

    An address of digits cannot have been bound to this machine by a stranger's name server; a name can.
    """
    given = headers.getlist("host")
    name = (urlsplit(f"//{given[0]}").hostname or "").rstrip(".") if len(given) == 1 and _plain(given[0]) else ""
    try:
        address = ipaddress.ip_address(name)
        known = address.is_loopback or not settings.loopback
    except ValueError:
        known = name in {"localhost", settings.host.lower(), *(host.lower() for host in settings.hosts)}
    if not known:
        raise DeniedError(
            f"this studio is not called {name or 'that'!r}. Open it as http://127.0.0.1, or start it with "
            "--allow-host NAME."
        )


def check_origin(headers: Headers, method: str, scheme: str) -> None:
    """Raise `DeniedError` for a request that another web site has caused.

    No script can forge `Sec-Fetch-Site`; a browser that is too old to send it sends an `Origin` with what changes things.
    """
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    foreign = method not in _SAFE and origin is not None and origin != f"{scheme}://{headers.get('host')}"
    if site not in ("same-origin", "none") if site is not None else foreign:
        raise DeniedError("another web site may not use the studio. Do it on the studio's own page.")


def body_limit(path: str) -> int:
    """The most bytes that a request to this path may bring."""
    return next(limit for start, limit in _LIMITS if path.startswith(start))


def hash_password(password: str, salt: bytes | None = None) -> str:
    """A password as `scrypt$salt$hash`, with the costs that OWASP recommends for a login on a small machine."""
    salt = salt or secrets.token_bytes(16)
    key = hashlib.scrypt(password.encode(), salt=salt, n=1 << 14, r=8, p=5, maxmem=64 * _MEGABYTE)
    return f"scrypt${salt.hex()}${key.hex()}"


def right_password(password: str, kept: str | None) -> bool:
    """Whether it is the password of this hash; it takes as long for a name that nobody has."""
    _, salt, _ = (kept or "scrypt$00$00").split("$")
    return hmac.compare_digest(hash_password(password, bytes.fromhex(salt)), kept or "")


def token_cookie(token: str) -> str:
    """What the cookie of a browser that has shown the token holds: not the token, which also opens `/v1`."""
    return hmac.new(token.encode(), b"the studio's cookie", hashlib.sha256).hexdigest()


def bearer(headers: Headers) -> str | None:
    """The secret in `Authorization: Bearer`, if there is one."""
    kind, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if kind.lower() == "bearer" else None


def _plain(host: str) -> bool:
    return not any(mark in host for mark in "/?#@\\ ")


def _limited(receive: Receive, limit: int) -> Receive:
    """A body that says no length, or a wrong one, is cut off at the limit too."""
    seen = 0

    async def receive_counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise HTTPException(413, _too_large(limit))
        return message

    return receive_counted


def _too_large(limit: int) -> str:
    size = f"{limit // _MEGABYTE} MB" if limit >= _MEGABYTE else f"{limit} bytes"
    return f"that is more than {size}, the most that can be sent here. Import a long text as a file, or in parts."


def _stranger(settings: StudioSettings) -> str:
    if settings.accounts:
        return "the studio does not know you. Log in with your name and password."
    return "the studio does not know you. Give its token: it was printed where the studio was started."
