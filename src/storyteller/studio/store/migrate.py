"""Bringing a database up to date when the store opens it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from storyteller.studio.errors import StudioError
from storyteller.studio.store.database import Database

__all__ = ["alembic_config", "head_revision", "migrate"]

_LOCK = 0x73746F7279  # any number that all our servers agree on


def migrate(database: Database) -> None:
    """Make the tables, or change them to what this version needs; an older SQLite file is copied aside first.

    Raises `StudioError` for a database of a newer Storyteller.
    """
    with database.write() as session:
        connection = session.connection()
        if not database.sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        found, wanted = MigrationContext.configure(connection).get_current_revision(), head_revision()
        if found == wanted:
            return
        if found is not None and database.path is not None:
            _copy_aside(database.path, found)
        try:
            command.upgrade(alembic_config(connection), "head")
        except CommandError as error:
            raise StudioError(
                f"{database.url.database} was made by a newer Storyteller (revision {found}). Update Storyteller, or "
                "name another database."
            ) from error


def head_revision() -> str:
    """The revision of the tables that this version has."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head() or ""


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's settings, without a file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _copy_aside(path: Path, revision: str) -> None:
    """A whole copy of the file as it was before, readable by the version that wrote it."""
    aside = path.with_name(f"{path.stem}-{revision}{path.suffix}")
    if aside.exists():
        return
    aside.touch(mode=0o600)
    source, target = sqlite3.connect(path), sqlite3.connect(aside)
    try:
        source.backup(target)
    finally:
        source.close()
        target.close()
