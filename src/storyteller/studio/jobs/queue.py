"""The durable queue: rows in the studio's database, each looked after by one server at a time."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import psutil
from sqlalchemy import CursorResult, and_, delete, exists, select, update
from sqlalchemy.orm import aliased

from storyteller.runs.children import Child
from storyteller.studio.errors import NotFoundError
from storyteller.studio.jobs.table import JobRow
from storyteller.studio.store.database import Database

__all__ = ["Job", "Queue", "State"]

State = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]

_LEASE = 15.0  # seconds without a beat after which a server is taken for dead
_BEAT = 2.0  # seconds between beats


@dataclass(frozen=True, slots=True)
class Job:
    """One row: see `table`."""

    id: str
    owner: str
    kind: str
    name: str
    asked: Mapping[str, Any]
    folder: Path
    state: State
    stage: str
    progress: float
    message: str
    next: str
    cancel: bool
    attempts: int
    machine: str
    server: str | None
    beat: float
    child: Child | None
    created: float
    ended: float | None


class Queue:
    """The jobs in a database. Several servers may share it: each sees only jobs of its own machine as its to do."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.machine = platform.node() or "here"
        own = psutil.Process()
        self.server = f"{own.pid}:{own.create_time():.2f}"

    def add(self, job: str, kind: str, name: str, asked: Mapping[str, Any], folder: Path, owner: str = "") -> Job:
        """Put a job at the end of the queue."""
        row = JobRow(
            id=job,
            owner=owner,
            kind=kind,
            name=name,
            asked=dict(asked),
            folder=str(folder),
            state="queued",
            stage="received",
            progress=0.0,
            message="",
            next="",
            cancel=False,
            attempts=0,
            machine=self.machine,
            server=None,
            beat=0.0,
            child=None,
            child_started=None,
            created=time.time(),
            ended=None,
        )
        with self._database.write() as session:
            session.add(row)
            return _job(row)

    def get(self, job: str, owner: str | None = None) -> Job:
        """One job; `NotFoundError` if there is none of that id, or it is another writer's than `owner`."""
        with self._database.read() as session:
            row = session.get(JobRow, job)
            if row is None or (owner is not None and row.owner != owner):
                raise NotFoundError(f"there is no training {job!r}; it may have been deleted. Look at the list.")
            return _job(row)

    def all(self, owner: str) -> list[Job]:
        """Every job of one writer, the newest first."""
        wanted = select(JobRow).where(JobRow.owner == owner).order_by(JobRow.created.desc())
        with self._database.read() as session:
            return [_job(row) for row in session.scalars(wanted)]

    def change(self, job: str, **values: Any) -> None:
        """Set columns of a job; `child` is a `Child` or None."""
        if "child" in values:
            child = values["child"]
            values |= {"child": child.pid, "child_started": child.started} if child else {"child_started": None}
        with self._database.write() as session:
            session.execute(update(JobRow).where(JobRow.id == job).values(**values))

    def remove(self, job: str) -> None:
        """Forget a job."""
        with self._database.write() as session:
            session.execute(delete(JobRow).where(JobRow.id == job))

    def mine(self) -> list[Job]:
        """The running jobs that this server looks after; from now on those of dead servers of this machine, too."""
        here = and_(JobRow.state == "running", JobRow.machine == self.machine)
        with self._database.read() as session:
            running = [_job(row) for row in session.scalars(select(JobRow).where(here))]
        now = time.time()
        for job in running:
            own = job.server == self.server
            if job.beat < now - _BEAT if own else job.beat < now - _LEASE or _dead(job.server):
                unchanged = and_(JobRow.id == job.id, JobRow.server == job.server, JobRow.beat == job.beat)
                with self._database.write() as session:
                    session.execute(update(JobRow).where(unchanged).values(server=self.server, beat=now))
        if not running:
            return []
        with self._database.read() as session:
            kept = select(JobRow).where(here, JobRow.server == self.server).order_by(JobRow.created)
            return [_job(row) for row in session.scalars(kept)]

    def claim(self) -> Job | None:
        """Set the oldest queued job running, if no other one runs on this machine: one training at a time."""
        first = (
            select(JobRow.id)
            .where(JobRow.state == "queued", JobRow.machine == self.machine)
            .order_by(JobRow.created)
            .limit(1)
        )
        with self._database.read() as session:
            job = session.scalar(first)
        if job is None:
            return None
        other = aliased(JobRow)
        busy = exists().where(other.state == "running", other.machine == self.machine)
        taken = update(JobRow).where(JobRow.id == job, JobRow.state == "queued", ~busy)
        with self._database.write() as session:
            values = {"state": "running", "server": self.server, "beat": time.time()}
            if cast("CursorResult[Any]", session.execute(taken.values(**values))).rowcount == 0:
                return None
        return self.get(job)


def _dead(server: str | None) -> bool:
    """Whether a server of this machine, as it called itself, has ended."""
    pid, _, started = (server or "").partition(":")
    return not started or not Child(int(pid), float(started)).alive


def _job(row: JobRow) -> Job:
    values = {name: getattr(row, name) for name in Job.__dataclass_fields__}
    child = None if row.child is None else Child(row.child, row.child_started or 0.0)
    return Job(**values | {"folder": Path(row.folder), "child": child})
