"""Reading what `prepare` wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from storyteller.corpus.read import MANIFEST
from storyteller.corpus.story import FORMS, LANGUAGES, Story
from storyteller.errors import DataError

__all__ = ["read_split"]


def read_split(folder: Path, split: str) -> Iterator[Story]:
    """The stories of one split (`train`, `dev` or `test`) of a prepared folder, one at a time.

    Raises `DataError` for a folder that `prepare` did not write, an unknown split, or a broken line.
    """
    from storyteller.corpus.split import Split

    if split not in get_args(Split):
        raise DataError(f"Unknown split {split!r}; a prepared folder has train, dev and test.")
    path = folder / f"{split}.jsonl"
    if not (folder / MANIFEST).is_file() or not path.is_file():
        raise DataError(f"{folder} is not a prepared folder. Make one: storyteller prepare PATH... --out {folder}")
    return _stories(path)


def _stories(path: Path) -> Iterator[Story]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                story = Story.from_json(json.loads(line))
            except (ValueError, TypeError) as error:
                raise DataError(_broken(path, number, str(error))) from error
            if not isinstance(story.text, str) or story.language not in LANGUAGES or story.form not in FORMS:
                raise DataError(_broken(path, number, "no text, or an unknown language or form"))
            yield story


def _broken(path: Path, number: int, why: str) -> str:
    return f"{path}, line {number}: not a story record ({why}). Run `storyteller prepare` again."
