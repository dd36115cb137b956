"""Atomic writes: a reader sees the old content or the new, never a half, whenever the process is killed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["file_sha256", "is_free", "read_json", "replacing_folder", "write_atomic", "write_json"]


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write `content` to `path` through a temporary name beside it, synced to disk before the rename.

    Half of a surrogate pair, as file names that are no UTF-8 have them, is written as its escape.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON, atomically."""
    write_atomic(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; `OSError` and `json.JSONDecodeError` are the caller's to translate."""
    return json.loads(path.read_text(encoding="utf-8"))


def is_free(folder: Path) -> bool:
    """Whether nothing of anybody's is at `folder`: it is not there, or is an empty folder."""
    return not folder.exists() or (folder.is_dir() and all(path.name == ".DS_Store" for path in folder.iterdir()))


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that takes the place of `folder` when the block ends without an error.

    What stood at `folder` before stays whole until then: it is renamed aside, and deleted last. What is in it lies on the
    disk before it gets its name, so that a power cut leaves the old or the new one too.
    """
    folder = folder.absolute()  # "." has no name
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for path in temporary.rglob("*"):
            _flush(path)
        if folder.exists():
            folder.replace(aside)
        temporary.replace(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        if aside.exists() and not folder.exists():
            aside.replace(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _flush(path: Path) -> None:
    """Wait until a file lies on the disk; what cannot be opened or flushed (another system's folders) is let be."""
    if path.is_file():
        with contextlib.suppress(OSError), path.open("rb") as file:
            os.fsync(file.fileno())


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal, read in 1 MiB pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
