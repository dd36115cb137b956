"""People, places and things that the model must remember when their names occur."""

from __future__ import annotations

from typing import Any, Literal, cast

from fastapi import APIRouter
from pydantic import Field

from storyteller.corpus.language import count_words
from storyteller.corpus.story import Form, Language, Story
from storyteller.craft import lore
from storyteller.studio.api.shapes import Answer, Body, Done, EntryId, ProjectId
from storyteller.studio.books import entry_of, utf16_offsets
from storyteller.studio.studio import Kept
from storyteller.tokens.names import characters

__all__ = ["router"]

router = APIRouter(prefix="/api", tags=["entries"])

Kind = Literal["person", "place", "thing", "other"]


class Entry(Answer):
    """What the model is told when one of the names occurs."""

    id: str
    kind: Kind
    name: str
    aliases: list[str] = Field([], description="Other names that make it fire.")
    not_: list[str] = Field([], alias="not", description="Words around a name that keep it from firing.")
    text: str = ""
    always: bool = Field(False, description="Told whatever occurs.")
    enabled: bool = True
    priority: int = 0
    proposed: bool = Field(False, description="Found in the manuscript and not looked at by the writer yet.")
    extra: dict[str, Any] = Field({}, description="What an imported file said beyond this; kept for the export.")


class EntryChange(Body):
    """What may be changed; what is left out stays, and what is null is again as in a new entry."""

    kind: Kind | None = None
    name: str | None = Field(None, min_length=1, max_length=200)
    aliases: list[str] | None = Field(None, max_length=100)
    not_: list[str] | None = Field(None, alias="not", max_length=100)
    text: str | None = Field(None, max_length=100_000)
    always: bool | None = None
    enabled: bool | None = None
    priority: int | None = None
    proposed: bool | None = None
    extra: dict[str, Any] | None = None


class NewEntry(EntryChange):
    """A new entry."""

    kind: Kind = "other"
    name: str = Field(min_length=1, max_length=200, examples=["Mara"])


class Sample(Body):
    """A text to try the entries on."""

    text: str = Field(max_length=1_000_000)


class Fired(Answer):
    """An entry that a text makes fire, and where."""

    entry: str
    key: str = Field(description="The name that occurs.")
    start: int = Field(description="In UTF-16 code units.")
    end: int
    why: str


@router.get("/projects/{project}/entries", response_model=list[Entry], name="list_entries")
def list_entries(kept: Kept, project: ProjectId) -> Any:
    """All entries of a project."""
    return kept.entries(project)


@router.post("/projects/{project}/entries", response_model=Entry, status_code=201, name="create_entry")
def create_entry(kept: Kept, project: ProjectId, body: NewEntry) -> Any:
    """A new entry."""
    return kept.create_entry(project, body.model_dump(exclude_none=True, by_alias=True))


@router.patch("/entries/{entry}", response_model=Entry, name="change_entry")
def change_entry(kept: Kept, entry: EntryId, body: EntryChange) -> Any:
    """Change what is given."""
    return kept.update_entry(entry, body.model_dump(exclude_unset=True, by_alias=True))


@router.delete("/entries/{entry}", response_model=Done, name="delete_entry")
def delete_entry(kept: Kept, entry: EntryId) -> Done:
    """Remove an entry; `POST /api/entries/{entry}/restore` takes it back."""
    kept.delete_entry(entry)
    return Done()


@router.post("/entries/{entry}/restore", response_model=Entry, name="restore_entry")
def restore_entry(kept: Kept, entry: EntryId) -> Any:
    """Take a removed entry back."""
    return kept.restore_entry(entry)


@router.post("/projects/{project}/entries/test", response_model=list[Fired], name="test_entries")
def test_entries(kept: Kept, project: ProjectId, body: Sample) -> list[Fired]:
    """Which entries a text makes fire, where, and by which name."""
    records = [record for record in kept.entries(project) if not record["proposed"]]
    entries = [entry_of(record) for record in records]
    ids = {id(entry): record["id"] for entry, record in zip(entries, records, strict=True)}
    units = utf16_offsets(body.text)
    return [
        Fired(entry=ids[id(found.entry)], key=found.key, start=units(found.start), end=units(found.end), why=found.why)
        for found in lore.fired(entries, body.text, cast(Language, kept.project(project)["language"]))
    ]


@router.post("/projects/{project}/entries/propose", response_model=list[Entry], name="propose_entries")
def propose_entries(kept: Kept, project: ProjectId) -> Any:
    """People who occur in the manuscript and have no entry yet, as entries to accept or delete."""
    tree, known = kept.project(project), kept.entries(project)
    language = cast(Language, tree["language"])
    text = "\n\n".join(kept.scene(item["id"])["text"] for item in tree["tree"] if item["kind"] == "scene")
    words = count_words(text, language)
    story = Story("", text.replace("\n", "\n\n"), language, cast(Form, tree["form"]), words)
    names = {name.casefold() for entry in known for name in (entry["name"], *entry["aliases"])}
    return [
        kept.create_entry(project, {"kind": "person", "name": person.name, "text": person.who, "proposed": True})
        for person in characters(story)
        if person.name.casefold() not in names
    ]
