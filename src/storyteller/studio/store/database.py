"""The database behind the store: connections, transactions, and what is said when it cannot be used."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError, TimeoutError
from sqlalchemy.orm import Session

from storyteller.runs.home import studio_home
from storyteller.studio.errors import StudioError

__all__ = ["Database", "StorageError", "age", "new_id", "now"]

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: nothing that looks like something else
_BUSY_SECONDS = 30
_CONNECTIONS = 40  # as many as FastAPI has threads


class StorageError(StudioError):
    """The disk is full, or the database cannot be reached; nothing is damaged and nothing was half done."""


class Database:
    """An engine with the two kinds of transaction that the store knows."""

    def __init__(self, url: str | None = None) -> None:
        if url is None:
            url = f"sqlite:///{studio_home() / 'studio.db'}"
        elif url.startswith(("postgresql://", "postgres://")):
            url = f"postgresql+psycopg://{url.partition('://')[2]}"
        try:
            self.url = make_url(url)
        except ArgumentError:
            raise StudioError(
                "this is no address of a database. Give sqlite:///FILE or postgresql://USER@HOST/NAME."
            ) from None
        self.sqlite = self.url.get_backend_name() == "sqlite"
        named = self.url.database if self.sqlite else None
        self.path = Path(named).absolute() if named and named != ":memory:" else None
        if self.sqlite and self.path is None:
            raise StudioError("a database in memory would lose what is written. Give sqlite:///FILE.")
        self.engine = self._engine()
        # SQLite has one writer at a time; its own waiting is by sleeping and unfair, a lock wakes the next one at once.
        self.trouble: str | None = None  # why the last writing failed
        self._writing = threading.Lock() if self.sqlite else nullcontext()
        self._readers = self.engine if self.sqlite else self.engine.execution_options(isolation_level="REPEATABLE READ")
        self._writers = self.engine.execution_options(storyteller_write=True)

    def _engine(self) -> Engine:
        if self.path is not None:
            private_folder(self.path.parent)
            self.path.touch(mode=0o600)
        options: dict[str, Any] = {"timeout": _BUSY_SECONDS, "check_same_thread": False} if self.sqlite else {}
        try:
            engine = create_engine(
                self.url,
                connect_args=options,
                pool_size=_CONNECTIONS,
                pool_pre_ping=not self.sqlite,
            )
        except (SQLAlchemyError, ImportError) as error:
            raise StudioError(f"the database cannot be used: {error}. SQLite and PostgreSQL are known.") from error
        if self.sqlite:
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        return engine

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A transaction that sees one moment and changes nothing; it never waits for a writer."""
        with _told(self), Session(self._readers) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction that is on disk when the block ends, or never was."""
        with _told(self), self._writing, Session(self._writers) as session:
            yield session
            session.commit()
        self.trouble = None

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()


def private_folder(folder: Path) -> None:
    """Make a folder that only its owner can look into."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StorageError(f"{folder} cannot be made: {error.strerror}. Name another place.") from error


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions by itself
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-4000"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Any) -> None:
    writing = connection.get_execution_options().get("storyteller_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


@contextmanager
def _told(database: Database) -> Iterator[None]:
    """What the database says against a transaction, in our words."""
    try:
        yield
    except DBAPIError as error:
        database.trouble = _reason(str(error.orig), database)
        raise StorageError(database.trouble) from error
    except TimeoutError as error:
        raise StorageError("too many writers wait for the database. Nothing was changed; try again.") from error


def _reason(said: str, database: Database) -> str:
    place = database.path or database.url.render_as_string(hide_password=True)
    low = said.lower()
    if "full" in low or "no space" in low:
        return (
            f"the disk is full, so nothing more is kept in {place}. Download what is on the screen, and make room; "
            "what was saved before can still be read."
        )
    if "locked" in low or "busy" in low:
        return f"{place} is held by another program. Close what else has it open, and try again."
    if "not a database" in low or "malformed" in low:
        return f"{place} is damaged. Move it aside and restore the last backup."
    return f"the database {place} cannot be used: {said.strip()}. Nothing was changed; try again."


def now() -> str:
    """The time, as it is stored."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def age(stamp: str) -> float:
    """The seconds since a stored time."""
    return (datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds()


def _counter() -> Callable[[], str]:
    lock, last, chance = threading.Lock(), [0], random.SystemRandom()

    def make() -> str:
        with lock:
            moment = int(time.time() * 1000) << 35 | chance.getrandbits(34)
            last[0] = number = max(moment, last[0] + 1)
        return "".join(_DIGITS[number >> shift & 31] for shift in range(75, -1, -5))

    return make


new_id = _counter()
"""A new id of 16 letters: 45 bits of time, 35 of chance; those of one process rise."""
