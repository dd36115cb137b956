"""Ctrl-C for whoever looks after child processes: they are asked to save, and only then it ends."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

__all__ = ["stoppable"]


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM mean what Ctrl-C means, and both mean it even for a process that a script started in the background."""
    try:
        before = {
            number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)
        }
    except ValueError:  # not the main thread: whoever has it decides
        before = {}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
