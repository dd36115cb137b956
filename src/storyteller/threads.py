"""How OpenMP's threads wait for one another: its library reads it once, when PyTorch or llama.cpp loads it.

libgomp's default spins for milliseconds at each wait, which is the fastest for a training that has its cores to itself. A small
model that writes has 450 waits a token, and where another process, such as a training, has a core, each of them spins a time
slice away: seconds a token instead of hundredths.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

__all__ = ["SLEEP_AT_ONCE", "sleep_soon", "sleep_soon_here"]

SLEEP_AT_ONCE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
"""For a process in the background: what spins would hold a core that somebody writes with."""

_TURNS = "500"
"""Some microseconds. LLVM's OpenMP, that of macOS, does not read it."""


def sleep_soon() -> None:
    """Let the threads of this process sleep soon, whichever library comes first; a choice of the user's own is left alone."""
    if not SLEEP_AT_ONCE.keys() & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = _TURNS


@contextlib.contextmanager
def sleep_soon_here() -> Iterator[None]:
    """The same for a library that is loaded within this block; in vain where PyTorch has loaded its OpenMP before."""
    if SLEEP_AT_ONCE.keys() & os.environ.keys():
        yield
        return
    sleep_soon()
    try:
        yield
    finally:
        del os.environ["GOMP_SPINCOUNT"]
