"""Projects and the tree of chapters, scenes and notes in each."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from storyteller.studio.api.models import check_model, check_new_members, model_for
from storyteller.studio.api.shapes import Answer, Body, Done, Form, ItemId, Language, ProjectId, WritingSettings
from storyteller.studio.studio import At, Kept, User

__all__ = ["router"]

router = APIRouter(prefix="/api", tags=["projects"])

Kind = Literal["chapter", "scene", "note"]
Text = Annotated[str, Field(max_length=100_000)]
Title = Annotated[str, Field(max_length=500)]
Words = Annotated[int, Field(ge=1, le=1_000_000)]
Age = Annotated[int, Field(ge=1, le=120)]


class Person(Body):
    """A person of the story."""

    name: str = Field(min_length=1, max_length=200, examples=["Mara"])
    who: str = Field("", max_length=2000, examples=["the keeper of the lighthouse"])


class Item(Answer):
    """A line of the tree; a chapter's words are those of its scenes."""

    id: str
    kind: Kind
    parent: str | None = None
    title: str
    position: int
    words: int = Field(description="Words, or 字 in Chinese.")
    form: str | None = None


class ProjectLine(Answer):
    """A project in the list."""

    id: str
    title: str = Field(examples=["The Seal of Cape Wrath"])
    idea: str = Field("", description="What it is about, in the writer's words.")
    language: Language
    form: str = Field(examples=["story"])
    words: int = Field(description="How many are written.")
    updated: str = Field(examples=["2026-11-24T09:30:00Z"])


class Project(Answer):
    """A project without its texts."""

    id: str
    title: str
    language: Language
    form: str
    idea: str = ""
    theme: str = ""
    plot: str = ""
    words: int | None = Field(None, description="The wished length.")
    written: int = Field(0, description="How many words there are.")
    age: int | None = Field(None, description="The reader's age.")
    memory: str = Field("", description="What the model always sees.")
    note: str = Field("", description="The author's note, put near the end of what the model sees.")
    note_depth: int = Field(3, description="How many paragraphs before the end the note stands.")
    settings: dict[str, Any] = Field({}, description="model, preset, sampling and members, where they differ.")
    tree: list[Item] = Field([])
    created: str = ""
    updated: str = ""


class NewProject(Body):
    """What a project may begin with; nothing is needed."""

    title: Title | None = None
    language: Language | None = Field(None, description="Default: the language of the idea, else English.")
    form: Form | None = None
    idea: Text | None = Field(None, examples=["A lighthouse keeper finds a talking seal."])
    plot: Text | None = None
    theme: Text | None = None
    characters: list[Person] | None = Field(None, max_length=100)
    words: Words | None = None
    age: Age | None = None


class ProjectChange(Body):
    """What may be changed; what is left out stays, and what is null is again as in a new project."""

    title: Title | None = None
    language: Language | None = None
    form: Form | None = None
    idea: Text | None = None
    theme: Text | None = None
    plot: Text | None = None
    words: Words | None = None
    age: Age | None = None
    memory: Text | None = None
    note: Text | None = None
    note_depth: int | None = Field(None, ge=0, le=100)
    settings: WritingSettings | None = None


class NewItem(Body):
    """A new chapter, scene or note."""

    kind: Kind
    title: Title = ""
    parent: str | None = Field(None, description="The chapter that it stands in.")
    position: int | None = Field(None, ge=0, description="Default: the last.")
    form: Form | None = None
    text: str = Field("", description="What it begins with.")
    author: Literal["person", "import", "prompt"] = Field("person", description="Who wrote that.")


class ItemChange(Body):
    """What may be changed; what is left out stays."""

    title: Title | None = None
    parent: str | None = None
    position: int | None = Field(None, ge=0)
    form: Form | None = None


class Trash(Answer):
    """What was thrown away and can be taken back."""

    id: str
    kind: str
    title: str
    words: int = 0
    trashed: str | None = None


@router.get("/projects", response_model=list[ProjectLine], name="list_projects")
def list_projects(kept: Kept, trashed: Annotated[bool, Query(description="Those in the trash.")] = False) -> Any:
    """All projects, the one that was changed last first."""
    return kept.projects(trashed=trashed)


@router.post("/projects", response_model=Project, status_code=201, name="create_project")
def create_project(kept: Kept, body: NewProject) -> Any:
    """A new project with a first chapter and a first scene."""
    return kept.create_project(body.model_dump(exclude_none=True))


@router.get("/projects/{project}", response_model=Project, name="read_project")
def read_project(kept: Kept, project: ProjectId) -> Any:
    """A project with its tree."""
    return kept.project(project)


@router.patch("/projects/{project}", response_model=Project, name="change_project")
def change_project(studio: At, kept: Kept, user: User, project: ProjectId, body: ProjectChange) -> Any:
    """Change what is given."""
    given, before = body.settings or {}, kept.project(project)["settings"]
    check_model(studio, kept, user, given.get("model"))
    check_new_members(model_for(studio, kept, given), given, before)
    changed = kept.update_project(project, body.model_dump(exclude_unset=True))
    now = changed["settings"].get("members")
    if now != before.get("members"):
        studio.desk.set_weights(project, model_for(studio, kept, changed["settings"]), now or {})
    return changed


@router.delete("/projects/{project}", response_model=Done, name="trash_project")
def trash_project(kept: Kept, project: ProjectId) -> Done:
    """Move a project to the trash."""
    kept.trash_project(project)
    return Done()


@router.post("/projects/{project}/restore", response_model=Project, name="restore_project")
def restore_project(kept: Kept, project: ProjectId) -> Any:
    """Take a project out of the trash."""
    kept.restore_project(project)
    return kept.project(project)


@router.get("/projects/{project}/trash", response_model=list[Trash], name="list_trash")
def list_trash(kept: Kept, project: ProjectId) -> Any:
    """The chapters, scenes and notes of a project that were thrown away."""
    return kept.trash(project)


@router.post("/projects/{project}/items", response_model=Item, status_code=201, name="create_item")
def create_item(kept: Kept, project: ProjectId, body: NewItem) -> Any:
    """A new chapter, scene or note."""
    return kept.create_item(
        project, body.kind, body.title, body.parent, body.position, body.form, body.text, body.author
    )


@router.patch("/items/{item}", response_model=Item, name="change_item")
def change_item(kept: Kept, item: ItemId, body: ItemChange) -> Any:
    """Rename, move or reshape."""
    return kept.update_item(item, body.model_dump(exclude_unset=True))


@router.delete("/items/{item}", response_model=Done, name="trash_item")
def trash_item(kept: Kept, item: ItemId) -> Done:
    """Move to the trash, with all that stands in it."""
    kept.trash_item(item)
    return Done()


@router.post("/items/{item}/restore", response_model=Item, name="restore_item")
def restore_item(kept: Kept, item: ItemId) -> Any:
    """Take out of the trash."""
    return kept.restore_item(item)
