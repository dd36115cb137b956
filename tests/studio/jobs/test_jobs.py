"""Trainings with the real command and a tiny model: all the way, stopped and gone on with, killed with its server."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.studio.jobs.conftest import SMALL, TEN

from storyteller.errors import RecipeError
from storyteller.models import locate
from storyteller.recipe import load_recipe
from storyteller.runs import Run
from storyteller.runs.children import find_child
from storyteller.studio.errors import NotFoundError, StudioError
from storyteller.studio.jobs import Jobs, supervisor
from storyteller.train import finetune

MakeJobs = Callable[..., Jobs]


@pytest.fixture
def make_jobs(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeJobs]:
    """Jobs in this test's folder, one thread each; whatever still trains at its end is killed."""
    monkeypatch.setattr(supervisor, "threads", lambda: 1)
    made: list[Jobs] = []

    def make(**options: Any) -> Jobs:
        made.append(Jobs(store, tmp_path / "runs", folder=tmp_path / "jobs", **options))
        return made[-1]

    yield make
    for jobs in made:
        jobs.close()
    for process in psutil.process_iter(["cmdline"]):
        if any(str(tmp_path) in argument for argument in process.info["cmdline"] or []):
            process.kill()


def until(what: Callable[[], Any], seconds: float = 300) -> Any:
    """Wait for something to be true."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
    return found


def weights(run: str | Path) -> bytes:
    return (Path(run) / "final" / "adapter_model.safetensors").read_bytes()


def test_ten_pasted_stories(make_jobs: MakeJobs, tiny_llama: Path) -> None:
    jobs = make_jobs()
    overrides = [*SMALL, "train.steps=12", "samples.prompts=[A seal]", "samples.words=5"]
    asked = jobs.start("My Tales, 一", text=TEN, base=str(tiny_llama), overrides=overrides)
    assert (asked["state"], asked["stage"]) == ("queued", "received")
    seen = list(jobs.events(asked["id"]))
    assert {"report", "estimate", "done"} <= {view["stage"] for view in seen}
    done = seen[-1]
    assert (done["state"], done["stage"], done["progress"], done["eta_seconds"]) == ("done", "done", 1.0, None)
    report = done["report"]
    assert (report["read"], report["kept"], report["dropped"]) == (10, 10, [])
    assert (report["languages"], report["forms"]) == ({"en": 10}, {"story": 10})
    assert report["splits"] == {"train": 9, "dev": 1, "test": 0}
    assert [warning["code"] for warning in report["warnings"]] == ["little"]
    assert done["estimate"]["steps"] == 12
    assert [point["step"] for point in done["curve"]] == list(range(13))
    assert done["curve"][0].keys() == {"step", "loss", "dev"}
    assert [sample["step"] for sample in done["samples"]] == [0, 8, 12]
    assert done["samples"][0]["text"].startswith("## A seal\n")
    assert done["figures"]["best"] < done["figures"]["base"]
    assert "bits per byte on stories that it did not see" in done["message"]
    assert Path(done["run"]).name == "my-tales-一"
    assert locate(done["model"]).adapter == Path(done["run"]) / "final"
    assert "curve" not in jobs.jobs()[0]
    sources = sorted((jobs._folder / asked["id"] / "sources").iterdir())
    assert len(sources) == 10
    jobs.delete(asked["id"])
    assert not sources[0].exists()
    assert locate(done["model"]).adapter is not None
    with pytest.raises(NotFoundError):
        jobs.job(asked["id"])


SERVER = """
import sys, time
from pathlib import Path
from tests.studio.jobs.conftest import make_store
from storyteller.studio.jobs import Jobs, supervisor
supervisor.threads = lambda: 1
home = Path(sys.argv[1])
jobs = Jobs(make_store(home / "studio.db"), home / "runs", folder=home / "jobs")
time.sleep(600)
"""


@pytest.mark.slow  # three times torch is imported by a nice process
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_kill_9_of_server_and_child(store: Any, make_jobs: MakeJobs, tiny_llama: Path, tmp_path: Path) -> None:
    """A server and then a child are killed: the child is adopted, the run goes on, and ends where it would have ended."""
    overrides = [*SMALL, "train.steps=80", "train.save_every=5", "train.evaluate_every=40", "model.lora.dropout=0.1"]
    jobs = make_jobs(supervise=False)
    job = jobs.start("killed", text=TEN, base=str(tiny_llama), overrides=overrides)["id"]
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path)], cwd=Path(__file__).parents[3])
    run = tmp_path / "runs" / "killed"
    try:
        until(lambda: (run / "last.json").exists())
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
    child = find_child(str(run))
    assert child is not None, "the child outlives its server"
    assert psutil.Process(child.pid).nice() >= 10
    os.kill(child.pid, signal.SIGSTOP)  # so that it cannot end before the next server has found it
    after = make_jobs()
    until(lambda: after._queue.get(job).server == after._queue.server)
    assert after._queue.get(job).child == child
    os.kill(child.pid, signal.SIGCONT)
    step = after.job(job)["step"]
    until(lambda: after.job(job)["step"] > step)
    os.kill(child.pid, signal.SIGKILL)
    done = list(after.events(job))[-1]
    assert done["state"] == "done"
    assert after._queue.get(job).attempts == 2
    assert "resumed at step" in (run / "events.log").read_text("utf-8")
    whole = finetune(load_recipe(run / "asked.yaml"), tmp_path / "whole")
    assert weights(whole.folder) == weights(run)
    told = [[(line["step"], line["split"], line["loss"]) for line in one.metrics()] for one in (whole, Run(run))]
    assert told[0] == told[1]


@pytest.mark.slow
def test_cancel_and_resume(make_jobs: MakeJobs, tiny_llama: Path) -> None:
    jobs = make_jobs()
    overrides = [*SMALL, "train.steps=3000"]
    job = jobs.start("long", text=TEN, base=str(tiny_llama), overrides=overrides)["id"]
    waiting = jobs.start("next", text=TEN, base=str(tiny_llama))["id"]
    until(lambda: jobs.job(job)["step"] > 3)
    assert jobs.job(waiting)["state"] == "queued"
    assert jobs.cancel(waiting)["state"] == "cancelled"
    assert "saved first" in jobs.cancel(job)["message"]
    with pytest.raises(StudioError, match="still stopping"):
        jobs.resume(job)
    stopped = list(jobs.events(job))[-1]
    assert stopped["state"] == "cancelled"
    assert f"step {stopped['step']} is saved" in stopped["message"]
    assert jobs.resume(job)["state"] == "queued"
    until(lambda: jobs.job(job)["step"] > stopped["step"])
    run = Path(stopped["run"])
    assert f"resumed at step {stopped['step']}" in (run / "events.log").read_text("utf-8")
    jobs.cancel(job)
    assert list(jobs.events(job))[-1]["state"] == "cancelled"
    jobs._queue.change(job, state="running")
    with pytest.raises(StudioError, match="stop it first"):
        jobs.delete(job)


def test_what_cannot_be_trained_says_why(make_jobs: MakeJobs, tiny_llama: Path) -> None:
    jobs = make_jobs()
    job = jobs.start("short", text="A seal. A lamp.", base=str(tiny_llama))["id"]
    failed = list(jobs.events(job))[-1]
    assert (failed["state"], failed["stage"], failed["curve"]) == ("failed", "report", [])
    assert "No story left of 1 texts" in failed["message"]
    assert "too short" in failed["message"]
    assert "thirty words" in failed["next"]


def test_what_is_refused_at_once(make_jobs: MakeJobs, tmp_path: Path) -> None:
    jobs = make_jobs(supervise=False)
    with pytest.raises(StudioError, match="nothing to train on"):
        jobs.start("a", text=" ")
    with pytest.raises(StudioError, match="does not exist on this machine"):
        jobs.start("a", paths=[tmp_path / "nowhere"])
    with pytest.raises(StudioError, match="cannot be kept to"):
        jobs.start("a", text=TEN, minutes=0)
    with pytest.raises(RecipeError, match="did you mean the bundled recipe 'tales'"):
        jobs.start("a", text=TEN, recipe="tails")
    with pytest.raises(RecipeError, match=r"train.learning"):
        jobs.start("a", text=TEN, overrides=["train.learning=1"])
    assert jobs.jobs() == []
    assert not any((tmp_path / "jobs").glob("*"))
    one, two = (jobs.start("../A b/", text=TEN) for _ in range(2))
    assert [Path(job["run"]).name for job in (one, two)] == ["a-b", "a-b-2"]


@pytest.mark.slow
def test_ten_stories_and_the_real_model(make_jobs: MakeJobs) -> None:
    """A minute of training on the model that people get: it loads, learns, and its model can be located."""
    if shutil.disk_usage("/").free < 2 << 30:
        pytest.skip("needs 2 GB")
    jobs = make_jobs()
    job = jobs.start("ten", text=TEN, minutes=1, overrides=["train.steps=3", "train.rows=1", "samples.prompts=[]"])
    done = list(jobs.events(job["id"]))[-1]
    assert done["state"] == "done", done["message"]
    assert done["figures"].keys() == {"base", "best", "best_step"}
    assert locate(done["model"]).base == "smollm2-135m-instruct"
