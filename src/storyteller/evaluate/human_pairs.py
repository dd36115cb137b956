"""Pairs that people judged: what judges and scorers have to agree with before they are believed."""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from storyteller.corpus.language import identify_language
from storyteller.corpus.story import LANGUAGES
from storyteller.errors import DataError
from storyteller.evaluate.blind.judgements import Judgement, standing
from storyteller.evaluate.pairs import Pair, tidy

__all__ = ["PREFERRED", "REJECTED", "read_human_pairs"]

PREFERRED, REJECTED = "preferred", "rejected"
"""The systems of a pair that people judged; what they preferred is always the first."""


def read_human_pairs(path: Path, limit: int | None = None, seed: int = 1) -> list[Pair]:
    """Pairs that people judged, what they preferred first: `limit` of them at random, the same for a seed.

    A line is `{"text": preferred, "rejected": ..., "prompt": ...}`, or a judgement of `storyteller evaluate blind`, of
    which those count that stand, decide and are no repeat. The file may be packed (`.xz`, `.gz`). Raises `DataError` for
    anything else.
    """
    pairs: dict[str, Pair] = {}
    for record in _records(path):
        text, rejected, prompt = (str(record[key]) for key in ("text", "rejected", "prompt"))
        language = record.get("language") or identify_language(text) or "en"
        text, rejected, prompt = tidy(text, language), tidy(rejected, language), prompt.strip()
        digest = hashlib.sha256("\0".join(("people", prompt, text, rejected)).encode()).hexdigest()[:12]
        cluster = str(record.get("cluster") or prompt or digest)
        pairs[digest] = Pair(digest, PREFERRED, REJECTED, text, rejected, prompt, cluster, cluster, language)
    if not pairs:
        raise DataError(f"{path} holds no pair that people decided.")
    chosen = list(pairs.values())
    random.Random(seed).shuffle(chosen)
    return chosen[:limit]


def _records(path: Path) -> list[dict[str, Any]]:
    """The preferences of a file; of blind judgements only those that count."""
    records = list(_lines(path))
    if not any("choice" in record for record in records):
        return records
    try:
        judgements = standing(Judgement(**record) for record in records)
    except TypeError as error:
        raise DataError(f"{path} is neither a file of preferences nor one of blind judgements ({error}).") from None
    counting = [judgement for judgement in judgements if judgement.preferred and not judgement.repeat]
    return [
        {key: getattr(said, key) for key in ("text", "rejected", "prompt", "language", "cluster")} for said in counting
    ]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with _opened(path) as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _record(path, number, line)
    except (lzma.LZMAError, gzip.BadGzipFile, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be unpacked ({error}). Fetch it again.") from error


def _opened(path: Path) -> TextIO:
    if path.suffix == ".xz":
        return cast(TextIO, lzma.open(path, "rt", encoding="utf-8"))
    if path.suffix == ".gz":
        return cast(TextIO, gzip.open(path, "rt", encoding="utf-8"))
    return path.open(encoding="utf-8")


def _record(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or not {"text", "rejected", "prompt"} <= record.keys():
        raise DataError(
            f'{path}, line {number}: not a preference. A line is {{"text": the better one, "rejected": the other, '
            '"prompt": ...}.'
        )
    if (record.get("language") or "en") not in LANGUAGES:
        raise DataError(
            f"{path}, line {number}: the language {record['language']!r} is not one of {', '.join(LANGUAGES)}."
        )
    return record
