"""The table of jobs: what was asked for, how far it is, and which server looks after it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Float, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from storyteller.studio.store.tables import Base

__all__ = ["JobRow"]


class JobRow(Base):
    """One job.

    `server` looks after a running job and says so in `beat` every other second; with an old beat another server of that
    `machine` takes the job over. `child` and `child_started` are the process that does the work. Times are seconds since
    1970, as the operating system gives them for processes.
    """

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    owner: Mapped[str] = mapped_column(String(16), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str]
    asked: Mapped[dict[str, Any]]
    folder: Mapped[str]
    state: Mapped[str] = mapped_column(String(16), index=True)
    stage: Mapped[str] = mapped_column(String(16))
    progress: Mapped[float] = mapped_column(Float)
    message: Mapped[str]
    next: Mapped[str]
    cancel: Mapped[bool] = mapped_column(Boolean)
    attempts: Mapped[int] = mapped_column(Integer)
    machine: Mapped[str]
    server: Mapped[str | None]
    beat: Mapped[float] = mapped_column(Float)
    child: Mapped[int | None] = mapped_column(Integer)
    child_started: Mapped[float | None] = mapped_column(Float)
    created: Mapped[float] = mapped_column(Float)
    ended: Mapped[float | None] = mapped_column(Float)
