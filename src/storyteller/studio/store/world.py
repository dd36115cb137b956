"""What a story is made of beside its text: entries, the plan with its versions, the chat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from storyteller.studio.errors import NotFoundError, StudioError
from storyteller.studio.store.database import new_id, now
from storyteller.studio.store.records import Entry, Message, Plan, PlanVersion
from storyteller.studio.store.room import Room, checked, known
from storyteller.studio.store.tables import EntryRow, MessageRow, PlanRow, ProjectRow

__all__ = ["World"]

_ENTRY: dict[str, Any] = {
    "kind": "other",
    "name": "",
    "aliases": [],
    "not": [],
    "text": "",
    "always": False,
    "enabled": True,
    "priority": 0,
    "proposed": False,
    "extra": {},
}
_EMPTY_PLAN: Plan = {"premise": "", "people": [], "outline": [], "chosen": None, "summary": ""}


class World(Room):
    """The entries, plans and chats of one writer."""

    def entries(self, project: str) -> list[Entry]:
        """A project's people, places and things, in the order of their priority and age."""
        with self._database.read() as session:
            self._project_row(session, project)
            rows = select(EntryRow).where(EntryRow.project_id == project, EntryRow.trashed.is_(None))
            return [_entry(row) for row in session.scalars(rows.order_by(EntryRow.priority.desc(), EntryRow.id))]

    def create_entry(self, project: str, fields: Mapping[str, Any]) -> Entry:
        """Add an entry."""
        with self._database.write() as session:
            self._touch(session, project)
            row = EntryRow(id=new_id(), project_id=project)
            _fill(row, _ENTRY | dict(fields))
            session.add(row)
            return _entry(row)

    def update_entry(self, entry: str, changes: Mapping[str, Any]) -> Entry:
        """Change an entry."""
        with self._database.write() as session:
            row = self._entry_row(session, entry)
            self._touch(session, row.project_id)
            _fill(row, changes)
            return _entry(row)

    def delete_entry(self, entry: str) -> None:
        """Put an entry out of sight; `restore_entry` brings it back."""
        with self._database.write() as session:
            row = self._entry_row(session, entry)
            self._touch(session, row.project_id)
            row.trashed = now()

    def restore_entry(self, entry: str) -> Entry:
        """Bring a deleted entry back."""
        with self._database.write() as session:
            row = self._entry_row(session, entry)
            self._touch(session, row.project_id)
            row.trashed = None
            return _entry(row)

    def plan(self, project: str, version: int | None = None) -> Plan:
        """The plan, or an older version of it; an empty one where nothing is planned yet."""
        with self._database.read() as session:
            self._project_row(session, project)
            rows = select(PlanRow).where(PlanRow.project_id == project)
            rows = rows.where(PlanRow.version == version) if version is not None else rows
            row = session.scalars(rows.order_by(PlanRow.version.desc()).limit(1)).first()
            if row is None and version is not None:
                raise NotFoundError(f"this plan has no version {version}. Look at the list of its versions.")
            return dict(row.data) if row is not None else dict(_EMPTY_PLAN)

    def save_plan(self, project: str, plan: Plan) -> int:
        """Keep a plan as a new version, whose number comes back; the same plan again is no new version."""
        with self._database.write() as session:
            self._touch(session, project)
            last = select(PlanRow).where(PlanRow.project_id == project).order_by(PlanRow.version.desc()).limit(1)
            row = session.scalars(last).first()
            if row is not None and row.data == plan:
                return row.version
            version = row.version + 1 if row is not None else 1
            session.add(PlanRow(project_id=project, version=version, data=dict(checked(plan)), created=now()))
            return version

    def plan_versions(self, project: str) -> list[PlanVersion]:
        """Every version of the plan, the last first."""
        with self._database.read() as session:
            self._project_row(session, project)
            rows = select(PlanRow).where(PlanRow.project_id == project).order_by(PlanRow.version.desc())
            return [
                {"version": row.version, "created": row.created, "premise": str(row.data.get("premise") or "")}
                for row in session.scalars(rows)
            ]

    def messages(self, project: str, limit: int | None = None) -> list[Message]:
        """The chat, the oldest first; with `limit` only its end."""
        with self._database.read() as session:
            self._project_row(session, project)
            rows = select(MessageRow).where(MessageRow.project_id == project).order_by(MessageRow.id.desc())
            return [_message(row) for row in reversed(session.scalars(rows.limit(limit)).all())]

    def add_message(self, project: str, role: str, text: str, character: str | None = None) -> Message:
        """Add a line to the chat."""
        with self._database.write() as session:
            self._touch(session, project)
            row = MessageRow(id=new_id(), project_id=project, role=role, character=character, created=now())
            row.text = checked(text)
            session.add(row)
            return _message(row)

    def _touch(self, session: Session, project: str) -> ProjectRow:
        row = self._project_row(session, project, trashed=None)
        row.updated = now()
        return row

    def _entry_row(self, session: Session, entry: str) -> EntryRow:
        row = session.get(EntryRow, entry)
        if row is None or session.get_one(ProjectRow, row.project_id).owner != self.owner:
            raise NotFoundError(f"there is no entry {entry!r}. Read the list again.")
        return row


def _fill(row: EntryRow, fields: Mapping[str, Any]) -> None:
    known(fields, _ENTRY, "an entry")
    fields = _usual(fields)
    if "name" in fields and not str(fields["name"]).strip():
        raise StudioError("an entry needs a name. Write one.")
    for key, value in fields.items():
        setattr(row, "avoid" if key == "not" else key, checked(value))


def _entry(row: EntryRow) -> Entry:
    values = {key: getattr(row, "avoid" if key == "not" else key) for key in _ENTRY}
    return cast(Entry, {"id": row.id, **_usual(values)})


def _usual(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an entry, what a new one has in the place of each None."""
    return {key: _ENTRY[key] if value is None else value for key, value in fields.items()}


def _message(row: MessageRow) -> Message:
    return {"id": row.id, "role": row.role, "character": row.character, "text": row.text, "created": row.created}
