"""Records from JSON lines, plain or packed: story records and the four shapes of training data."""

from __future__ import annotations

import codecs
import gzip
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from storyteller.corpus.encoding import decode
from storyteller.corpus.piece import Piece, Pieces, Skipped, text_or_none
from storyteller.errors import DataError

__all__ = ["MAX_RECORD", "read_records", "shape_of"]

MAX_RECORD = 16 << 20  # bytes of one line; the longest novel has 5 MB
SHAPES = {
    "story": ("text",),
    "prompt and completion": ("prompt", "completion"),
    "messages": ("messages",),
    "instruction and output (Alpaca)": ("instruction", "output"),
}


def read_records(
    path: Path, *, advance: Callable[[int], None], say: Callable[[str], None], named: bool = True
) -> Pieces:
    """The pieces of a `.jsonl`, `.jsonl.gz` or `.jsonl.xz` file; `say` hears which shape was detected.

    Raises `DataError` when the first record has the columns of no known shape and the user has `named` the file. Any
    other record that cannot be used is skipped with its reason; so is the rest of a damaged archive.
    """
    known: str | None = None
    number = 0
    try:
        with path.open("rb") as raw:
            done = 0
            for number, line in enumerate(_lines(_unpacked(raw, path)), 1):
                advance(raw.tell() - done)
                done = raw.tell()
                if line is None:
                    yield Skipped("record too long", f"{path}:{number}", f"over {MAX_RECORD >> 20} MiB in one line")
                    continue
                record = _parsed(line)
                if record is None:
                    if line.strip():
                        yield Skipped("broken JSON", f"{path}:{number}", line[:80].decode("utf-8", "replace"))
                    continue
                shape = shape_of(record)
                if shape is None:
                    if known is None and named:
                        raise DataError(_unknown_columns(path, number, record))
                    yield Skipped("column missing", f"{path}:{number}", f"columns: {', '.join(map(str, record))}")
                    continue
                if known is None:
                    known = shape
                    say(f"{path.name}: {shape} records")
                yield from _pieces(record, shape, path, number)
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        yield Skipped("damaged archive", f"{path}:{number + 1}", f"{type(error).__name__}: {error}")


def shape_of(record: dict[str, Any]) -> str | None:
    """The first known shape whose columns `record` has."""
    return next((name for name, columns in SHAPES.items() if all(column in record for column in columns)), None)


def _unpacked(raw: IO[bytes], path: Path) -> IO[bytes]:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return gzip.open(raw)  # type: ignore[return-value]
    if suffix == ".xz":
        return lzma.open(raw)
    if raw.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):  # as PowerShell writes what it is told to
        raw.seek(0)
        return codecs.EncodedFile(raw, "utf-8", "utf-16", errors="replace")
    raw.seek(0)
    return raw


def _lines(stream: IO[bytes]) -> Iterator[bytes | None]:
    """The lines of `stream` in bounded memory; `None` for one over the limit."""
    while line := stream.readline(MAX_RECORD):
        if len(line) < MAX_RECORD or line.endswith(b"\n"):
            yield line
            continue
        yield None
        while line and not line.endswith(b"\n"):
            line = stream.readline(MAX_RECORD)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except UnicodeDecodeError:
        text = decode(line)
        return None if text is None else _parsed(text.encode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _unknown_columns(path: Path, number: int, record: dict[str, Any]) -> str:
    expected = "; or ".join(", ".join(columns) for columns in SHAPES.values())
    seen = ", ".join(map(str, record)) or "none"
    return f"{path}, line {number}: no known columns. Seen: {seen}. Expected: {expected}. Rename the columns."


def _pieces(record: dict[str, Any], shape: str, path: Path, number: int) -> Pieces:
    place = f"{path}:{number}"
    if shape == "messages":
        yield from _turns(record, place)
    elif shape == "story":
        yield _piece(record, record["text"], record.get("prompt"), place)
    elif shape == "prompt and completion":
        yield _piece(record, record["completion"], record["prompt"], place)
    else:
        asked = [part for key in ("instruction", "input") if (part := text_or_none(record.get(key)))]
        yield _piece(record, record["output"], "\n\n".join(asked), place)


def _turns(record: dict[str, Any], place: str) -> Pieces:
    """One piece for each answer of a conversation, with the question before it; they are pieces of one work."""
    messages = record["messages"] if isinstance(record["messages"], list) else []
    asked: Any = None
    found = False
    for message in messages:
        if not isinstance(message, dict):
            continue
        if message.get("role") == "user":
            asked = message.get("content")
        elif message.get("role") == "assistant":
            found = True
            piece = _piece(record, message.get("content"), asked, place)
            if isinstance(piece, Piece):
                piece.work = piece.work or place
            yield piece
    if not found:
        yield Skipped("no text", place, "messages without one of the assistant")


def _piece(record: dict[str, Any], text: Any, prompt: Any, place: str) -> Piece | Skipped:
    if not isinstance(text, str) or not text.strip():
        return Skipped("no text", place, str(record.get("title") or "")[:80])
    return Piece(
        text,
        place,
        title=text_or_none(record.get("title")),
        author=text_or_none(record.get("author")),
        language=text_or_none(record.get("language") or record.get("lang")),
        kind=text_or_none(record.get("form") or record.get("kind")),
        work=text_or_none(record.get("work") or record.get("collection")),
        source=text_or_none(record.get("source")),
        licence=text_or_none(record.get("licence") or record.get("license")),
        prompt=text_or_none(prompt),
    )
