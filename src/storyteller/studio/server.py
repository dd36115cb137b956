"""The studio as a process: one socket, one studio a database, a browser when it answers, and a clean end."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import json
import signal
import socket
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from filelock import FileLock, Timeout

from storyteller.runs.files import read_json, write_json
from storyteller.studio.errors import StudioError
from storyteller.studio.settings import LOOPBACK, StudioSettings

__all__ = ["PORT", "address", "listen", "run_api", "run_studio"]

PORT = 8321
"""The port that is tried first."""

_MORE_PORTS = 20


def run_studio(
    settings: StudioSettings,
    port: int = PORT,
    *,
    browser: bool = True,
    say: Callable[[str], None] = print,
    open_browser: Callable[[str], object] = webbrowser.open,
) -> None:
    """Serve until Ctrl-C or a kill; what is being written then is kept.

    A second start on the same database opens the running studio instead. Raises `StudioError` for settings that would
    let strangers in, and when no port is free.
    """
    settings.check()
    with _alone(settings) as running:
        if running is not None:
            say(f"This studio is open already: {running}")
            if browser:
                open_browser(running)
            return
        with listen(settings.host, port) as listener:
            url = address(settings.host, listener.getsockname()[1])
            if port and not url.endswith(f":{port}"):
                say(f"Port {port} is taken; the next free one is used.")
            write_json(_note(settings), {"url": url})
            welcome = f"The studio is open: {url}  (Ctrl-C closes it)"
            _serve(settings, listener, url, say, welcome, open_browser if browser else None)
    say("Closed. Everything is kept.")


def run_api(settings: StudioSettings, port: int = PORT + 1, *, say: Callable[[str], None] = print) -> None:
    """Serve `/v1` alone until Ctrl-C; nothing is kept. Raises `StudioError` as `run_studio` does."""
    settings.check()
    with tempfile.TemporaryDirectory(prefix="storyteller-") as folder, listen(settings.host, port) as listener:
        url = address(settings.host, listener.getsockname()[1])
        settings = dataclasses.replace(settings, database=f"sqlite:///{folder}/serve.db")
        _serve(settings, listener, url, say, f"Serving {url}/v1  (Ctrl-C ends it)", None)


def listen(host: str = LOOPBACK, port: int = PORT) -> socket.socket:
    """A listening socket on `port`, or on the next one that is free; port 0 is any.

    Raises `StudioError` when the address is not this machine's, or when none of the next ports is free.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for tried in range(port, min(port + _MORE_PORTS, 65536)) if port else (0,):
        # Named TCP: asyncio turns delays off (TCP_NODELAY) only for sockets that say so, and each answer would take 40 ms.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        # Without this a port whose last connections are being closed would count as taken. On Windows it would let
        # two programs listen at once.
        if hasattr(socket, "SO_REUSEPORT"):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, tried))
            listener.listen(128)
            return listener
        except OSError as error:
            listener.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise StudioError(
                    f"{host} cannot be listened on ({error.strerror}). Give another with --host."
                ) from None
    raise StudioError(f"ports {port} to {port + _MORE_PORTS - 1} are all taken. Choose another with --port.")


def address(host: str, port: int) -> str:
    """What to open in a browser on this machine."""
    shown = {"0.0.0.0": LOOPBACK, "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def _serve(
    settings: StudioSettings,
    listener: socket.socket,
    url: str,
    say: Callable[[str], None],
    welcome: str,
    open_browser: Callable[[str], object] | None,
) -> None:
    import uvicorn

    from storyteller.studio.app import create_app

    app = create_app(settings)

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                say(welcome)
                if open_browser is not None:
                    threading.Thread(target=open_browser, args=(url,), daemon=True).start()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # Streams end when their generations do; left alone they would be waited for.
            await asyncio.to_thread(app.state.studio.stop)
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=3,
        # What a proxy says about its client is believed from nobody.
        proxy_headers=False,
    )
    # While a model writes, its thread wants the interpreter all the time; at 5 ms a hand-over, requests would queue.
    sys.setswitchinterval(0.001)
    # When it has shut down, the server raises the signal that ended it once more; a kill shall end as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        Server(config).run(sockets=[listener])


@contextlib.contextmanager
def _alone(settings: StudioSettings) -> Iterator[str | None]:
    """Hold the database's lock; yield None, or the address of the studio that holds it already."""
    settings.lock.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(settings.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        running = _answering(_note(settings))
        if running is None:
            raise StudioError(
                f"a studio on this database is starting or closing ({settings.lock} is held). Wait a moment and try again."
            ) from None
        yield running
        return
    try:
        yield None
    finally:
        _note(settings).unlink(missing_ok=True)
        lock.release()


def _answering(note: Path, seconds: float = 5.0) -> str | None:
    """The address in the note of a running studio once it answers there."""
    here = build_opener(ProxyHandler({}))  # a proxy of the environment is no way to one's own machine
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError, ValueError, KeyError):
            url = str(read_json(note)["url"])
            with here.open(f"{url}/api/status", timeout=2) as answer:
                if "version" in json.load(answer):
                    return url
        time.sleep(0.1)
    return None


def _note(settings: StudioSettings) -> Path:
    return settings.lock.with_suffix(".json")
