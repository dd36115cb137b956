"""Where a manuscript came from and where it could go: history, names, branches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storyteller.studio.store.records import Branch, HistoryNode
from storyteller.studio.store.room import Room, checked
from storyteller.studio.store.tables import GenerationRow, NodeRow

__all__ = ["History"]

_SUMMARY = 80


class History(Room):
    """The trees of one writer's scenes."""

    def history(self, scene: str, before: str | None = None, limit: int = 100) -> list[HistoryNode]:
        """The changes of a scene, the last first; `before` is the last node of the page before."""
        with self._database.read() as session:
            item = self._item_row(session, scene, text=True)
            chosen = select(
                NodeRow.id,
                NodeRow.parent_id,
                NodeRow.kind,
                NodeRow.author,
                NodeRow.generation_id,
                NodeRow.created,
                NodeRow.label,
                NodeRow.inserted_words,
                NodeRow.removed_words,
                NodeRow.words,
                func.substr(NodeRow.inserted, 1, _SUMMARY).label("came"),
                func.substr(NodeRow.removed, 1, _SUMMARY).label("went"),
                GenerationRow.model,
            ).join(GenerationRow, GenerationRow.id == NodeRow.generation_id, isouter=True)
            chosen = chosen.where(NodeRow.scene_id == scene)
            if before is not None:
                chosen = chosen.where(NodeRow.id < before)
            rows = session.execute(chosen.order_by(NodeRow.id.desc()).limit(limit)).all()
            children = _children(session, [row.id for row in rows])
            path = _path(session, cast(str, item.head), rows[-1].id) if rows else set()
            return [
                {
                    "node": row.id,
                    "parent": row.parent_id,
                    "kind": row.kind,
                    "author": row.author,
                    "model": row.model,
                    "generation": row.generation_id,
                    "created": row.created,
                    "label": row.label,
                    "summary": (row.came or row.went).replace("\n", " ").strip(),
                    "inserted_words": row.inserted_words,
                    "removed_words": row.removed_words,
                    "words": row.words,
                    "children": children.get(row.id, 0),
                    "on_path": row.id in path,
                }
                for row in rows
            ]

    def label(self, node: str, label: str | None) -> None:
        """Give a moment a name to go back to, or take it away."""
        with self._database.write() as session:
            row = self._node_row(session, node)
            row.label = checked(label.strip()) or None if label else None
            item = self._item_row(session, row.scene_id)
            if item.open == node:
                item.open = None  # what has a name stays as it is

    def branches(self, scene: str) -> list[Branch]:
        """Every moment with a name and every end of the tree, the last first."""
        with self._database.read() as session:
            item = self._item_row(session, scene, text=True)
            nodes = session.execute(
                select(NodeRow.id, NodeRow.parent_id, NodeRow.label, NodeRow.created, NodeRow.words)
                .where(NodeRow.scene_id == scene)
                .order_by(NodeRow.id)
            ).all()
        parents = {row.parent_id for row in nodes}
        names: dict[str | None, str | None] = {None: None}
        for row in nodes:  # a parent is older than its children
            names[row.id] = row.label or names.get(row.parent_id)
        return [
            {
                "node": row.id,
                "label": row.label,
                "under": names.get(row.parent_id),
                "created": row.created,
                "words": row.words,
                "is_head": row.id == item.head,
                "tip": row.id not in parents,
            }
            for row in reversed(nodes)
            if row.label or row.id not in parents or row.id == item.head
        ]


def _children(session: Session, nodes: Iterable[str]) -> dict[str, int]:
    count = select(NodeRow.parent_id, func.count()).where(NodeRow.parent_id.in_(list(nodes)))
    return {parent: number for parent, number in session.execute(count.group_by(NodeRow.parent_id)) if parent}


def _path(session: Session, head: str, oldest: str) -> set[str]:
    """The nodes from the head down to one that is no newer than `oldest`."""
    way = select(NodeRow.id, NodeRow.parent_id).where(NodeRow.id == head).cte("way", recursive=True)
    up = select(NodeRow.id, NodeRow.parent_id).join(way, NodeRow.id == way.c.parent_id)
    way = way.union_all(up.where(way.c.id > oldest))
    return set(session.scalars(select(way.c.id)))
