"""How many threads compute, and how they wait: what a user has set is kept, and the rest suits a machine that is shared."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from storyteller.generate.engine import cores


@pytest.mark.parametrize(
    ("asked", "expected"), [("1", 1), ("2,1", 2), ("64", 4), ("", 4), ("many", 4), ("0", 1), (" 3 ", 3)]
)
def test_as_many_threads_as_were_asked_for_and_no_more_than_there_are_cores(
    monkeypatch: pytest.MonkeyPatch, asked: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(4)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert cores() == expected
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert cores() == 4


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "500"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_waiting_threads_sleep_soon_unless_the_user_said_otherwise(given: dict[str, str], expected: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    code = "import os, sys, storyteller; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], env=kept | given, capture_output=True, text=True, check=True)
    assert said.stdout.split() == [expected, "False"]
