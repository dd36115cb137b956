"""The store itself: a database, its accounts, and the door to each writer's things."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select

from storyteller.runs.home import studio_home
from storyteller.studio.errors import NotFoundError, StudioError
from storyteller.studio.store.alternatives import Alternatives
from storyteller.studio.store.backup import Backups, back_up, bring_back
from storyteller.studio.store.database import Database, new_id, now
from storyteller.studio.store.desk import Desk
from storyteller.studio.store.edits import Edits
from storyteller.studio.store.generations import Generations, interrupt
from storyteller.studio.store.history import History
from storyteller.studio.store.keys import KeyFile
from storyteller.studio.store.migrate import migrate
from storyteller.studio.store.projects import Projects
from storyteller.studio.store.records import Session, User
from storyteller.studio.store.room import Shared
from storyteller.studio.store.streaming import Streaming
from storyteller.studio.store.tables import SessionRow, UserRow
from storyteller.studio.store.world import World

__all__ = ["Store", "Writer"]


class Writer(Projects, Alternatives, History, Generations, World, Desk, Edits, Backups):
    """All that one writer owns, and nothing else; it is cheap to make."""

    def streaming(self, generation: str) -> Streaming:
        """Take a generation's words while they stream, in a `with` block."""
        return Streaming(self, generation)


class Store:
    """A database of manuscripts, brought up to date; SQLite in the studio's folder unless a URL says otherwise."""

    def __init__(self, url: str | None = None) -> None:
        self.database = Database(url)
        folder = self.database.path.parent if self.database.path else studio_home()
        self._shared = Shared(self.database, KeyFile(folder / "keys.json"), folder)
        try:
            migrate(self.database)
        except BaseException:
            self.close()
            raise

    def writer(self, owner: str = "") -> Writer:
        """The things of one writer: a user's id, or "" where there are no accounts."""
        return Writer(self._shared, owner)

    def recover(self) -> int:
        """Mark what a killed server left running as `interrupted`; how many generations that were."""
        with self.database.write() as session:
            return interrupt(session)

    def storage(self) -> dict[str, Any]:
        """Where things are kept, the room that is left there, and whether the last writing went well."""
        path = self.database.path
        place = str(path) if path else self.database.url.render_as_string(hide_password=True)
        free = shutil.disk_usage(path.parent).free if path else None
        return {"path": place, "free_bytes": free, "ok": self.database.trouble is None}

    def users(self) -> list[User]:
        """Every account."""
        with self.database.read() as session:
            return [_user(row) for row in session.scalars(select(UserRow).order_by(UserRow.id))]

    def user(self, name: str) -> User | None:
        """The account of a name, however it is spelt in capitals, or of an id."""
        with self.database.read() as session:
            known = (UserRow.key == name.strip().casefold()) | (UserRow.id == name)
            row = session.scalars(select(UserRow).where(known)).first()
            return _user(row) if row else None

    def create_user(self, name: str, password_hash: str) -> str:
        """Make an account and return its id; the password itself never comes here."""
        key = name.strip().casefold()
        with self.database.write() as session:
            if session.scalars(select(UserRow).where(UserRow.key == key)).first():
                raise StudioError(f"there is a writer called {name!r} already. Choose another name.")
            row = UserRow(id=new_id(), name=name.strip(), key=key, password_hash=password_hash, created=now())
            session.add(row)
            return row.id

    def set_password(self, user: str, password_hash: str) -> None:
        """Give an account another password, and end its sessions."""
        with self.database.write() as session:
            row = session.get(UserRow, user)
            if row is None:
                raise NotFoundError(f"there is no account {user!r}. Look at the list of accounts.")
            row.password_hash = password_hash
            session.execute(delete(SessionRow).where(SessionRow.user_id == user))

    def create_session(self, user: str, token_hash: str, expires: float) -> None:
        """Begin a session; the secret itself never comes here."""
        with self.database.write() as session:
            session.execute(delete(SessionRow).where(SessionRow.expires < time.time()))
            session.add(SessionRow(token_hash=token_hash, user_id=user, expires=expires))

    def session(self, token_hash: str) -> Session | None:
        """The session of a secret's hash; whether it has expired is the caller's to see."""
        with self.database.read() as session:
            row = session.get(SessionRow, token_hash)
            return {"user_id": row.user_id, "expires": row.expires} if row else None

    def delete_session(self, token_hash: str) -> None:
        """End a session."""
        with self.database.write() as session:
            session.execute(delete(SessionRow).where(SessionRow.token_hash == token_hash))

    def backup(self, path: Path) -> Path:
        """Everything of everybody in one file."""
        return back_up(self._shared, path)

    def restore(self, path: Path) -> Path:
        """Put a backup in the place of everything; the path of a backup of what stood there before comes back."""
        return bring_back(self._shared, path)

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()


def _user(row: UserRow) -> User:
    return {"id": row.id, "name": row.name, "password_hash": row.password_hash, "created": row.created}
