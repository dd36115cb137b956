"""Books between files and the store: what was read becomes a project, and a project becomes what is written."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from storyteller.corpus.story import Form, Language
from storyteller.craft.book import Alternative, Book, Entry, Part
from storyteller.craft.formats.plain import short, tidy
from storyteller.studio.store.room import checked

if TYPE_CHECKING:
    from storyteller.studio.store import Writer
    from storyteller.studio.store.records import SpliceDict

__all__ = ["book_of", "entry_of", "keepable", "shelve", "utf16_offsets"]


def keepable(book: Book) -> Book:
    """The book with a name for each entry, the empty ones left out with a warning.

    Raises `StudioError` for a text that no store can hold; so a book is kept whole or not at all. What a file says
    besides loses what nothing can hold: nobody sees it, so nobody could mend it.
    """
    for part in book.walk():
        checked(part.title + part.text)
    for text in (book.title, book.memory, book.note, *(other.text for other in book.alternatives)):
        checked(text)
    entries = []
    for entry in book.entries:
        checked("".join((entry.name, entry.text, *entry.aliases, *entry.avoid)))
        name = next((text for text in (entry.name, *entry.aliases, entry.text) if text.strip()), "")
        if name:
            called = entry.name if entry.name.strip() else short(name, 40)
            entries.append(dataclasses.replace(entry, name=called, extra=_tidied(entry.extra)))
    warnings = list(book.warnings)
    if empty := len(book.entries) - len(entries):
        warnings.append(f"Entries without a name and a text were left out: {empty}.")
    extra = _tidied(book.extra) | ({"author": tidy(book.author)} if book.author.strip() else {})
    return dataclasses.replace(book, entries=entries, warnings=warnings, extra=extra)


def _tidied(value: Any) -> Any:
    """A JSON value whose texts every database and every browser can hold."""
    if isinstance(value, str):
        return tidy(value)
    if isinstance(value, dict):
        return {tidy(key): _tidied(kept) for key, kept in value.items()}
    return [_tidied(kept) for kept in value] if isinstance(value, list) else value


def shelve(kept: Writer, book: Book, project: str | None = None) -> dict[str, Any]:
    """Keep a book as a new project, or add it to one; returns {project, items, entries, warnings}.

    A project that it is added to keeps its own memory and note, and a warning says what was left out for them.
    """
    made = None
    if project is None:
        made = kept.create_project({"title": book.title, "language": book.language, "form": book.form})
        project = made["id"]
    warnings = [*book.warnings, *_complete(kept, project, book)]
    scenes: list[str] = []
    items = [item for part in book.parts for item in _add(kept, project, part, None, scenes)]
    if made is not None and items:
        for item in made["tree"]:  # the empty chapter that a new project begins with
            if item["parent"] is None:
                kept.trash_item(item["id"])
    texts = [part.text for part in book.scenes()]
    for place, others in itertools.groupby(sorted(book.alternatives, key=_scene), key=_scene):
        _keep_alternatives(kept, scenes[place], texts[place], list(others))
    entries = [kept.create_entry(project, _record(entry))["id"] for entry in book.entries]
    return {"project": project, "items": items, "entries": entries, "warnings": warnings}


def book_of(kept: Writer, project: str) -> Book:
    """A project as a book, everything in its order."""
    about = kept.project(project)
    parts: dict[str | None, list[Part]] = {None: []}
    made = {}
    for item in about["tree"]:
        text = "" if item["kind"] == "chapter" else kept.scene(item["id"])["text"]
        form = item["form"] if item["form"] != about["form"] else None
        made[item["id"]] = part = Part(item["kind"], item["title"], text, form=cast("Form | None", form))
        parts.setdefault(item["parent"], []).append(part)
    for item in about["tree"]:
        made[item["id"]].parts = parts.get(item["id"], [])
    extra = dict(about["settings"].get("extra", {}))
    book = Book(
        title=about["title"],
        author=extra.pop("author", ""),
        language=cast(Language, about["language"]),
        form=cast(Form, about["form"]),
        parts=parts[None],
        entries=[entry_of(record) for record in kept.entries(project) if not record["proposed"]],
        memory=about["memory"],
        note=about["note"],
        extra=extra,
    )
    for scene in book.scenes()[:1]:  # those of the others are versions of the writer's own
        place = next(id for id, part in made.items() if part is scene)
        book.alternatives = [Alternative(0, 0, len(scene.text), text) for text in _other_texts(kept, place)]
    return book


def _other_texts(kept: Writer, scene: str) -> list[str]:
    """The texts for a whole scene that came with its file, in their order: the greetings of a card."""
    named = {branch["label"] or "": branch["node"] for branch in kept.branches(scene)}
    numbers = itertools.takewhile(lambda number: _named(number) in named, itertools.count(1))
    return [kept.at(scene, named[_named(number)])["text"] for number in numbers]


def _named(number: int) -> str:
    """The name of the branch that holds another text for a whole scene."""
    return f"alternative {number}"


def _complete(kept: Writer, project: str, book: Book) -> list[str]:
    """Give a project the memory, the note and what else belongs to the file where it has none; warnings of the rest."""
    about, changes, warnings = kept.project(project), dict[str, Any](), []
    for key, own, new in (("memory", about["memory"], book.memory), ("note", about["note"], book.note)):
        if new.strip() and not own.strip():
            changes[key] = new
        elif new.strip() not in own:
            warnings.append(f"The project keeps its own {key}; left out was: {short(new, 200)}")
    kept_of_file = about["settings"].get("extra") or {}
    if book.extra and not kept_of_file.keys() - {"author"}:
        changes["settings"] = about["settings"] | {"extra": book.extra | kept_of_file}
    if changes:
        kept.update_project(project, changes)
    return warnings


def _scene(alternative: Alternative) -> int:
    return alternative.scene


def _add(kept: Writer, project: str, part: Part, parent: str | None, scenes: list[str]) -> Sequence[str]:
    """Keep a part and all in it; returns the ids, and adds those of scenes to `scenes` in reading order."""
    text = "" if part.kind == "chapter" else part.text
    item = kept.create_item(project, part.kind, part.title, parent, None, part.form, text, "import")
    if part.kind == "scene":
        scenes.append(item["id"])
    below = [one for inner in part.parts for one in _add(kept, project, inner, item["id"], scenes)]
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


def _keep_alternatives(kept: Writer, scene: str, text: str, alternatives: Sequence[Alternative]) -> None:
    """Other texts for the whole scene become branches with names, those for a passage what Alt+Left and Right go through."""
    passages: dict[tuple[int, int], list[str]] = {}
    for one in alternatives:
        passages.setdefault((one.start, one.end), []).append(one.text)
    first = head = kept.scene(scene)["head"]
    units = utf16_offsets(text)
    for number, other in enumerate(passages.pop((0, len(text)), []), 1):
        whole: SpliceDict = {
            "start": 0,
            "remove": units(len(text)),
            "insert": other,
            "author": "import",
            "kind": "import",
        }
        head = kept.splice(scene, head, [whole])["head"]
        kept.label(head, _named(number))
        head = kept.go_to(scene, head, first)["head"]
    for (start, end), others in sorted(passages.items()):
        at, length = units(start), units(end) - units(start)
        generation = kept.create_generation(scene, "import", at, head, end=at + length, model="import")["id"]
        for number, said in enumerate([text[start:end], *others]):
            kept.append(generation, [(number, said, [])])
            kept.finish_candidate(generation, number, "stop")
        kept.update_generation(generation, {"status": "done"})
        told: SpliceDict = {"start": at, "remove": length, "insert": text[start:end], "author": "import"}
        told |= {"generation": generation, "candidate": 0, "kind": "import"}
        head = kept.splice(scene, head, [told])["head"]


def utf16_offsets(text: str) -> Callable[[int], int]:
    """From an offset in characters to one in UTF-16 units, which the store and the page count."""
    if text.isascii():
        return lambda place: place
    before = [0, *itertools.accumulate(1 + (mark > "\uffff") for mark in text)]
    return lambda place: before[place] if place >= 0 else place
