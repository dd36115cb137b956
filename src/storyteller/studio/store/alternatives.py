"""Alternatives: every text that there is for a passage, and choosing another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from storyteller.studio.errors import NotFoundError
from storyteller.studio.store.generations import texts_of
from storyteller.studio.store.manuscripts import Change, Manuscripts, head_of
from storyteller.studio.store.records import Alternative, Moved, Passage
from storyteller.studio.store.room import language_of, spans_of, words_in
from storyteller.studio.store.splices import Span, Splice, State, apply, units
from storyteller.studio.store.tables import GenerationRow, ProjectRow

__all__ = ["Alternatives"]


@dataclass(frozen=True)
class _Place:
    """A passage [start, end) of a state, whose texts are those of `family`; `shown` is the one that stands there."""

    start: int
    end: int
    family: str | None = None
    shown: tuple[str | None, int | None] = (None, None)


class Alternatives(Manuscripts):
    """The passages of one writer's scenes."""

    def alternatives(self, scene: str, at: int) -> Passage:
        """Every text for the passage around an offset: the candidates of all its generations, and what stood there first.

        Where no model wrote the passage is empty and there are none.
        """
        with self._database.read() as session:
            item = self._item_row(session, scene, text=True)
            state = self._state(session, head_of(item))
            place = _place(session, scene, state, at)
            return {"start": place.start, "end": place.end, "alternatives": _texts(session, place)}

    def choose(self, scene: str, base: str, at: int, generation: str | None, candidate: int | None = None) -> Moved:
        """Put another text in the place of the passage around `at`; without `generation` what stood there first."""
        with self._database.read() as session:
            item = self._based(session, scene, base)
            language = language_of(session.get_one(ProjectRow, item.project_id))
            head, state = self._node_row(session, base), self._state(session, base)
            place = _place(session, scene, state, at)
            text, spans = _wanted(session, place, generation, candidate)
        splice = Splice(place.start, state.cut(place.start, place.end - place.start)[1], text, spans)
        came, went = words_in(splice.inserted, language), words_in(splice.removed, language)
        after = apply(state, splice)
        words = words_in(after.text, language)
        author = "model" if generation else "person"
        change = Change("alternative", author, splice, after, words, came, went, generation, candidate)
        return self._step(scene, head, change)


def _place(session: Session, scene: str, state: State, at: int) -> _Place:
    """The run of spans of one generation around an offset, or the text that a generation took the place of."""
    before = state.cut(at, 0)[0]
    place, runs = 0, list[tuple[int, int, Span]]()
    for span in state.spans:
        if runs and runs[-1][2].generation == span.generation:
            first = runs[-1][2] if runs[-1][2].source == "model" else span
            runs[-1] = (runs[-1][0], place + span.length, first)
        else:
            runs.append((place, place + span.length, span))
        place += span.length
    near = [run for run in runs if run[0] <= at < run[1]] + [run for run in runs if run[1] == at]
    for start, end, span in near:
        if span.generation is not None and (row := session.get(GenerationRow, span.generation)) is not None:
            return _Place(start, end, row.family, (row.id, span.candidate or 0))
    return _first_words(session, scene, state, before) or _Place(at, at)


def _first_words(session: Session, scene: str, state: State, before: str) -> _Place | None:
    """The passage at the end of `before` to which the writer's own first words came back."""
    asked = select(GenerationRow.family, GenerationRow.original)
    asked = asked.where(GenerationRow.scene_id == scene, GenerationRow.original != "").order_by(GenerationRow.id.desc())
    for family, original in session.execute(asked):
        found = state.text.find(original, max(len(before) - len(original), 0))
        if 0 <= found <= len(before):
            start = units(state.text[:found])
            return _Place(start, start + units(original), family)
    return None


def _texts(session: Session, place: _Place) -> list[Alternative]:
    family = _members(session, place)
    texts = texts_of(session, [row.id for row in family])
    found: list[Alternative] = [
        {
            "generation": row.id,
            "candidate": candidate,
            "text": text,
            "model": row.model,
            "seed": row.seed,
            "current": place.shown == (row.id, candidate),
        }
        for row in family
        for candidate, text in sorted(texts[row.id].items())
    ]
    if family and family[0].original:
        shown = place.shown == (None, None)
        first: Alternative = {
            "generation": None,
            "candidate": None,
            "text": family[0].original,
            "model": None,
            "seed": None,
            "current": shown,
        }
        found.insert(0, first)
    return found


def _members(session: Session, place: _Place) -> Sequence[GenerationRow]:
    if place.family is None:
        return ()
    rows = select(GenerationRow).where(GenerationRow.family == place.family).order_by(GenerationRow.id)
    return session.scalars(rows).all()


def _wanted(
    session: Session, place: _Place, generation: str | None, candidate: int | None
) -> tuple[str, tuple[Span, ...]]:
    """The text that was asked for, with its spans."""
    family = _members(session, place)
    if generation is None and family and family[0].original:
        return family[0].original, spans_of(family[0].original_spans)
    for row in family:
        if row.id == generation and (text := texts_of(session, [row.id])[row.id].get(candidate or 0)):
            return text, (Span(units(text), "model", row.id, row.model, candidate or 0),)
    raise NotFoundError("there is no such text for this passage. Ask for its alternatives again.")
