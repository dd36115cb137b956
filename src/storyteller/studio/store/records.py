"""What the store hands out: plain dictionaries in the shape in which the API sends them."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

__all__ = [
    "Alternative",
    "Author",
    "Branch",
    "Candidate",
    "ChoiceKind",
    "Connection",
    "Entry",
    "Generation",
    "HistoryNode",
    "Item",
    "Kept",
    "Message",
    "Moment",
    "Moved",
    "Passage",
    "Plan",
    "PlanVersion",
    "Project",
    "ProjectLine",
    "Saved",
    "Scene",
    "Session",
    "SpanList",
    "SpliceDict",
    "User",
]

Author = Literal["person", "model", "import", "prompt"]
ChoiceKind = Literal["accept", "retry", "delete", "rewrite"]

SpanList = list[tuple[int, str, str | None, str | None]]
"""[(length, source, generation, model)], lengths in UTF-16 code units; it covers a text exactly."""


class SpliceDict(TypedDict):
    """A change as the page sends it; it counts in the text that the splice before it left. Offsets are UTF-16 code units.

    `author` is `person` unless told; `prompt` marks the words of the opening box.
    """

    start: int
    remove: int
    insert: str
    author: NotRequired[Author | None]
    generation: NotRequired[str | None]
    candidate: NotRequired[int | None]
    kind: NotRequired[str | None]


class Item(TypedDict):
    """One line of a project's tree; the words of a chapter are those of its scenes. `trashed` stands in the trash alone."""

    id: str
    kind: Literal["chapter", "scene", "note"]
    parent: str | None
    title: str
    position: int
    words: int
    form: str | None
    trashed: NotRequired[str | None]


class ProjectLine(TypedDict):
    """A project in the list of projects; `words` are written ones."""

    id: str
    title: str
    idea: str
    language: str
    form: str
    words: int
    updated: str


class Project(TypedDict):
    """A whole project without its texts; `words` is the wanted length, `written` what there is."""

    id: str
    title: str
    language: str
    form: str
    idea: str
    theme: str
    plot: str
    words: int | None
    age: int | None
    memory: str
    note: str
    note_depth: int
    settings: dict[str, Any]
    tree: list[Item]
    written: int
    created: str
    updated: str


class Candidate(TypedDict):
    """One of a generation's texts; `extra` holds scores and doubt."""

    candidate: int
    text: str
    finish_reason: str | None
    tokens: list[dict[str, Any]]
    extra: dict[str, Any]


class Generation(TypedDict):
    """One request to a model, with all that it saw and gave; `base` is the node that it was asked on."""

    id: str
    scene: str
    project: str
    mode: str
    at: int
    end: int | None
    base: str
    family: str
    model: str
    seed: int | None
    settings: dict[str, Any]
    request: dict[str, Any]
    context: dict[str, Any]
    status: Literal["queued", "running", "done", "stopped", "failed", "interrupted"]
    error: str | None
    created: str
    finished: str | None
    candidates: list[Candidate]


class Scene(TypedDict):
    """A scene or a note as the page opens it."""

    id: str
    project: str
    title: str
    form: str
    language: str
    text: str
    head: str
    words: int
    provenance: SpanList
    recovered: list[Generation]


class Saved(TypedDict):
    """The answer to splices."""

    head: str
    words: int


class Moved(TypedDict):
    """The answer to what changes the text on the server's side; `splice` is the change, None where there was none."""

    head: str
    text: str
    provenance: SpanList
    splice: SpliceDict | None


class Moment(TypedDict):
    """The text at a node."""

    text: str
    provenance: SpanList


class HistoryNode(TypedDict):
    """A node in the history; `on_path` when it lies between the first node and the head."""

    node: str
    parent: str | None
    kind: str
    author: str
    model: str | None
    generation: str | None
    created: str
    label: str | None
    summary: str
    inserted_words: int
    removed_words: int
    words: int
    children: int
    on_path: bool


class Branch(TypedDict):
    """A place to go to: a node with a name, or the end of a branch (`tip`); `under` is the nearest name above it."""

    node: str
    label: str | None
    under: str | None
    created: str
    words: int
    is_head: bool
    tip: bool


class Alternative(TypedDict):
    """A text for a passage; without `generation` it is what stood there before the model's first one."""

    generation: str | None
    candidate: int | None
    text: str
    model: str | None
    seed: int | None
    current: bool


class Passage(TypedDict):
    """A passage that a model wrote, [start, end), with every text that there is for it."""

    start: int
    end: int
    alternatives: list[Alternative]


Entry = TypedDict(
    "Entry",
    {
        "id": str,
        "kind": str,
        "name": str,
        "aliases": list[str],
        "not": list[str],
        "text": str,
        "always": bool,
        "enabled": bool,
        "priority": int,
        "proposed": bool,
        "extra": dict[str, Any],
    },
)
"""A person, a place or a thing that the story must remember."""


Plan = dict[str, Any]
"""{premise, people, outline, chosen?, summary}: the store keeps it as it is."""


class PlanVersion(TypedDict):
    """A line in the list of a plan's versions."""

    version: int
    created: str
    premise: str


class Message(TypedDict):
    """A line of the chat."""

    id: str
    role: str
    character: str | None
    text: str
    created: str


class Connection(TypedDict):
    """A server that the writer connected; its key never leaves the store but through `connection_key`."""

    id: str
    name: str
    url: str
    model: str
    has_key: bool


class Kept(TypedDict):
    """The share of a model's words that the writer kept, with a 95 % interval over `n` generations."""

    model: str
    share: float
    low: float | None
    high: float | None
    n: int


class User(TypedDict):
    """An account."""

    id: str
    name: str
    password_hash: str
    created: str


class Session(TypedDict):
    """A login; `expires` in seconds since 1970."""

    user_id: str
    expires: float
