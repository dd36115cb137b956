"""Manuscripts: every change is a node of one tree, and goes in only if its base is still the head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from storyteller.corpus.story import Language
from storyteller.studio.errors import ConflictError, StudioError
from storyteller.studio.store.counting import more_words
from storyteller.studio.store.database import age, new_id, now
from storyteller.studio.store.generations import recovered_in
from storyteller.studio.store.records import Moment, Moved, Saved, Scene, SpanList, SpliceDict
from storyteller.studio.store.room import (
    KEYFRAME,
    Room,
    changed_rows,
    checked,
    language_of,
    packed,
    splice_of,
    words_in,
)
from storyteller.studio.store.splices import Source, Splice, State, apply, between, joined, units, written_by
from storyteller.studio.store.tables import ItemRow, KeyframeRow, MoveRow, NodeRow, ProjectRow

__all__ = ["Change", "Manuscripts", "head_of", "provenance"]

_KINDS = {"person": "type", "prompt": "type", "model": "generate", "import": "import"}
_GIVEN_KINDS = frozenset({"type", "generate", "rewrite", "alternative", "import"})
_GROWING = frozenset({("person", "type"), ("model", "generate"), ("model", "rewrite")})
_TYPING_SECONDS = 30
_TYPING_UNITS = 4096  # a longer node would be written again and again
_STREAMED_UNITS = 65536


@dataclass(frozen=True)
class Change:
    """A node to be, and the state after it."""

    kind: str
    author: str
    splice: Splice
    state: State
    words: int
    inserted_words: int
    removed_words: int
    generation: str | None = None
    candidate: int | None = None
    same_as: str | None = None
    redo_to: str | None = None
    redo_rest: str | None = None

    @property
    def growing(self) -> bool:
        """Whether it is typed or streamed."""
        return (self.author, self.kind) in _GROWING

    def grows(self, other: Change) -> bool:
        """Whether the other one may become part of this."""
        mine = self.kind, self.author, self.generation, self.candidate
        most = _STREAMED_UNITS if self.author == "model" else _TYPING_UNITS
        size = len(self.splice.inserted) + len(self.splice.removed) + len(other.splice.inserted)
        same = mine == (other.kind, other.author, other.generation, other.candidate)
        return self.growing and same and size + len(other.splice.removed) <= most


class Manuscripts(Room):
    """The scenes and notes of one writer."""

    def scene(self, scene: str) -> Scene:
        """A scene or note with its text, and the generations that a crash cut off."""
        with self._database.read() as session:
            item = self._item_row(session, scene, text=True)
            project = session.get_one(ProjectRow, item.project_id)
            state = self._state(session, head_of(item))
            return {
                "id": item.id,
                "project": project.id,
                "title": item.title,
                "form": item.form or project.form,
                "language": project.language,
                "text": state.text,
                "head": head_of(item),
                "words": item.words,
                "provenance": provenance(state),
                "recovered": recovered_in(session, item, state),
            }

    def splice(self, scene: str, base: str, splices: Sequence[SpliceDict]) -> Saved:
        """Change the text; each splice counts in the text that the one before it left.

        What continues the head (same author, touching, typed within 30 s; or more of one stream) becomes part of its
        node, which gets a new id. Raises `ConflictError` when `base` is not the head, `StudioError` for a splice that
        does not fit; then nothing of all is kept.
        """
        while True:
            with self._database.read() as session:
                item = self._based(session, scene, base)
                language = language_of(session.get_one(ProjectRow, item.project_id))
                head = self._node_row(session, base)
                models = {g: self._generation_row(session, g).model for s in splices if (g := s.get("generation"))}
                state = self._state(session, base)
                opening = _as_change(head, state) if item.open == base else None
            changes = _changes(splices, state, head.words, language, models)
            grown = None
            if opening is not None and changes and (opening.author == "model" or age(head.created) < _TYPING_SECONDS):
                grown = _grown(opening, changes[0], language)
            changes = [grown, *changes[1:]] if grown else changes
            if not changes:
                return {"head": base, "words": head.words}
            if (made := self._enter(scene, head, changes, grows=grown is not None)) is not None:
                return {"head": made, "words": changes[-1].words}

    def undo(self, scene: str, base: str) -> Moved:
        """Take back the last change that is not taken back yet, a person's or a model's; it stays in the tree."""
        with self._database.read() as session:
            self._based(session, scene, base)
            head = self._node_row(session, base)
            last = self._node_row(session, head.same_as) if head.same_as else head
            state = self._state(session, base)
            if last.parent_id is None:
                return _moved(base, state, None)
            before = self._node_row(session, last.parent_id)
            old = self._state(session, before.id)
        back = Splice(last.start, last.inserted, last.removed, old.slice(last.start, last.start + last.removed_units))
        change = Change(
            "undo",
            "person",
            back,
            old,
            before.words,
            last.removed_words,
            last.inserted_words,
            same_as=before.same_as or before.id,
            redo_to=last.id,
            redo_rest=head.id if head.redo_to else None,
        )
        return self._step(scene, head, change)

    def redo(self, scene: str, base: str) -> Moved:
        """Bring back what the last undo took, as long as nothing else was changed since."""
        with self._database.read() as session:
            self._based(session, scene, base)
            head = self._node_row(session, base)
            state = self._state(session, base)
            if head.redo_to is None:
                return _moved(base, state, None)
            gone = self._node_row(session, head.redo_to)
            rest = self._node_row(session, head.redo_rest) if head.redo_rest else None
        change = replace(
            _as_change(gone, apply(state, splice_of(gone))),
            kind="redo",
            author="person",
            generation=None,
            candidate=None,
            same_as=gone.id,
            redo_to=rest.redo_to if rest else None,
            redo_rest=rest.redo_rest if rest else None,
        )
        return self._step(scene, head, change)

    def restore(self, scene: str, base: str, node: str) -> Moved:
        """Give the scene the text that it had at `node`, as a new change."""
        with self._database.read() as session:
            item = self._based(session, scene, base)
            language = language_of(session.get_one(ProjectRow, item.project_id))
            head, then = self._node_row(session, base), self._node_row(session, node, scene)
            state, old = self._state(session, base), self._state(session, node)
        if state == old:
            return _moved(base, state, None)
        splice = between(state, old)
        counts = words_in(splice.inserted, language), words_in(splice.removed, language)
        return self._step(scene, head, Change("restore", "person", splice, apply(state, splice), then.words, *counts))

    def go_to(self, scene: str, base: str, node: str) -> Moved:
        """Move the head to another node of the tree, such as the end of a branch; what was the head stays where it is."""
        with self._database.read() as session:
            self._based(session, scene, base)
            there = self._node_row(session, node, scene)
            state = self._state(session, node)
        with self._database.write() as session:
            if not _swap_head(session, scene, base, head=node, open=None, words=there.words):
                self._based(session, scene, base)
            if base != node:
                session.add(MoveRow(id=new_id(), scene_id=scene, left=base, reached=node, created=now()))
        return _moved(node, state, None)

    def at(self, scene: str, node: str) -> Moment:
        """The text as it was at a node."""
        with self._database.read() as session:
            self._item_row(session, scene, text=True)
            state = self._state(session, self._node_row(session, node, scene).id)
            return {"text": state.text, "provenance": provenance(state)}

    def _based(self, session: Session, scene: str, base: str) -> ItemRow:
        """The scene, if `base` is its head; else `ConflictError` with the scene as it is."""
        item = self._item_row(session, scene, text=True)
        if item.head != base:
            state = self._state(session, head_of(item))
            raise ConflictError(
                "this manuscript was changed in another place. Look at both texts and keep what you want of each; "
                "nothing was overwritten.",
                {"head": item.head, "text": state.text, "provenance": provenance(state)},
            )
        return item

    def _step(self, scene: str, head: NodeRow, change: Change) -> Moved:
        """Enter one change that the store itself made."""
        made = self._enter(scene, head, [change])
        assert made is not None
        return _moved(made, change.state, change.splice)

    def _enter(self, scene: str, head: NodeRow, changes: Sequence[Change], *, grows: bool = False) -> str | None:
        """Write changes after the head, or with `grows` the first into it; the new head, None if it may grow no more."""
        ids = [new_id() for _ in changes]
        depths = [head.depth + number + (not grows) for number in range(len(changes))]
        last = changes[-1]
        opens = last.growing and depths[-1] % KEYFRAME != 0
        moment = now()
        frames = [
            KeyframeRow(node_id=node, state=packed(change.state))
            for node, depth, change in zip(ids, depths, changes, strict=True)
            if depth % KEYFRAME == 0
        ]
        with self._database.write() as session:
            values = {"head": ids[-1], "open": ids[-1] if opens else None, "words": last.words}
            if not _swap_head(session, scene, head.id, grows=grows, **values):
                self._based(session, scene, head.id)
                return None
            above = head.id
            for number, (node, depth, change) in enumerate(zip(ids, depths, changes, strict=True)):
                row = _row(node, scene, above, depth, change, moment)
                if grows and number == 0:
                    _grow(session, head.id, row)
                else:
                    session.add(row)
                session.flush()
                above = node
            session.add_all(frames)
            project = select(ItemRow.project_id).where(ItemRow.id == scene).scalar_subquery()
            session.execute(update(ProjectRow).where(ProjectRow.id == project).values(updated=moment))
        self._shared.states.put(ids[-1], last.state)
        return ids[-1]


def provenance(state: State) -> SpanList:
    """The spans of a state in the API's shape."""
    return [(span.length, span.source, span.generation, span.model) for span in state.spans]


def _changes(
    splices: Sequence[SpliceDict], state: State, words: int, language: Language, models: Mapping[str, str]
) -> list[Change]:
    """The changes that splices are, those that touch made one."""
    changes: list[Change] = []
    for sent in splices:
        author = sent.get("author") or "person"
        kind = sent.get("kind") or _KINDS.get(author, "")
        if author not in _KINDS or kind not in _GIVEN_KINDS:
            raise StudioError(f"there is no change {kind!r} by {author!r}. Leave both away for what a person typed.")
        generation, candidate = sent.get("generation"), sent.get("candidate")
        start, inserted = sent["start"], checked(sent["insert"])
        before, removed, after = state.cut(start, sent["remove"])
        if not inserted and not removed:
            continue
        model = {"model": models.get(generation), "candidate": candidate} if generation else {}
        source = cast(Source, author)
        spans = written_by(state, start, sent["remove"], inserted, source, generation, **model)
        splice = Splice(start, removed, inserted, spans)
        words += more_words(before, removed, inserted, after, language)
        state = apply(state, splice)
        by = "person" if author == "prompt" else author
        counts = words_in(inserted, language), words_in(removed, language)
        change = Change(kind, by, splice, state, words, *counts, generation, candidate)
        grown = _grown(changes[-1], change, language) if changes else None
        changes[-1:] = [grown] if grown else [*changes[-1:], change]
    return changes


def _grown(first: Change, second: Change, language: Language) -> Change | None:
    """Two changes as one, None where they are different things."""
    if not first.grows(second) or (splice := joined(first.splice, second.splice, second.state)) is None:
        return None
    counts = words_in(splice.inserted, language), words_in(splice.removed, language)
    return replace(second, splice=splice, inserted_words=counts[0], removed_words=counts[1])


def _as_change(node: NodeRow, state: State) -> Change:
    counts = node.words, node.inserted_words, node.removed_words
    return Change(node.kind, node.author, splice_of(node), state, *counts, node.generation_id, node.candidate)


def _row(node: str, scene: str, parent: str, depth: int, change: Change, moment: str) -> NodeRow:
    return NodeRow(
        id=node,
        scene_id=scene,
        parent_id=parent,
        depth=depth,
        kind=change.kind,
        author=change.author,
        start=change.splice.start,
        removed=change.splice.removed,
        inserted=change.splice.inserted,
        removed_units=units(change.splice.removed),
        inserted_units=change.splice.end - change.splice.start,
        spans=[span.row() for span in change.splice.spans],
        generation_id=change.generation,
        candidate=change.candidate,
        words=change.words,
        inserted_words=change.inserted_words,
        removed_words=change.removed_words,
        same_as=change.same_as,
        redo_to=change.redo_to,
        redo_rest=change.redo_rest,
        created=moment,
    )


def _grow(session: Session, node: str, row: NodeRow) -> None:
    """Make a node what `row` is; its new id tells a second tab, which knows the old one, that the text has changed."""
    lengths = "removed_units", "inserted_units", "removed_words", "inserted_words"
    values = {name: getattr(row, name) for name in ("id", "start", "removed", "inserted", "spans", "words", *lengths)}
    session.execute(update(NodeRow).where(NodeRow.id == node).values(values))


def _swap_head(session: Session, scene: str, base: str, *, grows: bool = False, **values: Any) -> bool:
    """Give a scene a new head if it still has the old one; two writers cannot both succeed."""
    still = update(ItemRow).where(ItemRow.id == scene, ItemRow.head == base)
    if grows:
        still = still.where(ItemRow.open == base)
    return changed_rows(session, still.values(values)) == 1


def _moved(head: str, state: State, splice: Splice | None) -> Moved:
    change: SpliceDict | None = None
    if splice is not None:
        change = {"start": splice.start, "remove": units(splice.removed), "insert": splice.inserted}
    return {"head": head, "text": state.text, "provenance": provenance(state), "splice": change}


def head_of(item: ItemRow) -> str:
    """The head of an item that has a text."""
    assert item.head is not None
    return item.head
