"""What the supervisor makes of children that vanish, fail or were never written down, with children that train nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storyteller.corpus.read import MADE_BY, MANIFEST
from storyteller.runs.children import Child
from storyteller.studio.jobs import supervisor
from storyteller.studio.jobs.queue import Job, Queue
from storyteller.studio.jobs.supervisor import Supervisor
from storyteller.studio.jobs.training import Training, Wish

DEAD = Child(0, 0.0)


class Stage:
    """A job on a queue, and children that do at once what a test says."""

    def __init__(self, store: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queue, self.folder = Queue(store.database), folder
        (folder / "job").mkdir()
        self.commands: list[list[str]] = []
        self.child: Callable[[], str] = lambda: ""
        self.supervisor = Supervisor(self.queue, self.training)
        self.queue.add("job", "train", "Tales", {}, folder / "job")
        monkeypatch.setattr(supervisor, "start_child", self.start)

    def training(self, job: Job) -> Training:
        return Training(job.name, Wish(("in",)), job.folder, self.folder / "run")

    def start(self, arguments: list[str], log: Path, *, threads: int) -> Child:
        self.commands.append(arguments)
        log.write_text(self.child(), encoding="utf-8")
        return DEAD

    def prepared(self, dev: int = 1) -> str:
        corpus = self.folder / "job" / "corpus"
        corpus.mkdir()
        table = {"language": {"zh": {"stories": 9, "words": 900}}, "form": {}}
        report = {"table": table, "splits": {"dev": {"stories": dev}}, "kept": 9, "words": 900}
        (corpus / MANIFEST).write_text(json.dumps({"made_by": MADE_BY}))
        (corpus / "train.jsonl").write_text("{}")
        (corpus / "report.json").write_text(json.dumps(report))
        return "{}"

    @property
    def job(self) -> Job:
        return self.queue.get("job")

    def rounds(self, count: int) -> Job:
        for _ in range(count):
            self.supervisor.round()
        return self.job


@pytest.fixture
def stage(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(store, tmp_path, monkeypatch)


def test_the_two_commands(stage: Stage) -> None:
    stage.child = stage.prepared
    stage.rounds(1)
    stage.child = lambda: ""
    stage.rounds(1)
    prepare, finetune = stage.commands
    assert prepare[:2] == ["prepare", "in"]
    assert finetune[:2] == ["finetune", "own-stories"]
    assert 'name="Tales"' in finetune
    assert "train.minutes=5" in finetune
    assert "train.patience=4" in finetune
    assert any("海豹" in word for word in finetune), "samples are in the language of the stories"
    assert stage.job.attempts == 1, "the second command has attempts of its own"


def test_without_dev_stories_nothing_is_waited_for(stage: Stage) -> None:
    stage.child = lambda: stage.prepared(dev=0)
    stage.rounds(2)
    assert "train.patience=4" not in stage.commands[-1]
    warnings = stage.training(stage.job).report_file()
    assert warnings["splits"]["dev"]["stories"] == 0


def test_a_child_that_vanishes_is_started_again_three_times(stage: Stage) -> None:
    job = stage.rounds(10)
    assert len(stage.commands) == 3
    assert job.state == "interrupted"
    assert "ended 3 times" in job.message
    assert "resume" in job.next
    stage.queue.change("job", state="queued", attempts=0)
    assert stage.rounds(10).state == "interrupted"
    assert len(stage.commands) == 6


@pytest.mark.parametrize(
    ("said", "why", "then"),
    [
        ("step 1\nerror: No story left of 2 texts in x: 2 too short.\n", "No story left", "thirty words"),
        ("error: the first line\nand the second\n", "the first line and the second", "then resume"),
        ("Traceback (most recent call last):\n  ...\nValueError: odd\n", "ValueError: odd", "then resume"),
        ("error: the disk is out of memory", "out of memory", "train.rows=1"),
    ],
)
def test_a_child_that_fails_says_why(stage: Stage, said: str, why: str, then: str) -> None:
    stage.child = lambda: said
    job = stage.rounds(4)
    assert len(stage.commands) == 1
    assert job.state == "failed"
    assert why in job.message
    assert then in job.next
    assert (job.folder / "failed.txt").read_text() == said


def test_a_child_that_no_one_came_to_write_down_is_found(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.queue.claim()
    stage.queue.change("job", attempts=1, stage="report")
    monkeypatch.setattr(supervisor, "find_child", lambda mark: Child(1, 5.0) if mark.endswith("corpus") else None)
    monkeypatch.setattr(Child, "alive", property(lambda child: child.pid == 1))
    assert stage.rounds(1).child == Child(1, 5.0)
    assert stage.commands == []


def test_a_full_disk_is_told_before_anything_starts(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_DISK", 1 << 60)
    job = stage.rounds(2)
    assert (job.state, stage.commands) == ("failed", [])
    assert "disk" in job.message


def test_a_run_whose_files_are_damaged_fails_and_the_next_job_begins(stage: Stage) -> None:
    stage.child = stage.prepared
    stage.rounds(1)
    stage.child = lambda: ""
    (stage.folder / "job" / "corpus" / "report.json").write_text("{")
    assert stage.rounds(2).state == "failed"
    (stage.folder / "next").mkdir()
    stage.queue.add("next", "train", "Next", {}, stage.folder / "next")
    stage.rounds(1)
    assert stage.queue.get("next").state == "running"
