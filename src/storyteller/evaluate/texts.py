"""The texts that every figure of the evaluation lab is computed from: kept raw, one line each."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from storyteller.corpus.story import LANGUAGES, Language
from storyteller.errors import DataError
from storyteller.runs.files import write_atomic
from storyteller.tokens.request import Character, Request

__all__ = ["HUMAN", "Text", "read_texts", "write_texts"]

HUMAN = "human"
"""The name of the system whose texts people wrote."""

REQUIRED = ("text", "system", "prompt_id")


@dataclass(frozen=True, slots=True)
class Text:
    """One text of one system.

    `prompt_id` pairs the texts of several systems on the same prompt; `work` is what is drawn as one in the bootstrap
    (the book or author that the prompt comes from). `prompt` is what was asked in words, `request` the same as the
    template saw it; a text from elsewhere may have neither. `finish` says how the text ended: `stop`, `length`, or
    `human`. `tokens` is how many a model drew for it.
    """

    text: str
    system: str
    prompt_id: str
    language: Language = "en"
    work: str = ""
    prompt: str = ""
    request: Request | None = None
    temperature: float | None = None
    seed: int | None = None
    finish: str = ""
    tokens: int | None = None

    @property
    def cluster(self) -> str:
        """The unit of the bootstrap: the work, or the prompt where no work is known."""
        return self.work or self.prompt_id

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object without the keys that say nothing."""
        record = asdict(self)
        if self.request is not None:
            record["request"] = {key: value for key, value in record["request"].items() if value not in (None, (), [])}
        return {key: value for key, value in record.items() if key in REQUIRED or value not in (None, "")}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Text:
        """The text of a JSON object; `TypeError` for an unknown key or another type, `KeyError` for a missing key.

        A key that is null is as good as not there.
        """
        if not isinstance(record, dict):
            raise TypeError("it is no JSON object")
        record = {key: value for key, value in record.items() if value is not None}
        if not all(isinstance(record[key], str) for key in REQUIRED):
            raise TypeError("text, system and prompt_id are strings")
        if not all(isinstance(record.get(key, ""), str) for key in ("work", "prompt", "finish")):
            raise TypeError("work, prompt and finish are strings")
        if not all(isinstance(record.get(key, 0), int | float) for key in ("temperature", "seed", "tokens")):
            raise TypeError("temperature, seed and tokens are numbers")
        if not isinstance(record.get("request", {}), dict):
            raise TypeError("request is a JSON object")
        if record.get("language", "en") not in LANGUAGES:
            raise TypeError(f"language {record['language']!r} is not one of {', '.join(LANGUAGES)}")
        request = record.get("request")
        if request is not None:
            people = tuple(Character(**person) for person in request.get("characters", ()))
            request = Request(**{**request, "characters": people, "keywords": tuple(request.get("keywords", ()))})
        return cls(**{**record, "request": request})


def read_texts(path: Path) -> list[Text]:
    """The texts of a JSONL file, in its order.

    A line needs `text`, `system` and `prompt_id`; see `Text` for the rest. Raises `DataError` that names the line.
    """
    texts = []
    # Bytes, so that a line which is no UTF-8 is named like any other that cannot be read.
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                texts.append(Text.from_json(json.loads(line)))
            except (ValueError, TypeError, KeyError) as error:
                raise DataError(
                    f"{path}, line {number}: not a text record ({error}). "
                    'A line is {"text": ..., "system": ..., "prompt_id": ...} and may name language, work and prompt.'
                ) from error
    return texts


def write_texts(path: Path, texts: Iterable[Text]) -> None:
    """Write texts as JSONL, all or nothing."""
    write_atomic(path, "".join(json.dumps(text.to_json(), ensure_ascii=False) + "\n" for text in texts))
