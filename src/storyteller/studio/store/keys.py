"""The keys of connected servers: a file beside the database, so that no backup of it holds one."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from storyteller.runs.files import read_json, write_json
from storyteller.studio.errors import StudioError
from storyteller.studio.store.database import StorageError, private_folder

__all__ = ["KeyFile"]


class KeyFile:
    """A JSON file that only its owner can read."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()

    def get(self, connection: str) -> str | None:
        """The key of a connection."""
        return self._keys().get(connection)

    def put(self, connection: str, key: str | None) -> None:
        """Keep a key, or forget it."""
        with self._lock:
            keys = {name: kept for name, kept in self._keys().items() if name != connection}
            if key:
                keys[connection] = key
            private_folder(self._path.parent)
            try:
                write_json(self._path, keys)
                self._path.chmod(0o600)
            except OSError as error:
                raise StorageError(f"the key cannot be kept in {self._path}: {error.strerror}. Make room.") from error

    def _keys(self) -> dict[str, str]:
        try:
            return dict(read_json(self._path))
        except FileNotFoundError:
            return {}
        except (OSError, json.JSONDecodeError) as error:
            raise StudioError(
                f"{self._path} cannot be read ({error}). Move it aside, and enter the keys again."
            ) from error
