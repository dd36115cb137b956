"""A scene's manuscript: its text, its changes, its history and its branches."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Query
from pydantic import Field

from storyteller.studio.api.generations import Generation
from storyteller.studio.api.shapes import ERRORS, Answer, Author, Body, ItemId, NodeId, Provenance
from storyteller.studio.store.records import SpliceDict
from storyteller.studio.studio import Kept

__all__ = ["Splice", "router"]

router = APIRouter(prefix="/api", tags=["scenes"], responses=ERRORS)

Offset = Annotated[int, Field(ge=0, description="In UTF-16 code units.")]


class Splice(Body):
    """A change: `remove` units at `start` give way to `insert`; it counts in the text that the one before it left."""

    start: Offset
    remove: Offset
    insert: str = Field(examples=["Once upon a time"])
    author: Author | None = Field(None, description="Default: person.")
    generation: str | None = Field(None, description="The generation whose text it is.")
    candidate: int | None = None
    kind: Literal["type", "generate", "rewrite", "alternative", "import"] | None = Field(
        None, description="Default: type."
    )


class Splices(Body):
    """Changes to the text of the node `base`."""

    base: str = Field(description="The head that the changes were made on.")
    splices: list[Splice] = Field(max_length=10_000)


class Based(Body):
    """A step from the node `base`."""

    base: str = Field(description="The head as the caller knows it.")


class ToNode(Based):
    """A step from `base` to another node."""

    node: str


class Named(Body):
    """A name, or none."""

    label: str | None = Field(None, max_length=200, examples=["She drowns"])


class Scene(Answer):
    """A scene or a note as it is opened."""

    id: str
    project: str
    title: str
    form: str
    language: str
    text: str = Field(description="A line is a paragraph; emphasis is *so*.")
    head: str = Field(description="The current node; it goes with every change as `base`.")
    words: int = 0
    provenance: Provenance = Field([])
    recovered: list[Generation] = Field([], description="Texts of the model that a crash kept from the manuscript.")


class Saved(Answer):
    """The changes are on disk."""

    head: str
    words: int


class Moved(Answer):
    """The text after a step that the server made; `splice` is the difference, if there was one."""

    head: str
    text: str
    provenance: Provenance = Field([])
    splice: dict[str, Any] | None = None


class Moment(Answer):
    """The text at a node."""

    text: str
    provenance: Provenance = Field([])


class HistoryNode(Answer):
    """One change."""

    node: str
    parent: str | None
    kind: str = Field(examples=["type", "generate", "restore"])
    author: str
    model: str | None = None
    generation: str | None = None
    created: str
    label: str | None = None
    summary: str = Field("", description="A few of the words that came or went.")
    inserted_words: int = 0
    removed_words: int = 0
    words: int = 0
    children: int = 0
    on_path: bool = Field(True, description="Whether it lies between the beginning and the head.")


class Branch(Answer):
    """A place to go to: a node with a name, or the end of a branch."""

    node: str
    label: str | None
    under: str | None = Field(None, description="The nearest name above it.")
    created: str
    words: int
    is_head: bool
    tip: bool = True


class Alternative(Answer):
    """A text for a passage; without a generation it is what stood there before the model's first."""

    generation: str | None
    candidate: int | None
    text: str
    model: str | None = None
    seed: int | None = None
    current: bool


class Passage(Answer):
    """A passage that a model wrote, from `start` to `end`, with every text that there is for it."""

    start: int
    end: int
    alternatives: list[Alternative]


class Choice(Based):
    """Which of a passage's texts shall stand."""

    at: Offset
    generation: str | None = None
    candidate: int | None = None


@router.get("/scenes/{item}", response_model=Scene, name="read_scene")
def read_scene(kept: Kept, item: ItemId) -> Any:
    """The text of a scene or note, who wrote which part of it, and what a crash left behind."""
    return kept.scene(item)


@router.post("/scenes/{item}/splices", response_model=Saved, name="change_text")
def change_text(kept: Kept, item: ItemId, body: Splices) -> Any:
    """Keep changes; they are on disk when this answers. 409 when `base` is no longer the head."""
    splices = [cast(SpliceDict, splice.model_dump(exclude_none=True)) for splice in body.splices]
    return kept.splice(item, body.base, splices)


@router.post("/scenes/{item}/undo", response_model=Moved, name="undo")
def undo(kept: Kept, item: ItemId, body: Based) -> Any:
    """Take the last change back, a model's text too."""
    return kept.undo(item, body.base)


@router.post("/scenes/{item}/redo", response_model=Moved, name="redo")
def redo(kept: Kept, item: ItemId, body: Based) -> Any:
    """Do again what was undone."""
    return kept.redo(item, body.base)


@router.get("/scenes/{item}/history", response_model=list[HistoryNode], name="read_history")
def read_history(
    kept: Kept,
    item: ItemId,
    before: Annotated[str | None, Query(description="Only what is older than this node.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Any:
    """The changes of a scene, the latest first."""
    return kept.history(item, before, limit)


@router.get("/scenes/{item}/at/{node}", response_model=Moment, name="read_moment")
def read_moment(kept: Kept, item: ItemId, node: NodeId) -> Any:
    """The text as it was at a node."""
    return kept.at(item, node)


@router.post("/scenes/{item}/restore", response_model=Moved, name="restore_moment")
def restore_moment(kept: Kept, item: ItemId, body: ToNode) -> Any:
    """Make the text what it was at a node; what came since stays in the history."""
    return kept.restore(item, body.base, body.node)


@router.post("/scenes/{item}/head", response_model=Moved, name="go_to_branch")
def go_to_branch(kept: Kept, item: ItemId, body: ToNode) -> Any:
    """Go to another branch."""
    return kept.go_to(item, body.base, body.node)


@router.put("/nodes/{node}/label", response_model=Any, name="label_node")
def label_node(kept: Kept, node: NodeId, body: Named) -> Any:
    """Name a moment, so that it is a branch to go back to; without a name it is one no longer."""
    kept.label(node, body.label)
    return {"node": node, "label": body.label}


@router.get("/scenes/{item}/branches", response_model=list[Branch], name="list_branches")
def list_branches(kept: Kept, item: ItemId) -> Any:
    """The named moments and the ends of branches."""
    return kept.branches(item)


@router.get("/scenes/{item}/alternatives", response_model=Passage, name="read_alternatives")
def read_alternatives(kept: Kept, item: ItemId, at: Annotated[int, Query(ge=0)]) -> Any:
    """Every text that there is for the passage under an offset."""
    return kept.alternatives(item, at)


@router.post("/scenes/{item}/alternatives", response_model=Moved, name="choose_alternative")
def choose_alternative(kept: Kept, item: ItemId, body: Choice) -> Any:
    """Put another text of a passage in its place."""
    return kept.choose(item, body.base, body.at, body.generation, body.candidate)
