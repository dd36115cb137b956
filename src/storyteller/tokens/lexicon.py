"""The words of a corpus and how often each stands there: what may fill a blank, and the guess of one who sees no context."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from storyteller.errors import ModelError
from storyteller.runs.files import read_json, write_json
from storyteller.tokens.words import word_spans

__all__ = ["WORD", "WORDS_FILE", "count_words", "load_words", "save_words"]

WORDS_FILE = "words.json"

WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")

_MOST = 50_000


def count_words(texts: Iterable[str], least: int = 2, most: int = _MOST) -> dict[str, int]:
    """How often each word stands in the texts, the commonest first; at most `most`, and none that is rarer than `least`.

    Case is kept. Words are those that the masked objective hides: by spaces, in Chinese as rjieba finds them.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text[start:end].strip() for start, end in word_spans(text))
    kept = [(word, count) for word, count in counts.most_common() if count >= least and WORD.fullmatch(word)]
    return dict(kept[:most])


def save_words(folder: Path, counts: Mapping[str, int]) -> None:
    """Keep the words beside a model's tokenizer."""
    write_json(folder / WORDS_FILE, dict(counts))


def load_words(folder: Path) -> dict[str, int]:
    """The words that were kept beside a model; none where there are none. `ModelError` for a damaged file."""
    path = folder / WORDS_FILE
    if not path.is_file():
        return {}
    try:
        return {str(word): int(count) for word, count in read_json(path).items()}
    except (OSError, AttributeError, TypeError, ValueError, json.JSONDecodeError) as error:
        raise ModelError(f"{path} is damaged ({error}); without it, blanks are filled with any tokens.") from None
