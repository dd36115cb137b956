"""kill -9 at random moments: everything that was confirmed is there, and at most one change more."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.studio.store.writing import covers, insert, new_scene, undo_all

from storyteller.studio.store import Store

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("kills", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_what_was_confirmed_survives_kill_9_at_any_moment(url: str, tmp_path: Path, kills: int) -> None:
    rng = random.Random(6)
    store = Store(url)
    scene = new_scene(store.writer())
    store.close()
    for kill in range(kills):
        confirmed = _write_until_killed(url, scene, tmp_path / f"{kill}.jsonl", rng.uniform(0.1, 0.8))
        store = Store(url)
        store.recover()
        writer = store.writer()
        now = writer.scene(scene)
        saved = [line for line in confirmed if "text" in line]
        streamed = {line["generation"]: line["said"] for line in confirmed if "generation" in line}
        assert saved
        assert streamed
        last = saved[-1]["text"]
        assert _is_next(last, now["text"]) or ("undoing" in saved[-1] and last.startswith(now["text"]))
        assert covers(now)
        statuses = set()
        for generation, said in streamed.items():
            kept = writer.generation(generation)
            assert _is_next(said, kept["candidates"][0]["text"])
            statuses.add(kept["status"])
        assert "running" not in statuses
        if "interrupted" in statuses:
            assert writer.recovered(scene)
        insert(writer, scene, 0, f"after kill {kill}. ")
        if store.database.sqlite:
            with store.database.read() as session:
                assert session.scalar(text("PRAGMA integrity_check")) == "ok"
        store.close()
    store = Store(url)
    assert undo_all(store.writer(), scene)[-1]["text"] == ""
    store.close()


def _is_next(confirmed: str, found: str) -> bool:
    """Whether what is found is what was confirmed, or that with one more word that was not told in time."""
    return found.startswith(confirmed) and found.removeprefix(confirmed).count(" ") <= 1


def _write_until_killed(url: str, scene: str, out: Path, seconds: float) -> list[dict[str, str]]:
    """What the writing process confirmed before it was killed, `seconds` after its first words."""
    with out.open("w") as file:
        child = subprocess.Popen([sys.executable, "-m", "tests.studio.store.killed", url, scene], cwd=ROOT, stdout=file)
        try:
            begun = time.monotonic()
            while out.read_text().count("said") < 3 or '"text"' not in out.read_text():
                assert child.poll() is None, "the writing process ended"
                assert time.monotonic() - begun < 60
                time.sleep(0.02)
            time.sleep(seconds)
        finally:
            child.kill()
            child.wait()
    lines = out.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]
