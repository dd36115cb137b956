"""Reading: which files there are, and which reader each one gets."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from storyteller.corpus.books import read_docx, read_epub
from storyteller.corpus.piece import Pieces, Skipped
from storyteller.corpus.records import read_records
from storyteller.corpus.text_files import read_text_file
from storyteller.errors import DataError

__all__ = ["MADE_BY", "MANIFEST", "find_files", "is_prepared", "read_file"]

MANIFEST = "manifest.json"
MADE_BY = "storyteller prepare"
_TEXTS = (".txt", ".md", ".markdown", ".fountain", ".html", ".htm", ".xhtml")
_RECORDS = (".jsonl", ".jsonl.gz", ".jsonl.xz")
_ABOUT = ("readme", "license", "licence", "contributing", "changelog", "copying", "notice")


def find_files(paths: Sequence[Path]) -> Iterator[Path | Skipped]:
    """Every file that can be read under `paths`, in a fixed order, and a `Skipped` for every one that cannot.

    Raises `DataError` for a path that does not exist. A file named twice is read once.
    """
    seen: set[Path] = set()
    for path in paths:
        if not path.exists():
            raise DataError(f"{path} does not exist. Name a folder or a file of stories.")
        for found in [path] if path.is_file() else _walk(path):
            if isinstance(found, Skipped):
                yield found
            elif found.resolve() in seen:
                yield Skipped("file named twice", str(found))
            else:
                seen.add(found.resolve())
                yield found if _suffix(found) else Skipped("unknown file type", str(found), found.suffix)


def read_file(path: Path, *, advance: Callable[[int], None], say: Callable[[str], None], named: bool = True) -> Pieces:
    """The pieces of one file; `advance` hears of the bytes that were read, `say` what was detected.

    Records of no known shape are a `DataError` in a file that the user has `named`, and skipped in one that was found.
    """
    suffix = _suffix(path)
    size = path.stat().st_size
    try:
        if suffix in _RECORDS:
            yield from read_records(path, advance=advance, say=say, named=named)
            return
        if suffix == ".epub":
            yield from read_epub(path)
        elif suffix == ".docx":
            yield from read_docx(path)
        else:
            yield from read_text_file(path)
        advance(size)
    except PermissionError as error:
        yield Skipped("no permission to read", str(path), error.strerror or "")


def is_prepared(folder: Path) -> bool:
    """Whether `folder` was written by `prepare`: its manifest says so, and its stories are there."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    made_by = manifest.get("made_by") if isinstance(manifest, dict) else None
    return made_by == MADE_BY and (folder / "train.jsonl").is_file()


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return next((suffix for suffix in (*_TEXTS, *_RECORDS, ".epub", ".docx") if name.endswith(suffix)), "")


def _walk(folder: Path) -> Iterator[Path | Skipped]:
    closed: list[OSError] = []
    for here, folders, files in os.walk(folder, onerror=closed.append):
        base = Path(here)
        if is_prepared(base):
            yield Skipped("output of an earlier prepare", here)
            folders.clear()
            continue
        for name in [name for name in folders if name.startswith(".")]:
            yield Skipped("hidden folder", str(base / name))
        for name in [name for name in folders if not name.startswith(".") and (base / name).is_symlink()]:
            yield Skipped("link to a folder", str(base / name))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = base / name
            if name.startswith("."):
                yield Skipped("hidden file", str(path))
            elif name.lower().split(".")[0] in _ABOUT:
                yield Skipped("read-me or licence file", str(path))
            elif not path.is_file():
                yield Skipped("not a regular file", str(path))
            else:
                yield path
    for error in closed:
        yield Skipped("no permission to read", str(error.filename), error.strerror or "")
