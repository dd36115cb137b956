"""Records that are kept one by one: each is a line of JSON, on disk before anybody hears that it is kept."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from storyteller.errors import DataError

__all__ = ["append_line", "read_lines"]


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Add one line and sync it; when this returns, neither a kill nor a power cut loses it.

    A last line that a power cut left half written is cut off first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = (json.dumps(record, ensure_ascii=False) + "\n").encode()
    with path.open("ab+") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            if file.read(1) != b"\n":
                os.truncate(path, path.read_bytes().rfind(b"\n") + 1)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records with the numbers of their lines; none where there is no file.

    A last line without its end is left out: nobody was told that it is kept. Raises `DataError` for any other line that
    is no JSON object.
    """
    if not path.exists():
        return
    *lines, _unfinished = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise DataError(
                f"{path}, line {number}: not a JSON object. Mend the line, or name another file with --out."
            )
        yield number, record
