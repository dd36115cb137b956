"""Saves of KoboldAI, KoboldAI Lite and KoboldCpp, in."""

from __future__ import annotations

import re
from typing import Any

from storyteller.craft.book import Alternative, Book, Entry, Part
from storyteller.craft.formats.lorebooks import entry_with_keys
from storyteller.craft.formats.plain import language_of, tidy, title_of
from storyteller.craft.formats.values import flag_of, line_of, list_of, manuscript, object_of, text_of, texts_of
from storyteller.errors import DataError

__all__ = ["read_kobold"]

_KNOWN = ("prompt", "actions", "memory", "authorsnote", "worldinfo", "actions_metadata", "altbranches", "gamestarted")
_ENTRY_KNOWN = ("key", "keysecondary", "keyanti", "content", "comment", "selective", "constant", "widisabled")


def read_kobold(name: str, value: dict[str, Any]) -> Book:
    """The story of a save: its prompt and its actions in one scene, branches and retries as alternatives."""
    actions, retries = _actions(value)
    chunks = [_raw(value.get("prompt")), *actions]
    text, places = _joined(chunks)
    book = Book(line_of(value.get("title")) or title_of(name), language=language_of(text))
    book.memory, book.note = text_of(value.get("memory")), text_of(value.get("authorsnote"))
    book.parts = [Part("chapter", parts=[Part("scene", text=text)])]
    book.entries = [_entry(item) for item in list_of(value.get("worldinfo")) if isinstance(item, dict)]
    for number, others in retries.items():
        start, end = places[number + 1]
        book.alternatives += [Alternative(0, start, end, manuscript(other), {"action": number}) for other in others]
    unread = 0
    for number, branch in enumerate(list_of(value.get("altbranches"))):
        other = _branch(branch)
        unread += not other
        if other and other != text:
            book.alternatives.append(Alternative(0, 0, len(text), other, {"branch": number}))
    if unread:
        book.warnings.append(
            f"{unread} branches of {name} are in a form that could not be read; they are kept with the book."
        )
    if not (text or book.entries or book.memory):
        raise DataError(f"{name} is a save without a story, memory or world info.")
    kept = {key: rest for key, rest in value.items() if key not in _KNOWN}
    book.extra["kobold"] = kept | ({"altbranches": value["altbranches"]} if unread else {})
    return book


def _actions(value: dict[str, Any]) -> tuple[list[str], dict[int, list[str]]]:
    """The texts of a save's actions, and the other texts that were tried in the place of each."""
    held = value.get("actions")
    if isinstance(held, dict) and "actions" in held:
        held = held["actions"]  # KoboldAI United
    actions: list[str] = []
    retries: dict[int, list[str]] = {}
    for number, action in enumerate(list_of(held)):
        record = object_of(action)
        actions.append(_raw(record.get("Selected Text", record.get("text"))) if record else _raw(action))
        if others := [
            text for option in list_of(record.get("Options")) if (text := _raw(object_of(option).get("text")))
        ]:
            retries[number] = others
    for key, record in object_of(value.get("actions_metadata")).items():
        found = [_raw(object_of(item).get("Text")) for item in list_of(object_of(record).get("Alternative Text"))]
        if str(key).isdigit() and int(key) < len(actions) and any(found):
            retries.setdefault(int(key), []).extend(filter(None, found))
    return actions, retries


def _joined(chunks: list[str]) -> tuple[str, list[tuple[int, int]]]:
    """The chunks as one manuscript, and where each stands in it."""
    out: list[str] = []
    places: list[tuple[int, int]] = []
    length, last = 0, "\n"
    for chunk in chunks:
        text = re.sub(r"[ \t]*\n\s*", "\n", tidy(chunk))
        if last == "\n":
            text = text.lstrip()
        places.append((length, length + len(text)))
        if text:
            out.append(text)
            length, last = length + len(text), text[-1]
    whole = "".join(out).rstrip()
    return whole, [(min(start, len(whole)), min(end, len(whole))) for start, end in places]


def _branch(branch: Any) -> str:
    """The whole story of a branch, in any of the forms that saves have it in."""
    record = object_of(branch)
    if record:
        held = next((record[key] for key in ("actions", "gametext_arr", "story", "text") if record.get(key)), "")
        chunks = [_raw(record.get("prompt")), *(map(_raw, held) if isinstance(held, list) else [_raw(held)])]
        return _joined(chunks)[0]
    return _joined([_raw(item) for item in branch])[0] if isinstance(branch, list) else _joined([_raw(branch)])[0]


def _raw(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _entry(value: dict[str, Any]) -> Entry:
    entry = entry_with_keys(texts_of(value.get("key")), line_of(value.get("comment")), text_of(value.get("content")))
    entry.avoid = texts_of(value.get("keyanti"))
    entry.always = flag_of(value.get("constant"))
    entry.enabled = not flag_of(value.get("widisabled"))
    rest = {key: kept for key, kept in value.items() if key not in _ENTRY_KNOWN}
    kept: dict[str, Any] = {"extensions": {"kobold": rest}}
    if secondary := texts_of(value.get("keysecondary")):
        kept |= {"secondary_keys": secondary, "selective": flag_of(value.get("selective"))}
    entry.extra["lorebook"] = kept
    return entry
