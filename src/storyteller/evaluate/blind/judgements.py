"""Judgements on disk: one line each, synced before the page hears of it, never rewritten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.runs.lines import append_line, read_lines

__all__ = ["Choice", "Judgement", "append_judgement", "check_answers", "read_judgements", "standing"]

Choice = Literal["left", "right", "tie", "skip", "undo"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a rater said of one pair; `left` and `right` are the systems as they stood on the page.

    `undo` withdraws the rater's judgement of that pair, `skip` passes it over. `seconds` is the time for which the pair
    was looked at. Of a decided pair `text` is the preferred one and `rejected` the other: with `prompt` the record of a
    preference, for judge models and for training.
    """

    pair: str
    rater: str
    choice: Choice
    left: str
    right: str
    prompt_id: str
    cluster: str
    language: Language = "en"
    repeat: bool = False
    seconds: float = 0.0
    reason: str = ""
    time: str = ""
    prompt: str = ""
    text: str = ""
    rejected: str = ""

    @property
    def preferred(self) -> str | None:
        """The system that was preferred; None for a tie."""
        return {"left": self.left, "right": self.right}.get(self.choice)


def check_answers(path: Path) -> None:
    """Raise `DataError` unless raw answers are to go to a `.jsonl` file: summaries beside it end in `.json` and `.md`."""
    if path.suffix != ".jsonl":
        raise DataError(f"{path}: the raw answers are kept line by line; name a file that ends in .jsonl with --out.")


def append_judgement(path: Path, judgement: Judgement) -> None:
    """Add one line; when this returns, a kill loses nothing."""
    append_line(path, asdict(judgement))


def read_judgements(path: Path) -> list[Judgement]:
    """Every judgement in the order in which it was made, none where there is no file.

    Raises `DataError` that names a line which is no judgement; half a line at the end was never confirmed and is none.
    """
    judgements = []
    for number, record in read_lines(path):
        try:
            judgement = Judgement(**record)
        except TypeError as error:
            raise DataError(
                f"{path}, line {number}: not a judgement ({error}). Name another file with --out."
            ) from error
        if judgement.choice not in get_args(Choice):
            raise DataError(f"{path}, line {number}: {judgement.choice!r} is not one of {', '.join(get_args(Choice))}.")
        judgements.append(judgement)
    return judgements


def standing(judgements: Iterable[Judgement]) -> list[Judgement]:
    """The judgements that count, in the order in which they were made: the last of each, if it was not withdrawn."""
    last: dict[tuple[str, str, bool], Judgement] = {}
    for judgement in judgements:
        key = (judgement.rater, judgement.pair, judgement.repeat)
        last.pop(key, None)
        if judgement.choice != "undo":
            last[key] = judgement
    return list(last.values())
