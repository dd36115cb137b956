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
    ("given", "command", "expected"),
    [
        ({}, ["write", "--help"], "500 None"),
        ({"GOMP_SPINCOUNT": "7"}, ["studio", "--help"], "7 None"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, ["serve", "--help"], "None ACTIVE"),
        ({}, ["finetune", "--help"], "None None"),  # a training has its cores to itself
    ],
)
def test_the_threads_of_what_writes_sleep_soon_unless_the_user_said_otherwise(
    given: dict[str, str], command: list[str], expected: str
) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    code = (
        "import atexit, os, sys; from storyteller.cli import main; "
        "said = lambda: [os.environ.get('GOMP_SPINCOUNT'), os.environ.get('OMP_WAIT_POLICY'), 'torch' in sys.modules];"
        "atexit.register(lambda: print(*said()));"
        f"sys.argv[1:] = {command}; main()"
    )
    said = subprocess.run([sys.executable, "-c", code], env=kept | given, capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == f"{expected} False"  # before torch, which reads it once
