"""What the writer did with a model's words: the log that training on their own taste reads, and the share they kept."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, cast

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from storyteller.evaluate.bootstrap import ratio_interval
from storyteller.studio.errors import StudioError
from storyteller.studio.store.database import new_id, now
from storyteller.studio.store.generations import texts_of
from storyteller.studio.store.manuscripts import head_of
from storyteller.studio.store.records import ChoiceKind, Kept
from storyteller.studio.store.room import Room, changed_rows, checked
from storyteller.studio.store.tables import EditRow, GenerationRow, ItemRow, NodeRow, ProjectRow

__all__ = ["Edits"]

_KINDS = frozenset({"accept", "retry", "delete", "rewrite"})
_SOURCES = ("person", "model", "edited", "prompt", "import")
_CONTEXT = 6000


class Edits(Room):
    """The edit log of one writer."""

    def log_choice(self, generation: str, candidate: int, kind: ChoiceKind, kept_text: str | None = None) -> None:
        """Log that a candidate was accepted, retried, deleted or rewritten to `kept_text`.

        An accepted one was chosen before the other candidates of its generation. A generation that was chosen from is
        no longer offered as recovered.
        """
        if kind not in _KINDS:
            raise StudioError(f"there is no choice {kind!r}. It is one of {', '.join(sorted(_KINDS))}.")
        with self._database.write() as session:
            row = self._generation_row(session, generation)
            texts = texts_of(session, [generation])[generation]
            text = texts.get(candidate, "")
            others = [said for number, said in sorted(texts.items()) if number != candidate and said.strip()]
            chosen = {"accept": kept_text or text, "rewrite": kept_text}.get(kind)
            project = session.get_one(ProjectRow, session.get_one(ItemRow, row.scene_id).project_id)
            row.dismissed = True
            edit = EditRow(id=new_id(), owner=self.owner, generation_id=generation, family=row.family, kind=kind)
            edit.candidate, edit.model, edit.language, edit.created = candidate, row.model, project.language, now()
            edit.context = self._context(session, row)
            edit.chosen = checked(chosen) if chosen else None
            edit.rejected = others if kind == "accept" else [text] if text.strip() else []
            session.add(edit)

    def edits_summary(self) -> dict[str, Any]:
        """How many choices of each kind and model the log has, and how many pairs they make."""
        with self._database.read() as session:
            mine = select(EditRow.kind, EditRow.model, func.count()).where(EditRow.owner == self.owner)
            kinds: Counter[str] = Counter()
            models: Counter[str] = Counter()
            for kind, model, number in session.execute(mine.group_by(EditRow.kind, EditRow.model)):
                kinds[kind] += number
                models[model] += number
            span = select(func.min(EditRow.created), func.max(EditRow.created)).where(EditRow.owner == self.owner)
            first, last = session.execute(span).one()
            pairs = sum(1 for _ in self._pairs(session))
        return {
            "total": kinds.total(),
            "kinds": dict(kinds),
            "models": dict(models),
            "pairs": pairs,
            "first": first,
            "last": last,
        }

    def export_edits(self, kind: str = "pairs") -> Iterator[str]:
        """The log's preference pairs as lines of JSON: `pairs` with all that is known, `dpo` as trainers read them."""
        if kind not in ("pairs", "dpo"):
            raise StudioError(f"there is no export {kind!r} of the edits. It is pairs or dpo.")
        with self._database.read() as session:
            for pair in self._pairs(session):
                if kind == "dpo":
                    pair = {"prompt": pair["context"], "chosen": pair["chosen"], "rejected": pair["rejected"]}
                yield json.dumps(pair, ensure_ascii=False) + "\n"

    def wipe_edits(self) -> int:
        """Delete the whole log; how many choices it had. The manuscripts stay."""
        with self._database.write() as session:
            return changed_rows(session, delete(EditRow).where(EditRow.owner == self.owner))

    def kept(self, project: str | None = None) -> list[Kept]:
        """For each model the share of the units it wrote into manuscripts that still stand there as it wrote them.

        Over the scenes of a project, or of all; the trash is left out. The interval is a percentile bootstrap over
        generations; one generation alone has none.
        """
        with self._database.read() as session:
            scenes = self._scenes(session, project)
            written = _written(session, [scene.id for scene in scenes])
            standing: Counter[str] = Counter()
            for scene in scenes:
                for span in self._state(session, head_of(scene)).spans:
                    if span.source == "model" and span.generation:
                        standing[span.generation] += span.length
            named = select(GenerationRow.id, GenerationRow.model).where(GenerationRow.id.in_(written))
            models: dict[str, list[str]] = defaultdict(list)
            for generation, model in session.execute(named):
                models[model].append(generation)
        return [_kept(model, ids, written, standing) for model, ids in sorted(models.items())]

    def shares(self, project: str) -> dict[str, int]:
        """How many UTF-16 units of a project's scenes each source wrote."""
        with self._database.read() as session:
            self._project_row(session, project, trashed=None)
            count: Counter[str] = Counter(dict.fromkeys(_SOURCES, 0))
            for scene in self._scenes(session, project):
                for span in self._state(session, head_of(scene)).spans:
                    count[span.source] += span.length
            return dict(count)

    def _scenes(self, session: Session, project: str | None) -> list[ItemRow]:
        rows = select(ItemRow).join(ProjectRow, ProjectRow.id == ItemRow.project_id)
        rows = rows.where(ProjectRow.owner == self.owner, ItemRow.kind == "scene", ItemRow.trashed.is_(None))
        if project is None:
            rows = rows.where(ProjectRow.trashed.is_(None))
        else:
            self._project_row(session, project, trashed=None)
            rows = rows.where(ProjectRow.id == project)
        return [row for row in session.scalars(rows) if _in_sight(session, row)]

    def _context(self, session: Session, row: GenerationRow) -> str:
        """What the model saw, or the text before the place if that was not kept."""
        if parts := row.context.get("parts"):
            return "\n\n".join(part["text"] for part in parts if part.get("text"))
        state = self._state(session, row.base)
        return state.cut(0, min(row.at, state.units))[1][-_CONTEXT:]

    def _pairs(self, session: Session) -> Iterator[dict[str, Any]]:
        """The pairs (context, rejected, chosen): what was retried or deleted lost to what its family gave later.

        What stands in its scene again was not rejected after all.
        """
        rows = session.scalars(select(EditRow).where(EditRow.owner == self.owner).order_by(EditRow.id)).all()
        won = {row.family: row.chosen for row in rows if row.chosen}
        seen: set[tuple[str, str, str]] = set()
        scenes: dict[str, str] = {}
        for row in rows:
            chosen = row.chosen or won.get(row.family)
            for rejected in row.rejected:
                if not chosen or chosen == rejected or (pair := (row.context, rejected, chosen)) in seen:
                    continue
                if row.kind in ("retry", "delete") and rejected.strip() in self._text_around(session, row, scenes):
                    continue
                seen.add(pair)
                about: Mapping[str, Any] = {"kind": row.kind, "model": row.model, "language": row.language}
                yield {"context": row.context, "rejected": rejected, "chosen": chosen, **about, "time": row.created}

    def _text_around(self, session: Session, row: EditRow, known: dict[str, str]) -> str:
        """The scene that a choice was made in as it stands now; nothing if it is gone. `known` are those read before."""
        made = session.get(GenerationRow, row.generation_id)
        item = session.get(ItemRow, made.scene_id) if made else None
        if item is None:
            return ""
        if item.id not in known:
            known[item.id] = self._state(session, head_of(item)).text
        return known[item.id]


def _in_sight(session: Session, item: ItemRow) -> bool:
    """Whether nothing that an item stands in is in the trash."""
    above = item.parent_id
    while above is not None:
        parent = session.get_one(ItemRow, above)
        if parent.trashed is not None:
            return False
        above = parent.parent_id
    return True


def _written(session: Session, scenes: list[str]) -> dict[str, int]:
    """The units that each generation brought into the scenes; a candidate that is chosen again is no more words."""
    streamed: Counter[tuple[str, int]] = Counter()
    chosen: dict[tuple[str, int], int] = {}
    rows = select(NodeRow.generation_id, NodeRow.candidate, NodeRow.kind, NodeRow.inserted_units)
    rows = rows.where(NodeRow.scene_id.in_(scenes), NodeRow.author == "model", NodeRow.generation_id.is_not(None))
    for generation, candidate, kind, length in session.execute(rows):
        text = cast(str, generation), candidate or 0
        if kind == "alternative":
            chosen[text] = max(chosen.get(text, 0), length)
        else:
            streamed[text] += length
    written: Counter[str] = Counter()
    for text in {*streamed, *chosen}:
        written[text[0]] += max(streamed[text], chosen.get(text, 0))
    return {generation: length for generation, length in written.items() if length}


def _kept(model: str, generations: list[str], written: Mapping[str, int], standing: Mapping[str, int]) -> Kept:
    still = [min(standing[generation], written[generation]) for generation in generations]
    share = ratio_interval(still, [written[generation] for generation in generations], generations)
    return {"model": model, "share": share.value, "low": share.low, "high": share.high, "n": share.n}
