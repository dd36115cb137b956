"""Child processes that outlive whoever started them, and can be found again by the next one that looks."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from storyteller.threads import SLEEP_AT_ONCE

__all__ = ["Child", "Ending", "find_child", "read_ending", "start_child"]

_NICE = 10  # a model that writes while another one trains gets nine tenths of a core that both want
_SLACK = 0.05  # seconds that two readings of one process's start differ by


@dataclass(frozen=True, slots=True)
class Child:
    """A process by its number and the second at which it started: the number alone is given out again."""

    pid: int
    started: float

    @property
    def alive(self) -> bool:
        """Whether it still runs; a process that has ended and was not fetched by its parent does not."""
        with contextlib.suppress(ChildProcessError, PermissionError, AttributeError):
            os.waitpid(self.pid, os.WNOHANG)  # fetches it when it is our own
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _SLACK
            return bool(same and process.status() != psutil.STATUS_ZOMBIE)
        return False

    def interrupt(self) -> None:
        """What Ctrl-C does: a training finishes its step, saves a checkpoint and ends; a second time it leaves at once.

        Sent is SIGTERM, which means the same to it: a server that was started in the background of a script hands down
        that SIGINT is ignored.
        """
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def stop(self, patience: float = 120.0) -> None:
        """Ask it to end, wait `patience` seconds for what it saves, ask again, and end it by force if it must be."""
        for seconds in (patience, 10.0):
            self.interrupt()
            if self._ends_within(seconds):
                return
        with contextlib.suppress(psutil.Error):
            psutil.Process(self.pid).kill()
        self._ends_within(10.0)

    def _ends_within(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command ended by what it said last: "failed" with the reason, or "gone" without a word."""

    how: str
    why: str = ""


def read_ending(log: Path) -> Ending:
    """How the command that wrote `log` ended, if it did not do what it was started for."""
    text = log.read_text("utf-8", "replace") if log.is_file() else ""
    lines = [line.strip() for line in text.splitlines()]
    last = next((line for line in reversed(lines) if line), "")
    start = next((number for number in range(len(lines) - 1, -1, -1) if lines[number].startswith("error: ")), None)
    if start is not None:
        return Ending("failed", " ".join(lines[start:]).removeprefix("error: "))
    if any(line.startswith("Traceback") for line in lines):
        return Ending("failed", f"an error that nobody foresaw: {last}. The whole of it: {log}")
    return Ending("gone", last)


def start_child(arguments: Sequence[str], log: Path, *, threads: int | None = None, polite: bool = True) -> Child:
    """Start `storyteller ARGUMENTS` in the background, at low priority if `polite`; what it says goes to the end of `log`.

    It is in a process group of its own, so that Ctrl-C on the terminal of who started it is not for it, and writes to a
    file and not to a pipe: who started it may die and it goes on.
    """
    # A thread that waits for the others of its step sleeps: spinning, it would hold a core that somebody writes with. Two
    # spinning threads on two busy cores took over three times as long as two that sleep.
    environment = os.environ | (SLEEP_AT_ONCE if polite else {})
    if threads is not None:
        environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    log.parent.mkdir(parents=True, exist_ok=True)
    apart = {"creationflags": 0x200} if sys.platform == "win32" else {"process_group": 0}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "storyteller", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            **apart,  # type: ignore[call-overload]
        )
    # From here on it is known by its number alone: who started it and who comes next treat it alike.
    process.returncode = 0
    with contextlib.suppress(psutil.Error):
        running = psutil.Process(process.pid)
        started = running.create_time()
        # Set from here, before it has any thread: what a nice process starts is nice. No code runs between fork and exec.
        if polite:
            running.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else _NICE)
        return Child(process.pid, started)
    return Child(process.pid, 0.0)  # it has ended already; its log says why


def find_child(mark: str) -> Child | None:
    """A living child that has `mark` among its arguments: one whose number nobody came to write down."""
    for process in psutil.process_iter(["cmdline", "create_time", "status"]):
        arguments = process.info["cmdline"] or []
        if mark in arguments and "storyteller" in arguments and process.info["status"] != psutil.STATUS_ZOMBIE:
            return Child(process.pid, process.info["create_time"])
    return None
