"""The queue: one training at a time, one server a job, and dead servers' jobs taken over."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from storyteller.runs.children import Child
from storyteller.studio.errors import NotFoundError
from storyteller.studio.jobs.queue import Queue


def add(queue: Queue, name: str, owner: str = "") -> str:
    return queue.add(name, "train", name, {"run": "x"}, Path(name), owner).id


def test_one_at_a_time_in_order(store: Any) -> None:
    queue = Queue(store.database)
    for name in "abc":
        add(queue, name)
    first = queue.claim()
    assert first is not None
    assert (first.id, first.state) == ("a", "running")
    assert queue.claim() is None
    queue.change("a", state="done")
    queue.change("b", state="cancelled")
    assert [job.id for job in [queue.claim()] if job] == ["c"]
    assert [job.id for job in queue.all("")] == ["c", "b", "a"]


def test_another_writers_job_is_not_there(store: Any) -> None:
    queue = Queue(store.database)
    add(queue, "a", "ana")
    assert queue.get("a", "ana").owner == "ana"
    assert queue.all("bo") == []
    with pytest.raises(NotFoundError):
        queue.get("a", "bo")
    with pytest.raises(NotFoundError):
        queue.get("nothing")


def test_a_living_servers_job_is_left_alone_and_a_dead_ones_taken(store: Any) -> None:
    queue, other = Queue(store.database), Queue(store.database)
    add(queue, "a")
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        other.server = f"{process.pid}:{psutil.Process(process.pid).create_time():.2f}"
        assert other.claim() is not None
        assert queue.mine() == []
        assert [job.id for job in other.mine()] == ["a"]
    finally:
        process.kill()
        process.communicate()
    assert [job.server for job in queue.mine()] == [queue.server]
    assert other.mine() == []


def test_a_server_that_hangs_loses_its_lease(store: Any) -> None:
    queue, other = Queue(store.database), Queue(store.database)
    add(queue, "a")
    other.server = queue.server.replace(":", "0:")  # no such process, but let it live by its beat
    queue.claim()
    queue.change("a", server=f"1:{psutil.Process(1).create_time():.2f}", beat=time.time())
    assert queue.mine() == []
    queue.change("a", beat=time.time() - 60)
    assert [job.id for job in queue.mine()] == ["a"]


def test_jobs_of_another_machine_are_its_own(store: Any) -> None:
    queue, other = Queue(store.database), Queue(store.database)
    other.machine = "elsewhere"
    add(other, "a")
    assert queue.claim() is None
    assert other.claim() is not None
    assert queue.mine() == []


def test_a_number_that_was_given_out_again_is_another_process() -> None:
    own = psutil.Process()
    assert Child(own.pid, own.create_time()).alive
    assert not Child(own.pid, own.create_time() - 5).alive
    assert not Child(0, 0.0).alive
