"""The built page: its files by name, compressed once, kept by the browser as long as they stay the same."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from storyteller.studio.answers import error_answer
from storyteller.studio.errors import NotFoundError

__all__ = ["PAGE", "BuiltPage"]

PAGE = Path(__file__).parent / "page"
"""Where `make page` puts the built page; in the package that is installed it is there."""

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_PACKED = {".png", ".woff2", ".ico"}  # compressed by nature
_HASHED = re.compile(r"^assets/.+-[\w-]{8,}\.\w+$")

_NOTHING = "there is nothing of that name, or it cannot be done to it. The API is described at /api/docs."

_NOT_BUILT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Storyteller</title>
<main><h1>The page is not built yet</h1>
<p>Run <code>make page</code> in the project's folder, then open this address again.
The <a href="/api/docs">HTTP interface</a> works already.</p>
<h1 lang="zh">页面还没有构建</h1>
<p lang="zh">请在项目文件夹中运行 <code>make page</code>，然后重新打开此地址。
<a href="/api/docs">HTTP 接口</a>已经可以使用。</p></main></html>
"""


@dataclass(slots=True)
class _File:
    content: bytes
    kind: str
    etag: str
    packable: bool
    packed: dict[str, bytes] = field(default_factory=dict)

    def as_encoded(self, encoding: str) -> bytes:
        """The content in an encoding, packed at its first use."""
        if encoding not in self.packed:
            self.packed[encoding] = _pack(self.content, encoding)
        return self.packed[encoding]


class BuiltPage:
    """Answers for every path that is not the API's with a file of the page, or the page itself.

    Only files that lie in the folder can be named, so no path leads out of it.
    """

    def __init__(self, folder: Path = PAGE) -> None:
        self.folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a file, the page for an address inside it, or what to do when it is not built."""
        if scope["path"].startswith(("/api/", "/v1/")):
            response: Response = error_answer(NotFoundError(_NOTHING), scope["path"])
        elif scope["method"] not in ("GET", "HEAD"):
            response = Response("only GET\n", 405, media_type="text/plain")
        else:
            name = scope["path"].lstrip("/")
            response = await to_thread.run_sync(self._answer, name, Headers(scope=scope))
        await response(scope, receive, send)

    def _answer(self, name: str, headers: Headers) -> Response:
        index = self.folder / "index.html"
        if not index.is_file():
            return Response(_NOT_BUILT, 200 if "." not in name else 404, media_type="text/html")
        files = _read_all(self.folder, index.stat().st_mtime_ns)
        file = files.get(name)
        if file is None:
            if "." in name.rpartition("/")[2]:
                return Response("there is no such file\n", 404, media_type="text/plain")
            file = files["index.html"]
        keep = "public, max-age=31536000, immutable" if _HASHED.match(name) else "no-cache"
        sent = {"cache-control": keep, "etag": file.etag, "vary": "accept-encoding"}
        if headers.get("if-none-match") == file.etag:
            return Response(None, 304, sent)
        encoding = _chosen(headers.get("accept-encoding", "")) if file.packable else None
        if encoding is None:
            return Response(file.content, 200, sent, file.kind)
        return Response(file.as_encoded(encoding), 200, sent | {"content-encoding": encoding}, file.kind)


@lru_cache(maxsize=2)
def _read_all(folder: Path, _changed: int) -> dict[str, _File]:
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in _TYPES:
            content = path.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
            packable = path.suffix not in _PACKED and len(content) > 500
            files[path.relative_to(folder).as_posix()] = _File(content, _TYPES[path.suffix], etag, packable)
    return files


def _chosen(accepted: str) -> str | None:
    offered = {part.partition(";")[0].strip() for part in accepted.split(",") if "q=0" not in part.replace(" ", "")}
    return next((encoding for encoding in ("br", "gzip") if encoding in offered), None)


def _pack(content: bytes, encoding: str) -> bytes:
    if encoding == "br":
        import brotli  # type: ignore[import-untyped]

        packed: bytes = brotli.compress(content, quality=9)
        return packed
    return gzip.compress(content, 9, mtime=0)
