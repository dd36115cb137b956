"""The settings of `prepare`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from storyteller.corpus.story import FORMS, LANGUAGES, Form, Language
from storyteller.errors import DataError

__all__ = ["PrepareSettings"]


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """What `prepare` keeps and how it splits.

    `min_words` and `max_words` count 字 in Chinese. `deduplicate` removes exact duplicates, `near_duplicates` those
    whose shingles have a Jaccard similarity of `threshold` or more; those that are kept stay in one split. `dev` and
    `test` are shares of the stories. `licences` and `exclude_licences` are patterns (regular expressions, case ignored)
    that a stated licence must, or must not, match. A group of one author or work over `largest_group` of all stories is
    split up.
    """

    languages: tuple[Language, ...] = LANGUAGES
    forms: tuple[Form, ...] = FORMS
    min_words: int = 30
    max_words: int | None = 60_000
    deduplicate: bool = True
    near_duplicates: bool = True
    threshold: float = 0.8
    dev: float = 0.05
    test: float = 0.05
    largest_group: float = 0.2
    seed: int = 1
    young_readers: bool = False
    licences: str | None = None
    exclude_licences: str | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.languages if name not in LANGUAGES]
        if unknown:
            raise DataError(f"Unknown language {unknown[0]!r}; known are {', '.join(LANGUAGES)}.")
        unknown_forms = [name for name in self.forms if name not in FORMS]
        if unknown_forms:
            raise DataError(f"Unknown form {unknown_forms[0]!r}; known are {', '.join(FORMS)}.")
        if not 0 <= self.dev + self.test < 1 or min(self.dev, self.test) < 0:
            raise DataError(f"Shares dev={self.dev} and test={self.test} must not be negative, their sum under 1.")
        if not 0.3 <= self.threshold <= 1:
            raise DataError(f"threshold={self.threshold} must lie between 0.3 and 1.")
        if self.min_words < 1 or (self.max_words is not None and self.max_words < self.min_words):
            raise DataError(f"min_words={self.min_words} must be 1 or more, and not over max_words={self.max_words}.")
        for pattern in (self.licences, self.exclude_licences):
            try:
                re.compile(pattern or "")
            except re.error as error:
                raise DataError(f"Licence pattern {pattern!r} is no regular expression: {error}.") from error
