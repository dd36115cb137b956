"""A writer's own things: settings, and the servers that they connected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from storyteller.studio.errors import NotFoundError
from storyteller.studio.store.database import new_id, now
from storyteller.studio.store.records import Connection
from storyteller.studio.store.room import Room, checked, known
from storyteller.studio.store.tables import ConnectionRow, SettingsRow

__all__ = ["Desk"]


class Desk(Room):
    """The settings and connections of one writer."""

    def settings(self) -> dict[str, Any]:
        """The writer's settings, as they were saved."""
        with self._database.read() as session:
            row = session.get(SettingsRow, self.owner)
            return dict(row.data) if row else {}

    def save_settings(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Keep the settings in the place of those before."""
        with self._database.write() as session:
            session.merge(SettingsRow(owner=self.owner, data=dict(checked(values))))
        return dict(values)

    def connections(self) -> list[Connection]:
        """The servers that the writer connected."""
        with self._database.read() as session:
            rows = select(ConnectionRow).where(ConnectionRow.owner == self.owner).order_by(ConnectionRow.id)
            return [self._connection(row) for row in session.scalars(rows)]

    def connection(self, connection: str) -> Connection:
        """One of them."""
        with self._database.read() as session:
            return self._connection(self._connection_row(session, connection))

    def save_connection(self, fields: Mapping[str, Any]) -> Connection:
        """Add a connection, or change the one whose `id` is given; without `key` its key stays, with "" it goes."""
        known(fields, ("id", "name", "url", "model", "key"), "a connection")
        with self._database.write() as session:
            if fields.get("id"):
                row = self._connection_row(session, fields["id"])
            else:
                row = ConnectionRow(id=new_id(), owner=self.owner, name="", url="", model="", created=now())
                session.add(row)
            for name in ("name", "url", "model"):
                if fields.get(name) is not None:
                    setattr(row, name, checked(fields[name]))
            session.flush()
            if fields.get("key") is not None:
                self._shared.keys.put(row.id, fields["key"])
            return self._connection(row)

    def delete_connection(self, connection: str) -> None:
        """Forget a connection and its key."""
        with self._database.write() as session:
            session.delete(self._connection_row(session, connection))
        self._shared.keys.put(connection, None)

    def connection_key(self, connection: str) -> str | None:
        """A connection's key: for the request to that server, never for an answer."""
        with self._database.read() as session:
            self._connection_row(session, connection)
        return self._shared.keys.get(connection)

    def _connection_row(self, session: Session, connection: str) -> ConnectionRow:
        row = session.get(ConnectionRow, connection)
        if row is None or row.owner != self.owner:
            raise NotFoundError(f"there is no connection {connection!r}. Read the list again.")
        return row

    def _connection(self, row: ConnectionRow) -> Connection:
        has_key = self._shared.keys.get(row.id) is not None
        return {"id": row.id, "name": row.name, "url": row.url, "model": row.model, "has_key": has_key}
