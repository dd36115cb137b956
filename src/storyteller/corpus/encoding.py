"""Bytes to text: strict UTF-8 first, then byte order marks, then a guess, and repair of mojibake where it shows."""

from __future__ import annotations

import codecs
import re

__all__ = ["decode", "repair"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# UTF-8 read as a Western code page leaves one of these pairs; ftfy costs 100 times more than looking for them.
_MOJIBAKE = re.compile("[ÃÂ][\u0080-\u00bf]|â€|â[\u0080-\u009f]|ï»¿|[ãäåæçèé][\u0080-\u00bf¼½¾€‚ƒ„…†‡ˆ‰Š‹Œ]{2}|\ufffd")
_SUSPECT = re.compile("[ÂÃâãäåæçèéï\ufffd]")
_GUESSED = 1 << 18  # a quarter MiB is enough to know a code page


def decode(data: bytes) -> str | None:
    """The text of `data`, or `None` when it is binary or in no encoding that a guess finds."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _try(data, encoding)
    if b"\0" in data[:_GUESSED]:
        return _try(data, _zero_pattern(data)) if _zero_pattern(data) else None
    text = _try(data, "utf-8")
    return text if text is not None else _guess(data)


def repair(text: str) -> str:
    """`text` with mojibake undone, when a cheap look finds any."""
    if text.isascii() or not (_SUSPECT.search(text) and _MOJIBAKE.search(text)):
        return text
    import ftfy

    return str(ftfy.fix_encoding(text))


def _try(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _zero_pattern(data: bytes) -> str:
    """UTF-16 without a mark shows as zeros in every other byte; "" when the zeros have another pattern."""
    head = data[:4096]
    even, odd = head[::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if half >= 8 and odd > 0.6 * half and even < 0.05 * half:
        return "utf-16-le"
    return "utf-16-be" if half >= 8 and even > 0.6 * half and odd < 0.05 * half else ""


def _guess(data: bytes) -> str | None:
    """GB18030 when it decodes and reads as Chinese, else what charset-normalizer finds, else Windows-1252 for text."""
    head = data[:_GUESSED]
    chinese = codecs.getincrementaldecoder("gb18030")("replace").decode(head)
    han = sum("\u4e00" <= char <= "\u9fff" for char in chinese)
    high = sum(byte > 0x7F for byte in head)
    if han * 2 >= 0.8 * high and han > 4 and chinese.count("\ufffd") < 0.01 * len(chinese) and high > 0.2 * len(head):
        text = _try(data, "gb18030")
        return text if text is not None else data.decode("gb18030", "replace")
    if sum(byte < 9 or 13 < byte < 32 for byte in head) > 0.01 * len(head):
        return None
    if high < 0.15 * len(head):
        text = _try(data, "cp1252")
        if text is not None:
            return text
    from charset_normalizer import from_bytes

    best = from_bytes(head).best()
    return _try(data, best.encoding) if best else None
