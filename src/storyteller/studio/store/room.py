"""What every room of the store shares: whose it is, the way to a row, and the state of a manuscript at any node."""

from __future__ import annotations

import json
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import CursorResult, Delete, Update, select
from sqlalchemy.orm import Session

from storyteller.corpus.language import count_words
from storyteller.corpus.story import Language
from storyteller.studio.errors import NotFoundError, StudioError
from storyteller.studio.store.database import Database
from storyteller.studio.store.keys import KeyFile
from storyteller.studio.store.splices import Span, Splice, State, apply
from storyteller.studio.store.tables import GenerationRow, ItemRow, KeyframeRow, NodeRow, ProjectRow

__all__ = [
    "KEYFRAME",
    "Room",
    "Shared",
    "changed_rows",
    "checked",
    "known",
    "language_of",
    "packed",
    "spans_of",
    "splice_of",
    "unpacked",
    "words_in",
]

_Value = TypeVar("_Value")

KEYFRAME = 64
_CACHED_UNITS = 40_000_000


class StateCache:
    """The states of the nodes that were used last. A node never changes, so neither does what is kept here."""

    def __init__(self, most: int = _CACHED_UNITS) -> None:
        self._states: OrderedDict[str, State] = OrderedDict()
        self._lock, self._most, self._size = threading.Lock(), most, 0

    def get(self, node: str) -> State | None:
        """The state at a node, if it is here."""
        with self._lock:
            if node in self._states:
                self._states.move_to_end(node)
            return self._states.get(node)

    def put(self, node: str, state: State) -> None:
        """Keep a state, and forget those that were not asked for longest."""
        with self._lock:
            if node not in self._states:
                self._states[node] = state
                self._size += state.units + 100 * len(state.spans)
            while self._size > self._most and len(self._states) > 1:
                _, gone = self._states.popitem(last=False)
                self._size -= gone.units + 100 * len(gone.spans)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._states.clear()
            self._size = 0


@dataclass(frozen=True)
class Shared:
    """What all writers of one store share."""

    database: Database
    keys: KeyFile
    folder: Path
    states: StateCache = field(default_factory=StateCache)


class Room:
    """The rows of one owner; every query begins at a project or a row that is theirs."""

    def __init__(self, shared: Shared, owner: str) -> None:
        self.owner = owner
        self._shared, self._database = shared, shared.database

    def _project_row(self, session: Session, project: str, trashed: bool | None = False) -> ProjectRow:
        row = session.get(ProjectRow, project)
        if row is None or row.owner != self.owner or (trashed is not None and (row.trashed is not None) != trashed):
            raise NotFoundError(f"there is no project {project!r}. Look in the trash, or open another.")
        return row

    def _item_row(self, session: Session, item: str, *, text: bool = False) -> ItemRow:
        row = session.get(ItemRow, item)
        if row is None or session.get_one(ProjectRow, row.project_id).owner != self.owner:
            raise NotFoundError(f"there is no item {item!r}. Read the project again.")
        if text and row.head is None:
            raise StudioError("a chapter has no text of its own. Open one of its scenes.")
        return row

    def _node_row(self, session: Session, node: str, scene: str | None = None) -> NodeRow:
        row = session.get(NodeRow, node)
        if row is None or (scene is not None and row.scene_id != scene):
            raise NotFoundError(f"there is no moment {node!r} in this scene. Read its history again.")
        if scene is None:
            self._item_row(session, row.scene_id)
        return row

    def _generation_row(self, session: Session, generation: str) -> GenerationRow:
        row = session.get(GenerationRow, generation)
        if row is None:
            raise NotFoundError(f"there is no generation {generation!r}. Ask the model again.")
        self._item_row(session, row.scene_id)
        return row

    def _state(self, session: Session, node: str) -> State:
        """The text and spans at a node: from the cache, or from the keyframe before it and what was changed since."""
        if (state := self._shared.states.get(node)) is not None:
            return state
        path: list[NodeRow] = []
        for row in _way_up(session, node):
            path.append(row)
            if (state := self._shared.states.get(row.id)) is not None:
                path.pop()
                break
        else:
            state = unpacked(session.get_one(KeyframeRow, path.pop().id).state)
        for row in reversed(path):
            state = apply(state, splice_of(row))
        self._shared.states.put(node, state)
        return state


def _way_up(session: Session, node: str) -> Iterable[NodeRow]:
    """A node and those before it, up to and with the nearest keyframe."""
    way = select(NodeRow.id, NodeRow.parent_id, NodeRow.depth).where(NodeRow.id == node).cte("way", recursive=True)
    up = select(NodeRow.id, NodeRow.parent_id, NodeRow.depth).join(way, NodeRow.id == way.c.parent_id)
    way = way.union_all(up.where(way.c.depth % KEYFRAME != 0))
    rows = select(NodeRow).join(way, NodeRow.id == way.c.id).order_by(NodeRow.depth.desc())
    return session.scalars(rows).all()


def packed(state: State) -> bytes:
    """A state as a keyframe keeps it; deflated, since it repeats the whole text."""
    kept = {"text": state.text, "spans": [span.row() for span in state.spans]}
    return zlib.compress(json.dumps(kept, ensure_ascii=False).encode(), 1)


def unpacked(data: bytes) -> State:
    """The state that a keyframe keeps."""
    kept = json.loads(zlib.decompress(data))
    return State(kept["text"], spans_of(kept["spans"]))


def splice_of(node: NodeRow) -> Splice:
    """The change that a node is."""
    return Splice(node.start, node.removed, node.inserted, spans_of(node.spans))


def spans_of(rows: Iterable[Iterable[Any]]) -> tuple[Span, ...]:
    """Spans as they are stored."""
    return tuple(Span(*row) for row in rows)


def language_of(project: ProjectRow) -> Language:
    """The language by which a project's words are counted."""
    return "zh" if project.language.startswith("zh") else "en"


def changed_rows(session: Session, statement: Update | Delete) -> int:
    """Run an update or a deletion; how many rows it met."""
    result = session.execute(statement.execution_options(synchronize_session=False))
    return cast("CursorResult[Any]", result).rowcount


def words_in(text: str, language: Language) -> int:
    """The words, or 字, of a text."""
    return count_words(text, language) if text else 0


def checked(value: _Value) -> _Value:
    """The text, or the JSON value with all texts in it, if every database and every browser can hold it."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise StudioError(
                "the text holds half a character (a lone surrogate). Delete it, and save again."
            ) from None
        if "\0" in value:
            raise StudioError("the text holds a NUL character, which no document can. Delete it, and save again.")
    elif isinstance(value, Mapping):
        for each in (*value.keys(), *value.values()):
            checked(each)
    elif isinstance(value, list | tuple):
        for each in value:
            checked(each)
    return value


def known(values: Mapping[str, Any], names: Iterable[str], what: str) -> None:
    """Raise `StudioError` for a key that nothing would read."""
    names = set(names)
    if strange := sorted(set(values) - names):
        raise StudioError(f"{what} has no {strange[0]!r}. It has {', '.join(sorted(names))}.")
