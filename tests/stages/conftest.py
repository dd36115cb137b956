"""Children that train in no time: they write what a run's folder holds, and import nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest
from tests.postgresql import postgresql, postgresql_database

from storyteller.runs.children import Child

__all__ = ["postgresql", "postgresql_database"]

#: Stand-ins for `storyteller prepare` and `storyteller evaluate`, each of which leaves what a pipeline looks for.
_OTHERS = """
import os, pathlib, sys, time

words = sys.argv[2:]
out = pathlib.Path(words[words.index("--out") + 1])
print("reading", flush=True)
time.sleep(float(os.environ.get("STORYTELLER_TEST_PAUSE", "0")))
if "--fail" in words:
    sys.exit("error: no story could be read")
out.mkdir(parents=True, exist_ok=True)
(out / ("manifest.json" if words[0] == "prepare" else "report.json")).write_text("{}")
"""

#: A stand-in for `storyteller finetune RECIPE --out RUN` and `--resume RUN`. Its loss is |log10(lr) + 3| + 1/step; a rate over
#: 0.5 fails, and a step takes $STORYTELLER_TEST_PAUSE seconds. It goes on from the step in `last.json`.
_TRAINING = """
import json, math, os, pathlib, signal, sys, time, yaml

words = sys.argv[2:]
resumed = "--resume" in words
run = pathlib.Path(words[-1])
if not resumed:
    values = yaml.safe_load(pathlib.Path(words[1]).read_text())
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text(yaml.safe_dump(values))
values = yaml.safe_load((run / "recipe.yaml").read_text())
train = values["train"]
if train["lr"] > 0.5:
    sys.exit("error: step 1: the loss is nan")
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
last = run / "last.json"
begin = json.loads(last.read_text())["step"] if resumed and last.exists() else 0
with (run / "events.log").open("a") as events, (run / "metrics.jsonl").open("a") as metrics:
    events.write(f"2026-01-01 00:00:00 {'resumed' if resumed else 'began'} at step {begin}\\n")
    for step in range(begin + 1, train["steps"] + 1):
        time.sleep(float(os.environ.get("STORYTELLER_TEST_PAUSE", "0")))
        loss = abs(math.log10(train["lr"]) + 3) + 1 / step
        metrics.write(json.dumps({"step": step, "split": "dev", "loss": loss, "bits_per_byte": loss}) + "\\n")
        metrics.flush()
        last.write_text(json.dumps({"step": step, "checkpoint": f"step-{step}"}))
        (run / "checkpoints").mkdir(exist_ok=True)
        if asked:
            sys.exit(130)
    (run / "final").mkdir()
    events.write("2026-01-01 00:00:01 finished\\n")
"""


@pytest.fixture
def quick_children(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """Let trials and stages be done by children that take no time; the commands that were started are kept."""
    started: list[Sequence[str]] = []
    monkeypatch.setattr("storyteller.stages.trial.start_child", starter(started))
    monkeypatch.setattr("storyteller.stages.pipeline.start_child", starter(started))
    monkeypatch.setattr("storyteller.stages.trial._ROUND", 0.02)
    monkeypatch.setattr("storyteller.stages.pipeline._ROUND", 0.02)
    return started


def starter(started: list[Sequence[str]]) -> Callable[..., Child]:
    """A stand-in for `start_child`."""

    def start(arguments: Sequence[str], log: Path, *, polite: bool = True) -> Child:
        started.append(list(arguments))
        with log.open("ab") as output:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    _OTHERS if arguments[0] in ("prepare", "evaluate") else _TRAINING,
                    "storyteller",
                    *arguments,
                ],
                stdout=output,
                stderr=output,
                env=dict(os.environ),
            )
        process.returncode = 0
        return Child(process.pid, psutil.Process(process.pid).create_time())

    return start
