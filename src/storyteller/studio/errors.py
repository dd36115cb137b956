"""What the studio refuses, each kind with an answer of its own over HTTP.

    StudioError
    ├── NotFoundError      404: there is nothing of that name, or it is another writer's
    ├── ConflictError      409: the manuscript has moved on since it was read
    ├── DeniedError        401, 403: who asks is not known, or may not
    └── LimitError         413, 429: too large, or too often

A message says what is wrong in its first sentence, and in the others what to do next: the answer has a place for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from storyteller.errors import StudioError

__all__ = ["ConflictError", "DeniedError", "LimitError", "NotFoundError", "StudioError"]


class NotFoundError(StudioError):
    """There is nothing of that name, or it is another writer's."""


class ConflictError(StudioError):
    """The manuscript has moved on since it was read; `state` is how it stands now."""

    def __init__(self, message: str, state: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.state = dict(state or {})


class DeniedError(StudioError):
    """Who asks is not known (401), or may not (403)."""

    def __init__(self, message: str, status: int = 403) -> None:
        super().__init__(message)
        self.status = status


class LimitError(StudioError):
    """What was sent is too large (413), or comes too often (429)."""

    def __init__(self, message: str, status: int = 413, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after
