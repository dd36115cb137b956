"""PNG pictures as far as character cards need them: their text chunks, read within limits and written."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator

from storyteller.errors import DataError

__all__ = ["blank_picture", "is_png", "text_chunks", "with_text_chunks"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_TEXT = 32 << 20  # bytes of one unpacked text chunk
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")


def is_png(data: bytes) -> bool:
    """Whether the data begins as a PNG does."""
    return data.startswith(SIGNATURE)


def text_chunks(name: str, data: bytes, keywords: Collection[str]) -> dict[str, bytes]:
    """The texts of a picture under `keywords`, the last one of each; broken chunks raise `DataError`.

    Nothing else is unpacked: a picture may hold thousands of chunks, each of them small as long as it is packed.
    """
    packed: dict[str, tuple[bytes, bytes]] = {}
    for kind, body in _chunks(name, data):
        if kind in _TEXTS:
            keyword, _, rest = body.partition(b"\0")
            if (told := keyword.decode("latin-1")) in keywords:
                packed[told] = kind, rest
    return {keyword: _text(name, kind, rest) for keyword, (kind, rest) in packed.items()}


def _text(name: str, kind: bytes, rest: bytes) -> bytes:
    """The text in what follows a chunk's keyword."""
    if kind == b"zTXt":
        return _unpacked(name, rest[1:])
    if kind == b"iTXt":
        text = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
        return _unpacked(name, text) if rest[:1] == b"\1" else text
    return rest


def with_text_chunks(name: str, data: bytes, texts: dict[str, bytes]) -> bytes:
    """The picture with these texts instead of those that it has."""
    out = [SIGNATURE]
    for kind, body in _chunks(name, data):
        if kind == b"IEND":
            out += [_chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + text) for keyword, text in texts.items()]
        if kind not in _TEXTS:
            out.append(_chunk(kind, body))
    return b"".join(out)


def blank_picture(width: int = 400, height: int = 600, colour: tuple[int, int, int] = (46, 64, 87)) -> bytes:
    """A picture in one colour, for a card that has none of its own."""
    rows = (b"\0" + bytes(colour) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")


def _chunks(name: str, data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = len(SIGNATURE)
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        kind = data[place + 4 : place + 8]
        end = place + 12 + length
        if end > len(data):
            break
        yield kind, data[place + 8 : end - 4]
        if kind == b"IEND":
            return
        place = end
    raise DataError(f"{name} is a damaged picture: it ends too early. Download it again.")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _unpacked(name: str, data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, MAX_TEXT)
    except zlib.error as error:
        raise DataError(f"{name} is a damaged picture: {error}. Download it again.") from error
    if unpacker.unconsumed_tail:
        raise DataError(f"{name} holds a text that unpacks to over {MAX_TEXT >> 20} MB. It was not read.")
    return text
