"""What Alembic runs: the migrations on the connection that it was given, other tools' tables left alone."""

from __future__ import annotations

from typing import Any

from alembic import context

from storyteller.studio.jobs.table import JobRow
from storyteller.studio.store.tables import Base

_TABLES = {*Base.metadata.tables, JobRow.__tablename__}


def _ours(_: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    return kind != "table" or name in _TABLES


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=True,
    include_object=_ours,
)
with context.begin_transaction():
    context.run_migrations()
