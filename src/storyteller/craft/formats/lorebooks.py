"""Lorebooks: version 3 of the character card's specification, in and out; SillyTavern, NovelAI and Agnai, in.

Keys become an entry's name and aliases, whatever else an entry says is kept in `extra` and written back. A regular expression
stays text: it is kept, never run.
"""

from __future__ import annotations

import json
import re
from typing import Any

from storyteller.craft.book import Book, Entry
from storyteller.craft.formats.plain import language_of, short, title_of
from storyteller.craft.formats.values import flag_of, line_of, list_of, number_of, object_of, text_of, texts_of
from storyteller.errors import DataError

__all__ = ["entries_of", "entry_with_keys", "lorebook_of", "read_lorebook", "write_lorebook"]

MAX_ENTRIES = 20_000
_PATTERN = re.compile(r"/.+/[a-z]*", re.S)
_DECORATORS = re.compile(r"(?:@@[^\n]*(?:\n|\Z))+")
_TAVERN_KNOWN = (
    "key",
    "keysecondary",
    "content",
    "comment",
    "constant",
    "disable",
    "order",
    "selective",
    "caseSensitive",
)
_NOVELAI_KNOWN = ("keys", "text", "displayName", "enabled", "forceActivation")


def read_lorebook(name: str, value: dict[str, Any]) -> Book:
    """A lorebook of any of the kinds, as a book without a manuscript."""
    held = object_of(value.get("data")) if "data" in value else value
    book = Book(line_of(held.get("name")) or title_of(name))
    book.entries = entries_of(held, book.warnings)
    if not book.entries:
        raise DataError(f"{name} is a lorebook without any entry.")
    book.language = language_of("\n".join(entry.text for entry in book.entries[:50]))
    rest = {key: kept for key, kept in held.items() if key not in ("name", "entries")}
    if rest:
        book.extra["lorebook"] = rest
    return book


def write_lorebook(book: Book) -> bytes:
    """The book's entries as a lorebook of version 3."""
    if not book.entries:
        raise DataError("There are no people, places or things to export yet. Add entries first.")
    value = {"spec": "lorebook_v3", "data": lorebook_of(book)}
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode()


def lorebook_of(book: Book) -> dict[str, Any]:
    """The lorebook object, as cards hold it too; the person of a card is not an entry of its lorebook."""
    entries = [_written(entry) for entry in book.entries if "card" not in entry.extra]
    kept = {key: value for key, value in object_of(book.extra.get("lorebook")).items() if key in _BOOK_KEYS}
    return {"name": book.title, "extensions": {}, **kept, "entries": entries}


_BOOK_KEYS = ("description", "scan_depth", "token_budget", "recursive_scanning", "extensions")


def entries_of(held: dict[str, Any], warnings: list[str]) -> list[Entry]:
    """The entries of a lorebook's object, told apart by their keys."""
    found = held.get("entries")
    values = list(found.values()) if isinstance(found, dict) else list_of(found)
    values = [value for value in values if isinstance(value, dict)]
    if len(values) > MAX_ENTRIES:
        warnings.append(f"Only the first {MAX_ENTRIES:,} of {len(values):,} entries were read.")
    entries = [_entry(value) for value in values[:MAX_ENTRIES]]
    patterns = [entry.name for entry in entries if "patterns" in entry.extra]
    if patterns:
        warnings.append(
            f"Keys that are regular expressions are kept but do not fire ({', '.join(map(short, patterns[:10]))}); "
            "give those entries names and aliases."
        )
    if selective := [short(entry.name) for entry in entries if _asks_for_more(entry)][:10]:
        warnings.append(
            f"Entries that also ask for one of their second keys fire on the first alone ({', '.join(selective)}); "
            "the second ones are kept."
        )
    return entries


def _asks_for_more(entry: Entry) -> bool:
    kept = object_of(entry.extra.get("lorebook"))
    return not entry.always and flag_of(kept.get("selective")) and bool(texts_of(kept.get("secondary_keys")))


def _entry(value: dict[str, Any]) -> Entry:
    if "contextConfig" in value or "displayName" in value or ("text" in value and "content" not in value):
        entry = entry_with_keys(
            texts_of(value.get("keys")), line_of(value.get("displayName")), text_of(value.get("text"))
        )
        entry.always, entry.enabled = flag_of(value.get("forceActivation")), flag_of(value.get("enabled"), True)
        config = object_of(value.get("contextConfig"))
        entry.priority = number_of(config.get("budgetPriority"))
        rest = {key: kept for key, kept in value.items() if key not in _NOVELAI_KNOWN}
        if rest:
            entry.extra["lorebook"] = {"extensions": {"novelai": rest}}
        return entry
    if "key" in value or "keysecondary" in value:
        return _tavern_entry(value)
    if "keywords" in value or "entry" in value:
        entry = entry_with_keys(
            texts_of(value.get("keywords")), line_of(value.get("name")), text_of(value.get("entry"))
        )
        entry.enabled, entry.priority = flag_of(value.get("enabled"), True), number_of(value.get("priority"))
        return entry
    pattern = flag_of(value.get("use_regex"))
    keys = texts_of(value.get("keys"))
    label = line_of(value.get("name")) or line_of(value.get("comment"))
    entry = entry_with_keys(keys, label, text_of(value.get("content")), pattern=pattern)
    entry.always, entry.enabled = flag_of(value.get("constant")), flag_of(value.get("enabled"), True)
    entry.priority = number_of(value.get("priority", value.get("insertion_order")))
    if isinstance(value.get("case_sensitive"), bool):
        entry.extra["case_sensitive"] = value["case_sensitive"]
    known = ("keys", "content", "enabled", "constant", "name", "use_regex", "case_sensitive")
    rest = {key: kept for key, kept in value.items() if key not in known}
    if rest:
        entry.extra["lorebook"] = rest
    ours = object_of(object_of(value.get("extensions")).get("storyteller"))
    if ours.get("kind") in ("person", "place", "thing"):
        entry.kind = ours["kind"]
    entry.avoid = texts_of(ours.get("avoid"))
    return entry


def _tavern_entry(value: dict[str, Any]) -> Entry:
    """An entry of SillyTavern's world info."""
    entry = entry_with_keys(texts_of(value.get("key")), line_of(value.get("comment")), text_of(value.get("content")))
    entry.always, entry.enabled = flag_of(value.get("constant")), not flag_of(value.get("disable"))
    entry.priority = number_of(value.get("order"))
    rest = {key: kept for key, kept in value.items() if key not in _TAVERN_KNOWN}
    kept: dict[str, Any] = {"extensions": {"sillytavern": rest}, "insertion_order": entry.priority}
    if secondary := texts_of(value.get("keysecondary")):
        kept |= {"secondary_keys": secondary, "selective": flag_of(value.get("selective"))}
    entry.extra["case_sensitive"] = flag_of(value.get("caseSensitive"))  # without a word, capitals do not count there
    entry.extra["lorebook"] = kept
    return entry


def entry_with_keys(keys: list[str], label: str, text: str, *, pattern: bool = False) -> Entry:
    """An entry with `label`, else its first key, as its name, and its other keys as aliases."""
    patterns = [key for key in keys if pattern or _PATTERN.fullmatch(key)]
    words = list(dict.fromkeys(line_of(key) for key in keys if key not in patterns))
    name = label or (words[0] if words else "") or short(text, 40)
    entry = Entry(name=name, aliases=[word for word in words if word != name])
    if keys != [name, *entry.aliases]:
        entry.extra["keys"] = keys
    if patterns:
        entry.extra["patterns"] = patterns
    decorators = _DECORATORS.match(text)
    if decorators:
        entry.extra["decorators"] = decorators.group()
        text = text[decorators.end() :].strip()
    entry.text = text
    return entry


def _written(entry: Entry) -> dict[str, Any]:
    kept = object_of(entry.extra.get("lorebook"))
    patterns = texts_of(entry.extra.get("patterns"))
    keys = texts_of(entry.extra.get("keys"))
    if not keys or {line_of(key) for key in keys if key not in patterns} - {entry.name} != set(entry.aliases):
        keys = [entry.name, *entry.aliases, *patterns]
    value: dict[str, Any] = {
        "keys": keys,
        "content": str(entry.extra.get("decorators", "")) + entry.text,
        "extensions": {},
        "enabled": entry.enabled,
        "insertion_order": entry.priority,
        "use_regex": bool(patterns) and set(keys) <= set(patterns),
        "constant": entry.always,
        "name": entry.name,
        **kept,
    }
    if "priority" in kept or "insertion_order" not in kept:
        value["priority"] = entry.priority
    else:
        value["insertion_order"] = entry.priority
    if "case_sensitive" in entry.extra:
        value["case_sensitive"] = entry.extra["case_sensitive"]
    extensions = dict(object_of(value["extensions"]))
    ours = {"kind": entry.kind, "avoid": entry.avoid}
    if entry.kind != "other" or entry.avoid:
        extensions["storyteller"] = ours
    value["extensions"] = extensions
    return value
