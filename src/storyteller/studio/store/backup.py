"""Backup and restore: rows as lines of JSON in a zip, with a manifest and a hash.

One form for both databases rather than SQLite's file: what was kept in the one can be restored into the other, one
writer's rows or one project can be taken alone, keyframes and keys need not be trusted to a file that is passed on, and
a restore is one transaction, so that a kill in its middle leaves what was there. The rows are read in one snapshot.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from sqlalchemy import ColumnElement, LargeBinary, Table, and_, delete, exists, func, insert, select, text, true
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError
from sqlalchemy.orm import Session

import storyteller
from storyteller.studio.errors import StudioError
from storyteller.studio.store.database import StorageError, new_id, now, private_folder
from storyteller.studio.store.migrate import head_revision
from storyteller.studio.store.room import KEYFRAME, Room, Shared
from storyteller.studio.store.tables import Base, ItemRow, KeyframeRow, NodeRow, ProjectRow, SessionRow

__all__ = ["Backups", "back_up", "bring_back"]

_FORMAT = "storyteller-backup"
_VERSION = 1
_LARGEST = 4 << 30
_LONGEST_LINE = 256 << 20
_NOT_KEPT = ("sessions", "jobs")  # of this machine and this moment
_TABLES: dict[str, Table] = {table.name: table for table in Base.metadata.sorted_tables if table.name not in _NOT_KEPT}
_OF_PROJECT = {name for name, table in _TABLES.items() if name == "projects" or "owner" not in table.c} - {"users"}
_ID = re.compile(r'"([0-9a-hjkmnp-tv-z]{16})"')
_BATCH = 200

Rows = Iterator[tuple[str, dict[str, Any]]]


class Backups(Room):
    """Backups of what one writer owns."""

    def backup(self, path: Path) -> Path:
        """All that the writer owns, in one file."""
        return back_up(self._shared, path, owner=self.owner)

    def restore_backup(self, path: Path) -> Path:
        """Put a backup in the place of all that the writer owns.

        The file is read to its end and checked before anything is touched. The path of a backup of what stood there
        before comes back.
        """
        return bring_back(self._shared, path, owner=self.owner)

    def backup_project(self, project: str, path: Path) -> Path:
        """One project in one file, with its whole tree and its trash."""
        with self._database.read() as session:
            self._project_row(session, project, trashed=None)
        return back_up(self._shared, path, owner=self.owner, project=project)

    def add_project(self, path: Path) -> str:
        """Add the project of a file as a new one; its id."""
        source = _Source(path)
        if source.scope != "project":
            raise StudioError(f"{path.name} is a backup of more than one project. Restore it instead.")
        renamed = source.fresh_ids()
        with self._database.write() as session:
            source.load(session, renamed, self.owner)
            return renamed[source.projects[0]]


def back_up(shared: Shared, path: Path, owner: str | None = None, project: str | None = None) -> Path:
    """Write everything, an owner's rows or one project to `path`, which appears when it is whole."""
    with shared.database.read() as session:
        return _write(session, path, owner, project)


def bring_back(shared: Shared, path: Path, owner: str | None = None) -> Path:
    """Replace everything, or an owner's rows, by a backup's, in one transaction; what was there goes to a file."""
    source = _Source(path)
    if source.scope == "project":
        raise StudioError(f"{path.name} is one project. Import it: nothing else is touched then.")
    if owner is None and source.scope != "all":
        raise StudioError(f"{path.name} is what one writer owns. Restore it as that writer.")
    if owner is not None and len(source.owners) > 1:
        raise StudioError(f"{path.name} is of several writers. Restore it with the studio stopped, for all of them.")
    aside = shared.folder / "backups" / f"before-restore-{now().replace(':', '')}.storyteller"
    with shared.database.write() as session:
        if not shared.database.sqlite:
            session.execute(text(f"LOCK TABLE {', '.join(_TABLES)} IN SHARE ROW EXCLUSIVE MODE"))
        _write(session, aside, owner, None)
        if owner is None:
            session.execute(delete(SessionRow))
        for table in reversed(_TABLES.values()):
            session.execute(delete(table).where(_scope(table, owner, None)))
        taken = session.scalars(select(ProjectRow.id).where(ProjectRow.id.in_(source.projects))).all()
        source.load(session, source.fresh_ids() if taken else {}, owner)
    shared.states.clear()
    return aside


class _Source:
    """A backup's file that was read to its end and found whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.owners: set[str] = set()
        self.projects: list[str] = []
        self._ids: list[str] = []
        try:
            with zipfile.ZipFile(path) as archive:
                manifest = self._manifest(archive)
                self.scope = manifest["scope"]
                self._check(archive, manifest)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, TypeError, ValueError) as error:
            raise self._bad(f"it is damaged or no backup ({error})") from error

    def fresh_ids(self) -> dict[str, str]:
        """A new id for each of the file's, in the same order."""
        return {old: new_id() for old in sorted(self._ids)}

    def load(self, session: Session, renamed: dict[str, str], owner: str | None) -> None:
        """Insert the rows, and check that they belong together and that every scene can be read."""
        try:
            self._insert(session, renamed, owner)
        except (IntegrityError, DataError, StatementError) as error:
            if isinstance(error, DBAPIError) and not isinstance(error, IntegrityError | DataError):
                raise
            raise self._bad(f"its rows do not belong together ({error.orig})") from error
        _check_sound(session, self.path.name)

    def _insert(self, session: Session, renamed: dict[str, str], owner: str | None) -> None:
        waiting: list[dict[str, Any]] = []
        last = None
        with zipfile.ZipFile(self.path) as archive, archive.open("rows.jsonl") as file:
            for name, row in self._rows(file, hashlib.sha256(), renamed):
                if (name != last or len(waiting) >= _BATCH) and last and waiting:
                    session.execute(insert(_TABLES[last]), waiting)
                    waiting = []
                if name == "users" and owner is not None:
                    continue
                last = name
                waiting.append(_from_json(_TABLES[name], row, owner))
        if last and waiting:
            session.execute(insert(_TABLES[last]), waiting)

    def _manifest(self, archive: zipfile.ZipFile) -> dict[str, Any]:
        with archive.open("manifest.json") as file:
            manifest: dict[str, Any] = json.loads(file.read(1 << 20))
        if manifest["format"] != _FORMAT:
            raise self._bad("it is no backup of the studio")
        if manifest["version"] > _VERSION or manifest["revision"] > head_revision():
            raise self._bad("it was made by a newer Storyteller. Update Storyteller first")
        if archive.getinfo("rows.jsonl").file_size > _LARGEST:
            raise self._bad("it is larger than any manuscript can be")
        return manifest

    def _check(self, archive: zipfile.ZipFile, manifest: dict[str, Any]) -> None:
        digest = hashlib.sha256()
        found: Counter[str] = Counter()
        with archive.open("rows.jsonl") as file:
            for name, row in self._rows(file, digest):
                found[name] += 1
                # Whoever hands on a story must not be able to hand on a server that it would be sent to.
                if self.scope == "project" and name not in _OF_PROJECT:
                    raise ValueError(f"{name} are no part of a project")
                if strange := set(row) - set(_TABLES[name].columns.keys()):
                    raise ValueError(f"{name} has no {min(strange)}")
                if "id" in row and name != "users":
                    if not _ID.fullmatch(f'"{row["id"]}"'):
                        raise ValueError(f"{name} has an id that is none")
                    self._ids.append(row["id"])
                if name == "projects":
                    self.projects.append(row["id"])
                if "owner" in row:
                    self.owners.add(row["owner"])
        if digest.hexdigest() != manifest["sha256"] or dict(found) != manifest["rows"]:
            raise ValueError("its hash is wrong")
        if self.scope == "project" and len(self.projects) != 1:
            raise ValueError("it has no project")

    def _rows(self, file: IO[bytes], digest: Any, renamed: dict[str, str] | None = None) -> Rows:
        while line := file.readline(_LONGEST_LINE):
            digest.update(line)
            said = line.decode()
            if renamed:
                said = _ID.sub(lambda match: f'"{renamed.get(match[1], match[1])}"', said)
            name, row = json.loads(said)
            if name not in _TABLES or not isinstance(row, dict):
                raise ValueError(f"there is no table {name}")
            yield name, row

    def _bad(self, why: str) -> StudioError:
        return StudioError(f"{self.path.name} cannot be restored: {why}. Nothing was changed; try another backup.")


def _write(session: Session, path: Path, owner: str | None, project: str | None) -> Path:
    digest, rows = hashlib.sha256(), Counter[str]()
    private_folder(path.parent)
    part = path.with_name(f".{path.name}.part")
    try:
        part.touch(mode=0o600)
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
            with archive.open("rows.jsonl", "w", force_zip64=True) as file:
                for name, row in _read(session, owner, project):
                    # In ASCII: half a character that an older version kept would let nothing be backed up.
                    line = json.dumps([name, row]).encode() + b"\n"
                    digest.update(line)
                    file.write(line)
                    rows[name] += 1
            manifest = {
                "format": _FORMAT,
                "version": _VERSION,
                "revision": head_revision(),
                "storyteller": storyteller.__version__,
                "scope": "project" if project else "all" if owner is None else "writer",
                "created": now(),
                "rows": dict(rows),
                "sha256": digest.hexdigest(),
            }
            archive.writestr("manifest.json", json.dumps(manifest, indent=2))
        part.replace(path)
    except OSError as error:
        raise StorageError(
            f"the backup {path} cannot be written: {error.strerror}. Make room, or name another."
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _read(session: Session, owner: str | None, project: str | None) -> Rows:
    for name, table in _TABLES.items():
        packed = [column.name for column in table.columns if isinstance(column.type, LargeBinary)]
        rows = select(table).where(_scope(table, owner, project)).order_by(*table.primary_key.columns)
        for found in session.execute(rows, execution_options={"yield_per": _BATCH}).mappings():
            row = dict(found)
            for column in packed:
                row[column] = json.loads(zlib.decompress(row[column]))
            yield name, row


def _from_json(table: Table, row: dict[str, Any], owner: str | None) -> dict[str, Any]:
    """A row as the database takes it; every row of a table has the same keys."""
    values = {column.name: row.get(column.name) for column in table.columns}
    if owner is not None and "owner" in values:
        values["owner"] = owner
    for column in table.columns:
        if isinstance(column.type, LargeBinary):
            values[column.name] = zlib.compress(json.dumps(values[column.name]).encode(), 1)
    return values


def _scope(table: Table, owner: str | None, project: str | None) -> ColumnElement[bool]:
    """Which rows of a table belong to an owner, or to one of their projects."""
    if owner is None:
        return true()
    projects = _TABLES["projects"]
    mine = and_(projects.c.owner == owner, *([projects.c.id == project] if project else []))
    if table is projects:
        return mine
    if "owner" in table.c:
        return table.c.owner == owner if project is None else ~true()
    if table.name == "users":
        return ~true()
    ours: Callable[[Table], Any] = lambda parent: select(parent.c.id).where(_scope(parent, owner, project))  # noqa: E731
    for column, parent in (("project_id", "projects"), ("scene_id", "items"), ("node_id", "nodes")):
        if column in table.c:
            return table.c[column].in_(ours(_TABLES[parent]))
    return table.c.generation_id.in_(ours(_TABLES["generations"]))


def _check_sound(session: Session, name: str) -> None:
    """Raise `StudioError` unless every head is a node and every way up ends at a keyframe."""
    headless = select(func.count()).where(ItemRow.head.is_not(None), ~exists().where(NodeRow.id == ItemRow.head))
    framed = exists().where(KeyframeRow.node_id == NodeRow.id)
    frameless = select(func.count()).where(NodeRow.depth % KEYFRAME == 0, ~framed)
    if session.scalar(headless) or session.scalar(frameless):
        raise StudioError(
            f"{name} cannot be restored: a scene in it has no text. Nothing was changed; try another backup."
        )
