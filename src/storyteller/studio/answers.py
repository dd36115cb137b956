"""Errors as answers: `{"error": {"code", "message", "next"}}`, and on `/v1` the shape that OpenAI's clients read."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storyteller.errors import StorytellerError
from storyteller.studio.errors import ConflictError, DeniedError, LimitError, NotFoundError
from storyteller.studio.store import StorageError

__all__ = ["Faults", "answer_errors", "error_answer", "message_of", "split_message"]

_log = logging.getLogger(__name__)

_CODES = {
    400: "bad_request",
    401: "unknown_user",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    415: "unsupported",
    422: "invalid",
    429: "too_often",
    500: "internal",
    507: "disk_full",
}


def answer_errors(app: FastAPI) -> None:
    """Answer every error that was foreseen in our shape, with a sentence on what to do next."""

    async def known(request: Request, error: Exception) -> Response:
        return error_answer(error, request.url.path)

    for kind in (StorytellerError, OSError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, known)


class Faults:
    """Answers what nobody expected: the trace goes to the log, a sentence to the writer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, and answer for what comes flying back."""
        begun = False

        async def send_noticed(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, send_noticed)
        except Exception as error:
            if scope["type"] != "http" or begun:
                raise
            _log.error("%s %s failed", scope["method"], scope["path"], exc_info=error)
            await error_answer(error, scope["path"])(scope, receive, send)


def error_answer(error: Exception, path: str = "") -> JSONResponse:
    """The answer for an error; `path` says who reads it."""
    status, message = _status(error), message_of(error)
    first, then = split_message(message)
    headers: dict[str, str] = {}
    if isinstance(error, LimitError) and error.retry_after:
        headers["retry-after"] = str(error.retry_after)
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    if path.startswith("/v1/"):
        kinds = {401: "authentication_error", 429: "rate_limit_error", 500: "server_error"}
        kind = kinds.get(status, "invalid_request_error")
        code = "model_not_found" if status == 404 else _CODES.get(status)
        body: Mapping[str, Any] = {"error": {"message": message, "type": kind, "param": None, "code": code}}
    else:
        told = {"code": _CODES.get(status, "error"), "message": first, "next": then}
        body = {"error": told} | (error.state if isinstance(error, ConflictError) else {})
    return JSONResponse(body, status, headers)


def split_message(message: str) -> tuple[str, str]:
    """What is wrong, and what to do next: our messages say the one in their first sentence, the other after it."""
    for end in (". ", "。", "\n"):
        first, found, rest = message.partition(end)
        if found and rest.strip():
            return first + found.rstrip(), rest.strip()
    return message, ""


def _status(error: Exception) -> int:
    if isinstance(error, HTTPException):
        return error.status_code
    if isinstance(error, DeniedError | LimitError):
        return error.status
    if isinstance(error, OSError):
        return 507 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 500
    if isinstance(error, StorageError):
        return 507
    kinds = {NotFoundError: 404, ConflictError: 409, RequestValidationError: 422, StorytellerError: 400}
    return next((status for kind, status in kinds.items() if isinstance(error, kind)), 500)


def message_of(error: Exception) -> str:
    """What a person is told of an error."""
    if isinstance(error, RequestValidationError):
        return f"the request is not understood: {'; '.join(_problem(one) for one in error.errors()[:3])}"
    if isinstance(error, HTTPException):
        return str(error.detail)
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return "the disk is full, so nothing more is kept. Download what is on the screen, and make room."
        return f"a file cannot be used: {error.strerror or error}. Look at the studio's folder, and try again."
    if isinstance(error, StorytellerError):
        return str(error)
    return "something in the studio went wrong, and nothing was changed. Try again; what it was stands in its log."


def _problem(problem: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in problem.get("loc", ()) if part != "body")
    return f"{place}: {problem.get('msg', '')}" if place else str(problem.get("msg", ""))
