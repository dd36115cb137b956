"""The ledger: one small row on disk for each story, so that a million stories need no memory of their texts."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus.authors import author_key
from storyteller.corpus.duplicates import Sketches, sketch
from storyteller.corpus.story import FORMS, LANGUAGES, Story

__all__ = ["ROW", "Ledger"]

ROW = np.dtype(
    [
        ("text", "u8"),
        ("author", "u8"),
        ("work", "u8"),
        ("prompt", "u8"),
        ("words", "u4"),
        ("source", "u4"),
        ("licence", "u2"),
        ("form", "u1"),
        ("language", "u1"),
    ]
)


class Ledger:
    """Rows (40 bytes) and sketches (256 bytes) in two files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._rows_path, self._sketches_path = folder / "rows.bin", folder / "sketches.bin"
        self._rows = self._rows_path.open("wb")
        self._sketches = self._sketches_path.open("wb")
        self._licences: dict[str, int] = {}
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._rows.close()
        finally:
            self._sketches.close()

    def add(self, story: Story, source: int) -> None:
        """Write the row of `story`; `source` numbers the file or folder that it came from."""
        author = author_key(story.author)
        work = f"{author}|{' '.join(story.work.casefold().split())}" if story.work else ""
        licence = self._licences.setdefault(story.licence or "", min(len(self._licences), 65535))
        row = (
            _number("".join(story.text.split()).casefold()),
            *(_number(key) for key in (author, work, story.prompt or "")),
            *(min(story.words, 2**32 - 1), source, licence),
            *(FORMS.index(story.form), LANGUAGES.index(story.language)),
        )
        self._rows.write(np.array(row, ROW).tobytes())
        self._sketches.write(sketch(story.text, story.language).tobytes())
        self.size += 1

    @property
    def licences(self) -> list[str]:
        """The licences that were stated, in the order of their numbers."""
        return list(self._licences)

    def rows(self) -> NDArray[Any]:
        """All rows, mapped from disk; the ledger must be closed."""
        return np.memmap(self._rows_path, ROW, "r", shape=(self.size,))

    def sketches(self) -> Sketches:
        """All sketches, on disk; the ledger must be closed."""
        return Sketches(self._sketches_path, self.size)

    def delete(self) -> None:
        """Remove the files."""
        for path in (self._rows_path, self._sketches_path):
            path.unlink(missing_ok=True)


def _number(key: str) -> int:
    """A 64-bit number for `key`; 0, which means none, for ""."""
    if not key:
        return 0
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=8).digest(), "little") or 1
