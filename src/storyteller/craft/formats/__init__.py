"""Book in, book out: files of writers and of other programs as a `Book`, and a `Book` as files.

`read_book` finds out what a file is, `write_book` makes one of `KINDS`. A module reads or writes one family of
formats; `archive`, `plain`, `values` and `markup` take what strangers send without trusting it.
"""

from __future__ import annotations

from storyteller.craft.formats.files import KINDS, FileKind, read_book, write_book

__all__ = ["KINDS", "FileKind", "read_book", "write_book"]
