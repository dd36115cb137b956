"""Books between files and the store: what was read becomes a project, and a project becomes what is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from storyteller.craft.book import Book, Entry, Part

if TYPE_CHECKING:
    from storyteller.studio.store import Writer

__all__ = ["book_of", "entry_of", "shelve"]


def shelve(kept: Writer, book: Book, project: str | None = None) -> dict[str, Any]:
    """Keep a book as a new project, or add it to one; returns {project, items, entries, warnings}."""
    made = None
    if project is None:
        made = kept.create_project({"title": book.title, "language": book.language, "form": book.form})
        project = made["id"]
        _complete(kept, project, book)
    items = [item for part in book.parts for item in _add(kept, project, book, part, None)]
    if made is not None and items:
        for item in made["tree"]:  # the empty chapter that a new project begins with
            if item["parent"] is None:
                kept.trash_item(item["id"])
    entries = [kept.create_entry(project, _record(entry))["id"] for entry in book.entries]
    return {"project": project, "items": items, "entries": entries, "warnings": book.warnings}


def book_of(kept: Writer, project: str) -> Book:
    """A project as a book, everything in its order."""
    about = kept.project(project)
    parts: dict[str | None, list[Part]] = {None: []}
    made = {}
    for item in about["tree"]:
        text = "" if item["kind"] == "chapter" else kept.scene(item["id"])["text"]
        form = item["form"] if item["form"] != about["form"] else None
        made[item["id"]] = part = Part(item["kind"], item["title"], text, form=form)
        parts.setdefault(item["parent"], []).append(part)
    for item in about["tree"]:
        made[item["id"]].parts = parts.get(item["id"], [])
    return Book(
        title=about["title"],
        language=about["language"],
        form=about["form"],
        parts=parts[None],
        entries=[entry_of(record) for record in kept.entries(project) if not record["proposed"]],
        memory=about["memory"],
        note=about["note"],
        extra=dict(about["settings"].get("extra", {})),
    )


def _complete(kept: Writer, project: str, book: Book) -> None:
    changes: dict[str, Any] = {"memory": book.memory, "note": book.note}
    if book.extra:
        changes["settings"] = {"extra": book.extra}
    kept.update_project(project, {key: value for key, value in changes.items() if value})


def _add(kept: Writer, project: str, book: Book, part: Part, parent: str | None) -> Sequence[str]:
    text = "" if part.kind == "chapter" else part.text
    item = kept.create_item(project, part.kind, part.title, parent, None, part.form, text, "import")
    below = [one for inner in part.parts for one in _add(kept, project, book, inner, item["id"])]
    if part.kind == "chapter" and part.text.strip():  # a chapter holds no text of its own in the tree
        scene = kept.create_item(project, "scene", "", item["id"], 0, part.form, part.text, "import")
        below.insert(0, scene["id"])
    return [item["id"], *below]


def _record(entry: Entry) -> dict[str, Any]:
    record = dataclasses.asdict(entry)
    record["not"] = record.pop("avoid")
    return record


def entry_of(record: Any) -> Entry:
    """A kept entry as files and the lore know it."""
    names = [field.name for field in dataclasses.fields(Entry) if field.name != "avoid"]
    return Entry(avoid=list(record["not"]), **{name: record[name] for name in names})
