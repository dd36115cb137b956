"""The tables. Ids are strings that sort by time; times are ISO 8601 in UTC; nothing that a writer wrote is deleted."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Boolean, Float, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = [
    "Base",
    "CandidateRow",
    "ConnectionRow",
    "EditRow",
    "EntryRow",
    "GenerationRow",
    "ItemRow",
    "KeyframeRow",
    "MessageRow",
    "MoveRow",
    "NodeRow",
    "PieceRow",
    "PlanRow",
    "ProjectRow",
    "SessionRow",
    "SettingsRow",
    "UserRow",
]

_NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """The root of the tables."""

    metadata = MetaData(naming_convention=_NAMES)
    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON, str: Text}  # noqa: RUF012


_Id = String(16)
_Time = String(24)


class UserRow(Base):
    """An account; without accounts there is none, and rows belong to the owner ""."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    name: Mapped[str]
    key: Mapped[str] = mapped_column(unique=True)  # the name as it is compared
    password_hash: Mapped[str]
    created: Mapped[str] = mapped_column(_Time)


class SessionRow(Base):
    """A login, known by the hash of its secret."""

    __tablename__ = "sessions"
    token_hash: Mapped[str] = mapped_column(String(128), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    expires: Mapped[float] = mapped_column(Float)


class SettingsRow(Base):
    """A writer's settings."""

    __tablename__ = "settings"
    owner: Mapped[str] = mapped_column(_Id, primary_key=True)
    data: Mapped[dict[str, Any]]


class ConnectionRow(Base):
    """A server that a writer connected; its key lies in a file."""

    __tablename__ = "connections"
    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    owner: Mapped[str] = mapped_column(_Id, index=True)
    name: Mapped[str]
    url: Mapped[str]
    model: Mapped[str]
    created: Mapped[str] = mapped_column(_Time)


class ProjectRow(Base):
    """A book; `data` holds what it is about and how to write it."""

    __tablename__ = "projects"
    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    owner: Mapped[str] = mapped_column(_Id, index=True)
    title: Mapped[str]
    language: Mapped[str] = mapped_column(String(8))
    form: Mapped[str] = mapped_column(String(16))
    data: Mapped[dict[str, Any]]
    created: Mapped[str] = mapped_column(_Time)
    updated: Mapped[str] = mapped_column(_Time)
    trashed: Mapped[str | None] = mapped_column(_Time)


class ItemRow(Base):
    """A chapter, a scene or a note. Of those with a text `head` is the current node, `open` the one that typing extends."""

    __tablename__ = "items"
    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("items.id", deferrable=True, initially="DEFERRED"))
    kind: Mapped[str] = mapped_column(String(16))
    title: Mapped[str]
    form: Mapped[str | None] = mapped_column(String(16))
    position: Mapped[int] = mapped_column(Integer)
    words: Mapped[int] = mapped_column(Integer, default=0)
    head: Mapped[str | None] = mapped_column(_Id)
    open: Mapped[str | None] = mapped_column(_Id)
    created: Mapped[str] = mapped_column(_Time)
    trashed: Mapped[str | None] = mapped_column(_Time)


class NodeRow(Base):
    """A change of a scene. An undo or a redo stands for an older node (`same_as`) and knows what a redo would bring back."""

    __tablename__ = "nodes"
    __table_args__ = (Index("ix_nodes_scene_id_id", "scene_id", "id"),)
    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    scene_id: Mapped[str] = mapped_column(ForeignKey("items.id"))
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("nodes.id"), index=True)
    depth: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str] = mapped_column(String(16))
    author: Mapped[str] = mapped_column(String(8))
    start: Mapped[int] = mapped_column(Integer)
    removed: Mapped[str]
    inserted: Mapped[str]
    removed_units: Mapped[int] = mapped_column(Integer)
    inserted_units: Mapped[int] = mapped_column(Integer)
    spans: Mapped[list[Any]]
    generation_id: Mapped[str | None] = mapped_column(_Id, index=True)
    candidate: Mapped[int | None] = mapped_column(Integer)
    label: Mapped[str | None]
    words: Mapped[int] = mapped_column(Integer)
    inserted_words: Mapped[int] = mapped_column(Integer)
    removed_words: Mapped[int] = mapped_column(Integer)
    same_as: Mapped[str | None] = mapped_column(_Id)
    redo_to: Mapped[str | None] = mapped_column(_Id)
    redo_rest: Mapped[str | None] = mapped_column(_Id)
    created: Mapped[str] = mapped_column(_Time)


class KeyframeRow(Base):
    """The whole state at a node, so that no moment is more than 64 changes away: JSON {text, spans}, deflated."""

    __tablename__ = "keyframes"
    node_id: Mapped[str] = mapped_column(ForeignKey("nodes.id"), primary_key=True)
    state: Mapped[bytes] = mapped_column(LargeBinary)


class MoveRow(Base):
    """The head of a scene went to another branch."""

    __tablename__ = "moves"
    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    scene_id: Mapped[str] = mapped_column(ForeignKey("items.id"), index=True)
    left: Mapped[str] = mapped_column(_Id)
    reached: Mapped[str] = mapped_column(_Id)
    created: Mapped[str] = mapped_column(_Time)


class GenerationRow(Base):
    """One request to a model; those of one `family` are texts for the same passage, `original` is what stood there."""

    __tablename__ = "generations"
    __table_args__ = (Index("ix_generations_scene_id_status", "scene_id", "status"),)
    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    scene_id: Mapped[str] = mapped_column(ForeignKey("items.id"))
    family: Mapped[str] = mapped_column(_Id, index=True)
    mode: Mapped[str] = mapped_column(String(16))
    at: Mapped[int] = mapped_column(Integer)
    end: Mapped[int | None] = mapped_column(Integer)
    base: Mapped[str] = mapped_column(_Id)
    place: Mapped[str] = mapped_column(_Id)  # the node whose text `base` had, undone changes apart
    original: Mapped[str]
    original_spans: Mapped[list[Any]]
    model: Mapped[str]
    seed: Mapped[int | None] = mapped_column(Integer)
    settings: Mapped[dict[str, Any]]
    request: Mapped[dict[str, Any]]
    context: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(16), index=True)
    error: Mapped[str | None]
    dismissed: Mapped[bool] = mapped_column(Boolean, default=False)
    created: Mapped[str] = mapped_column(_Time)
    finished: Mapped[str | None] = mapped_column(_Time)


class CandidateRow(Base):
    """How one text of a generation ended."""

    __tablename__ = "candidates"
    generation_id: Mapped[str] = mapped_column(ForeignKey("generations.id"), primary_key=True)
    candidate: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    finish_reason: Mapped[str | None]
    extra: Mapped[dict[str, Any]]


class PieceRow(Base):
    """What a model said since the last piece: a text is written while it streams, and only ever added to."""

    __tablename__ = "pieces"
    generation_id: Mapped[str] = mapped_column(ForeignKey("generations.id"), primary_key=True)
    candidate: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    text: Mapped[str]
    tokens: Mapped[list[Any]]


class EntryRow(Base):
    """A person, a place or a thing."""

    __tablename__ = "entries"
    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str]
    aliases: Mapped[list[Any]]
    avoid: Mapped[list[Any]]
    text: Mapped[str]
    always: Mapped[bool] = mapped_column(Boolean)
    enabled: Mapped[bool] = mapped_column(Boolean)
    priority: Mapped[int] = mapped_column(Integer)
    proposed: Mapped[bool] = mapped_column(Boolean)
    extra: Mapped[dict[str, Any]]
    trashed: Mapped[str | None] = mapped_column(_Time)


class PlanRow(Base):
    """A version of a project's plan."""

    __tablename__ = "plans"
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    data: Mapped[dict[str, Any]]
    created: Mapped[str] = mapped_column(_Time)


class MessageRow(Base):
    """A line of the chat."""

    __tablename__ = "messages"
    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"), index=True)
    role: Mapped[str] = mapped_column(String(16))
    character: Mapped[str | None]
    text: Mapped[str]
    created: Mapped[str] = mapped_column(_Time)


class EditRow(Base):
    """What a writer did with a model's text: the data of a later training on their own taste."""

    __tablename__ = "edits"
    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    owner: Mapped[str] = mapped_column(_Id, index=True)
    generation_id: Mapped[str | None] = mapped_column(_Id)
    family: Mapped[str | None] = mapped_column(_Id, index=True)
    candidate: Mapped[int | None] = mapped_column(Integer)
    kind: Mapped[str] = mapped_column(String(16))
    model: Mapped[str]
    language: Mapped[str] = mapped_column(String(8))
    context: Mapped[str]
    chosen: Mapped[str | None]
    rejected: Mapped[list[Any]]
    created: Mapped[str] = mapped_column(_Time)
