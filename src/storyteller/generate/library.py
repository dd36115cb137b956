"""The shelf: every told story as one Markdown file with a front matter in YAML."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import re
from pathlib import Path
from typing import Any

from storyteller.corpus.language import count_words
from storyteller.errors import GenerationError
from storyteller.generate.writing import Told
from storyteller.runs.files import write_atomic
from storyteller.runs.home import stories_home

__all__ = ["read_origin", "read_story", "save_story"]

#: A rule with an empty line after it is one of the story's own, as in Pandoc.
_FRONT = re.compile(r"\A---\n(?=[^\n])(.*?\n)---\n", re.DOTALL)
_NOT_IN_NAMES = re.compile(r"[^\w]+")


def save_story(
    told: Told, settings: dict[str, Any] | None = None, *, path: Path | None = None, before: str | None = None
) -> Path:
    """Save a story, after the part `before` that it continues, and return where.

    That is `path`, or a new file in the folder of stories, named by date and title, where nothing is ever overwritten.
    `settings` (of sampling) stand in the front matter with the rest. Raises `GenerationError` when the file cannot be
    written; a story that has no place at `path` is kept in the folder of stories even so.
    """
    now = datetime.datetime.now().astimezone()
    if before:
        text = before + told.text
        told = dataclasses.replace(told, text=text, words=count_words(text, told.language))
    content = _markdown(told, settings or {}, now)
    named = f"{now:%Y-%m-%d}-{_slug(told.title or told.prompt or told.text)}"
    try:
        if path is not None:
            write_atomic(path, content)
            return path
        return _save_as_new(stories_home(), named, content)
    except OSError as error:
        if path is None:
            raise GenerationError(f"{stories_home()}: cannot be written ({error.strerror}).") from error
        kept = save_story(told, settings)
        raise GenerationError(f"{path}: cannot be written ({error.strerror}). The story is kept: {kept}") from error


def read_story(path: Path) -> str:
    """The text of a story file, without its front matter if it has one; raises `GenerationError`."""
    return _parted(_read(path))[1].strip()


def read_origin(path: Path) -> dict[str, str]:
    """The `form`, `language` and `model` of a file that `save_story` wrote; of any other file, nothing."""
    record, _ = _parted(_read(path))
    if not {"finish_reason", "seed"} <= record.keys():
        return {}
    return {key: record[key] for key in ("form", "language", "model") if isinstance(record.get(key), str)}


def _parted(content: str) -> tuple[dict[str, Any], str]:
    """The front matter of a file and its story; what stands between two rules and is no mapping is story, too."""
    import yaml

    front = _FRONT.match(content)
    try:
        record = yaml.safe_load(front[1]) if front else None
    except (yaml.YAMLError, ValueError):  # a ValueError is that of an impossible date
        record = None
    return (record, content[front.end() :]) if front and isinstance(record, dict) else ({}, content)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise GenerationError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise GenerationError(f"{path}: not UTF-8 text. Save it as UTF-8.") from error


def _markdown(told: Told, settings: dict[str, Any], now: datetime.datetime) -> str:
    import yaml

    record = {key: value for key, value in dataclasses.asdict(told).items() if key != "text" and value is not None}
    record |= {"settings": settings, "date": now.isoformat(timespec="seconds")}
    front = yaml.safe_dump(record, allow_unicode=True, sort_keys=False, width=1000)
    return f"---\n{front}---\n\n{told.text}\n"


def _slug(text: str) -> str:
    """The first words of a title as a file name: letters of any script, at most 48 of them."""
    return _NOT_IN_NAMES.sub("-", text.lower())[:48].strip("-_") or "story"


def _save_as_new(folder: Path, name: str, content: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        path = folder / (f"{name}.md" if number == 1 else f"{name}-{number}.md")
        with contextlib.suppress(FileExistsError):
            # Whoever creates the name owns it; its content then comes at once or not at all.
            path.open("x").close()
            break
        number += 1
    try:
        write_atomic(path, content)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path
