"""Child processes that outlive the server that started them, and can be found again by the next one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["Child", "find_child", "start_child"]

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


def start_child(arguments: Sequence[str], log: Path, *, threads: int | None = None) -> Child:
    """Start `storyteller ARGUMENTS` in the background, at low priority, what it says going to the end of `log`.

    It is in a process group of its own, so that Ctrl-C on the server's terminal is not for it, and writes to a file and
    not to a pipe: the server may die and it goes on.
    """
    # A thread that waits for the others of its step sleeps: spinning, it would hold a core that somebody writes with. Two
    # spinning threads on two busy cores took over three times as long as two that sleep.
    environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
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
    # From here on it is known by its number alone: this server and the next one treat it alike.
    process.returncode = 0
    with contextlib.suppress(psutil.Error):
        running = psutil.Process(process.pid)
        started = running.create_time()
        # Set from here, before it has any thread: what a nice process starts is nice. No code runs between fork and exec.
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
