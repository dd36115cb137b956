"""Stories in, a corpus out: read, clean, identify, filter, deduplicate, split.

`prepare` runs the whole room; `read_split` reads its result back as `Story` records. Readers (`read`, `records`,
`text_files`, `books`, `markup`) hand over raw pieces with what their file says about them. `clean`, `form`, `language`
and `filters` make stories of them, or say why not. `duplicates` and `split` decide from a `ledger` on disk,
never from the texts, so that a million stories need little memory. Everything left out is counted in the `report`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storyteller.corpus.language import count_words, ends_sentence, identify_language, split_sentences
from storyteller.corpus.settings import PrepareSettings
from storyteller.corpus.story import FORMS, LANGUAGES, Form, Language, Story
from storyteller.lazy import late

if TYPE_CHECKING:
    from storyteller.corpus.preparation import prepare
    from storyteller.corpus.prepared import read_split
    from storyteller.corpus.report import Report

__all__ = [
    "FORMS",
    "LANGUAGES",
    "Form",
    "Language",
    "PrepareSettings",
    "Report",
    "Story",
    "count_words",
    "ends_sentence",
    "identify_language",
    "prepare",
    "read_split",
    "split_sentences",
]

__getattr__ = late(
    __name__,
    {"prepare": "preparation", "read_split": "prepared", "Report": "report"},
)  # not needed for `--help`
