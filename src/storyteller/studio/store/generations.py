"""Generations: what was asked of a model, what it saw, and every word of its candidates, written while they stream."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, cast

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from storyteller.studio.store.database import new_id, now
from storyteller.studio.store.records import Candidate, Generation
from storyteller.studio.store.room import Room, changed_rows, known
from storyteller.studio.store.splices import Span, State
from storyteller.studio.store.tables import CandidateRow, GenerationRow, ItemRow, PieceRow

__all__ = ["Generations", "Piece", "interrupt", "recovered_in", "texts_of"]

Piece = tuple[int, str, Sequence[Mapping[str, Any]]]
"""(candidate, text, tokens): what one candidate gained."""

_ENDED = frozenset({"done", "stopped", "failed", "interrupted"})
_CHANGEABLE = ("status", "error", "context", "seed", "model", "settings", "request")


class Generations(Room):
    """The generations of one writer."""

    def create_generation(
        self,
        scene: str,
        mode: str,
        at: int,
        base: str,
        *,
        end: int | None = None,
        model: str,
        seed: int | None = None,
        settings: Mapping[str, Any] | None = None,
        request: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        retry_of: str | None = None,
    ) -> Generation:
        """Record what is asked of a model, `queued`.

        It belongs to the family of `retry_of`, of the generation whose whole passage is [at, end), or of one that was
        asked for at the same place before.
        """
        with self._database.write() as session:
            item = self._item_row(session, scene, text=True)
            node = self._node_row(session, base, scene)
            state = self._state(session, base)
            original, spans = _selected(state, at, end)
            row = GenerationRow(
                id=new_id(),
                scene_id=scene,
                mode=mode,
                at=at,
                end=end,
                base=base,
                place=node.same_as or node.id,
                original=original,
                original_spans=[span.row() for span in spans],
                model=model,
                seed=seed,
                settings=dict(settings or {}),
                request=dict(request or {}),
                context=dict(context or {}),
                status="queued",
                dismissed=False,
                created=now(),
            )
            row.family = self._family(session, row, retry_of, spans)
            session.add(row)
            if item.open == base:
                item.open = None  # the node that a generation refers to must not change
            session.flush()
            return _generation(session, row)

    def update_generation(self, generation: str, changes: Mapping[str, Any]) -> None:
        """Change a generation's status, error, context, seed, model, settings or request."""
        known(changes, _CHANGEABLE, "a generation")
        with self._database.write() as session:
            row = self._generation_row(session, generation)
            for name, value in changes.items():
                setattr(row, name, value)
            if changes.get("status") in _ENDED:
                row.finished = now()

    def append(self, generation: str, pieces: Sequence[Piece]) -> None:
        """Add what candidates gained; when this returns, a kill loses none of it."""
        with self._database.write() as session:
            self._generation_row(session, generation)
            for candidate, text, tokens in pieces:
                mine = PieceRow.generation_id == generation, PieceRow.candidate == candidate
                number = select(func.coalesce(func.max(PieceRow.number), -1) + 1).where(*mine).scalar_subquery()
                values = {"generation_id": generation, "candidate": candidate, "number": number}
                said = text.replace("\0", "").encode("utf-8", "replace").decode()
                session.execute(insert(PieceRow).values(**values, text=said, tokens=[dict(token) for token in tokens]))

    def finish_candidate(
        self, generation: str, candidate: int, finish_reason: str, extra: Mapping[str, Any] | None = None
    ) -> None:
        """Say how a candidate ended; `extra` keeps its scores."""
        with self._database.write() as session:
            self._generation_row(session, generation)
            row = CandidateRow(generation_id=generation, candidate=candidate, finish_reason=finish_reason)
            row.extra = dict(extra or {})
            session.merge(row)

    def generation(self, generation: str) -> Generation:
        """The whole record, with every token."""
        with self._database.read() as session:
            return _generation(session, self._generation_row(session, generation))

    def recovered(self, scene: str) -> list[Generation]:
        """What a crash cut off and does not stand in the scene: its text is offered until it is used or dismissed."""
        with self._database.read() as session:
            item = self._item_row(session, scene, text=True)
            return recovered_in(session, item, self._state(session, cast(str, item.head)))

    def dismiss(self, generation: str) -> None:
        """Offer an interrupted generation no more; it stays in the tree."""
        with self._database.write() as session:
            self._generation_row(session, generation).dismissed = True

    def _family(self, session: Session, row: GenerationRow, retry_of: str | None, spans: Sequence[Span]) -> str:
        """Those generations that are texts for one passage."""
        source = retry_of or (row.request.get("from") or {}).get("generation")
        owners = {span.generation for span in spans}
        if source is None and len(owners) == 1:
            source = owners.pop()
        if source is not None:
            return self._generation_row(session, source).family
        same = select(GenerationRow.family).where(
            GenerationRow.scene_id == row.scene_id,
            GenerationRow.place == row.place,
            GenerationRow.at == row.at,
            GenerationRow.end == row.end if row.end is not None else GenerationRow.end.is_(None),
            GenerationRow.mode == row.mode,
        )
        return session.scalar(same.limit(1)) or row.id


def texts_of(session: Session, generations: Sequence[str]) -> dict[str, dict[int, str]]:
    """The candidates' texts of some generations."""
    texts: dict[str, dict[int, str]] = defaultdict(lambda: defaultdict(str))
    pieces = select(PieceRow.generation_id, PieceRow.candidate, PieceRow.text)
    pieces = pieces.where(PieceRow.generation_id.in_(generations))
    for generation, candidate, text in session.execute(pieces.order_by(PieceRow.candidate, PieceRow.number)):
        texts[generation][candidate] += text
    return texts


def interrupt(session: Session) -> int:
    """Mark what was queued or running when a server was killed; how many there were."""
    cut = update(GenerationRow).where(GenerationRow.status.in_(("queued", "running")))
    return changed_rows(session, cut.values(status="interrupted", finished=now()))


def recovered_in(session: Session, item: ItemRow, state: State) -> list[Generation]:
    """The interrupted generations of a scene whose words do not stand in it."""
    rows = session.scalars(
        select(GenerationRow)
        .where(
            GenerationRow.scene_id == item.id,
            GenerationRow.status == "interrupted",
            GenerationRow.dismissed.is_(False),
            GenerationRow.mode != "ghost",
        )
        .order_by(GenerationRow.id.desc())
        .limit(8)
    )
    found = [_generation(session, row) for row in rows]
    return [generation for generation in found if _worth(generation, state.text)]


def _selected(state: State, at: int, end: int | None) -> tuple[str, tuple[Span, ...]]:
    """The selected text, if there is one; the page may be ahead of what is saved."""
    if end is None or not at < end <= state.units:
        return "", ()
    return state.cut(at, end - at)[1], state.slice(at, end)


def _worth(generation: Generation, text: str) -> bool:
    """Whether an interrupted generation has words that do not stand in the text."""
    texts = [candidate["text"].strip() for candidate in generation["candidates"]]
    return any(texts) and not any(said and said in text for said in texts)


def _generation(session: Session, row: GenerationRow) -> Generation:
    candidates: dict[int, Candidate] = {}
    pieces = select(PieceRow).where(PieceRow.generation_id == row.id).order_by(PieceRow.candidate, PieceRow.number)
    said: dict[int, list[str]] = defaultdict(list)
    for piece in session.scalars(pieces):
        said[piece.candidate].append(piece.text)
        _candidate(candidates, piece.candidate)["tokens"] += piece.tokens
    for ended in session.scalars(select(CandidateRow).where(CandidateRow.generation_id == row.id)):
        one = _candidate(candidates, ended.candidate)
        one["finish_reason"], one["extra"] = ended.finish_reason, ended.extra
    for number, texts in said.items():
        candidates[number]["text"] = "".join(texts)
    return {
        "id": row.id,
        "scene": row.scene_id,
        "project": session.get_one(ItemRow, row.scene_id).project_id,
        "mode": row.mode,
        "at": row.at,
        "end": row.end,
        "base": row.base,
        "family": row.family,
        "model": row.model,
        "seed": row.seed,
        "settings": row.settings,
        "request": row.request,
        "context": row.context,
        "status": cast(Any, row.status),
        "error": row.error,
        "created": row.created,
        "finished": row.finished,
        "candidates": [candidates[number] for number in sorted(candidates)],
    }


def _candidate(candidates: dict[int, Candidate], number: int) -> Candidate:
    empty: Candidate = {"candidate": number, "text": "", "finish_reason": None, "tokens": [], "extra": {}}
    return candidates.setdefault(number, empty)
