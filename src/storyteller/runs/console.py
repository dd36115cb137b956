"""What the terminal shows: status lines on standard error, and progress that suits a person or a log file."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

__all__ = ["progress", "say"]


def say(message: str) -> None:
    """Print one status line to standard error, so that standard output stays clean for results."""
    print(message, file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(total: int | None, description: str) -> Iterator[Callable[..., None]]:
    """Yield `advance(n=1)`; a bar on a terminal, a line every ten seconds otherwise, nothing for short work in a log."""
    if sys.stderr.isatty():
        yield from _bar(total, description)
    else:
        yield from _lines(total, description)


def _bar(total: int | None, description: str) -> Iterator[Callable[..., None]]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total)

        def advance(n: int = 1) -> None:
            bar.advance(task, n)

        yield advance


def _lines(total: int | None, description: str, every: float = 10.0) -> Iterator[Callable[..., None]]:
    done = 0
    started = last = time.monotonic()

    def advance(n: int = 1) -> None:
        nonlocal done, last
        done += n
        now = time.monotonic()
        if now - last >= every:
            last = now
            share = f" of {total:,} ({done / total:.0%})" if total else ""
            say(f"{description}: {done:,}{share}, {now - started:.0f} s")

    yield advance
