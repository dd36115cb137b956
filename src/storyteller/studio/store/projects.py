"""Projects and the tree of what is in them; what is put in the trash can be taken out again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storyteller.craft.formats.plain import language_of as language_of_text
from storyteller.studio.errors import NotFoundError, StudioError
from storyteller.studio.store.database import new_id, now
from storyteller.studio.store.records import Item, Project, ProjectLine
from storyteller.studio.store.room import Room, checked, known, language_of, packed, words_in
from storyteller.studio.store.splices import EMPTY, State, written_by
from storyteller.studio.store.tables import EntryRow, ItemRow, KeyframeRow, NodeRow, ProjectRow

__all__ = ["Projects"]

_DATA: dict[str, Any] = {
    "idea": "",
    "theme": "",
    "plot": "",
    "words": None,
    "age": None,
    "memory": "",
    "note": "",
    "note_depth": 4,
    "settings": {},
}
_COLUMNS = ("title", "language", "form")
_FIRST = {"en": ("Untitled", "Chapter 1", "Scene 1"), "zh": ("无题", "第一章", "第一场")}


class Projects(Room):
    """The projects of one writer."""

    def projects(self, trashed: bool = False) -> list[ProjectLine]:
        """The writer's projects, the last changed first; with `trashed` those in the trash."""
        with self._database.read() as session:
            rows = session.scalars(
                select(ProjectRow)
                .where(ProjectRow.owner == self.owner, ProjectRow.trashed.is_not(None) == trashed)
                .order_by(ProjectRow.updated.desc(), ProjectRow.id.desc())
            ).all()
            items = session.scalars(select(ItemRow).where(ItemRow.project_id.in_([row.id for row in rows])))
            trees: dict[str, list[ItemRow]] = defaultdict(list)
            for item in items:
                trees[item.project_id].append(item)
            return [
                {
                    "id": row.id,
                    "title": row.title,
                    "idea": str(row.data.get("idea") or ""),
                    "language": row.language,
                    "form": row.form,
                    "words": _written(_tree(trees[row.id])),
                    "updated": row.updated,
                }
                for row in rows
            ]

    def create_project(self, fields: Mapping[str, Any], *, empty: bool = False) -> Project:
        """Make a project with a first chapter and a first scene in it, or `empty`; `characters` become entries.

        Its language is that of what is said of it, if none is given.
        """
        known(fields, [*_COLUMNS, *_DATA, "characters"], "a project")
        said = "\n".join(str(fields.get(name) or "") for name in ("idea", "plot", "theme", "title"))
        language = fields.get("language") or language_of_text(said)
        title, chapter, scene = _FIRST["zh" if language.startswith("zh") else "en"]
        moment = now()
        row = ProjectRow(
            id=new_id(),
            owner=self.owner,
            title=checked(fields.get("title") or title),
            language=language,
            form=fields.get("form") or "story",
            data=_DATA | {key: checked(fields[key]) for key in _DATA if fields.get(key) is not None},
            created=moment,
            updated=moment,
        )
        with self._database.write() as session:
            session.add(row)
            session.flush()
            if not empty:
                above = _add_item(session, row, "chapter", chapter, None, None, None, "", "person")
                _add_item(session, row, "scene", scene, above.id, None, None, "", "person")
            for person in fields.get("characters") or ():
                session.add(_person(row.id, person["name"], person.get("who") or ""))
            session.flush()
            return _project(session, row)

    def project(self, project: str) -> Project:
        """A project with its tree, texts apart."""
        with self._database.read() as session:
            return _project(session, self._project_row(session, project))

    def update_project(self, project: str, changes: Mapping[str, Any]) -> Project:
        """Change what a project says of itself; `settings` is replaced as a whole, None makes it what it was at first."""
        known(changes, [*_COLUMNS, *_DATA], "a project")
        with self._database.write() as session:
            row = self._project_row(session, project)
            for name in _COLUMNS:
                if changes.get(name) is not None:
                    setattr(row, name, checked(changes[name]))
            if changes.get("language") is not None:
                self._count_anew(session, row)
            row.data = row.data | _usual({key: checked(changes[key]) for key in _DATA if key in changes})
            row.updated = now()
            session.flush()
            return _project(session, row)

    def trash_project(self, project: str) -> None:
        """Put a project in the trash."""
        with self._database.write() as session:
            self._project_row(session, project).trashed = now()

    def restore_project(self, project: str) -> Project:
        """Take a project out of the trash."""
        with self._database.write() as session:
            row = self._project_row(session, project, trashed=None)
            row.trashed = None
            session.flush()
            return _project(session, row)

    def create_item(
        self,
        project: str,
        kind: str,
        title: str = "",
        parent: str | None = None,
        position: int | None = None,
        form: str | None = None,
        text: str = "",
        author: str = "import",
    ) -> Item:
        """Add a chapter, a scene or a note, at the end or before what stands at `position`; `text` is its first text."""
        if kind not in ("chapter", "scene", "note"):
            raise StudioError(f"there is no item of the kind {kind!r}. It is a chapter, a scene or a note.")
        if kind == "chapter" and text:
            raise StudioError("a chapter has no text of its own. Make a scene in it.")
        checked(text)
        with self._database.write() as session:
            row = self._project_row(session, project)
            above = self._parent(session, row.id, parent)
            made = _add_item(session, row, kind, checked(title), above, position, form, text, author)
            row.updated = now()
            return _item(session, made)

    def update_item(self, item: str, changes: Mapping[str, Any]) -> Item:
        """Change an item's `title` or `form`, or move it to a `parent` and a `position` there."""
        known(changes, ("title", "form", "parent", "position"), "an item")
        with self._database.write() as session:
            row = self._item_row(session, item)
            if changes.get("title") is not None:
                row.title = checked(changes["title"])
            if "form" in changes:
                row.form = changes["form"]
            if "parent" in changes or "position" in changes:
                above = self._parent(session, row.project_id, changes.get("parent", row.parent_id), row)
                _place(session, row, above, changes.get("position"))
            session.get_one(ProjectRow, row.project_id).updated = now()
            session.flush()
            return _item(session, row)

    def trash_item(self, item: str) -> None:
        """Put an item in the trash, and what is in it out of sight."""
        with self._database.write() as session:
            row = self._item_row(session, item)
            row.trashed = row.trashed or now()
            session.get_one(ProjectRow, row.project_id).updated = now()

    def restore_item(self, item: str) -> Item:
        """Take an item out of the trash; it comes to the end of the project when what it was in is in the trash itself."""
        with self._database.write() as session:
            row = self._item_row(session, item)
            row.trashed = None
            above = row.parent_id
            while above is not None:
                parent = session.get_one(ItemRow, above)
                if parent.trashed is not None:
                    _place(session, row, None, None)
                    break
                above = parent.parent_id
            session.get_one(ProjectRow, row.project_id).updated = now()
            session.flush()
            return _item(session, row)

    def trash(self, project: str) -> list[Item]:
        """What of a project is in the trash, the last first."""
        with self._database.read() as session:
            row = self._project_row(session, project, trashed=None)
            gone = select(ItemRow).where(ItemRow.project_id == row.id, ItemRow.trashed.is_not(None))
            items = session.scalars(gone.order_by(ItemRow.trashed.desc()))
            return [{**_item(session, item), "trashed": item.trashed} for item in items]

    def _count_anew(self, session: Session, project: ProjectRow) -> None:
        """Count the words of all texts as they stand, in the project's language; moments of the past keep their counts."""
        written = select(ItemRow).where(ItemRow.project_id == project.id, ItemRow.head.is_not(None))
        for item in session.scalars(written):
            words = words_in(self._state(session, str(item.head)).text, language_of(project))
            item.words = session.get_one(NodeRow, item.head).words = words

    def _parent(self, session: Session, project: str, parent: str | None, child: ItemRow | None = None) -> str | None:
        """The parent's id, if an item may stand there."""
        above = parent
        while above is not None:
            row = session.get(ItemRow, above)
            if row is None or row.project_id != project:
                raise NotFoundError(f"there is no item {parent!r} in this project. Read the project again.")
            if child is not None and row.id == child.id:
                raise StudioError("an item cannot be put into itself. Choose another place.")
            if above == parent and row.kind != "chapter":
                raise StudioError(f"a {row.kind} holds no other items. Put it into a chapter.")
            above = row.parent_id
        return parent


def _add_item(
    session: Session,
    project: ProjectRow,
    kind: str,
    title: str,
    parent: str | None,
    position: int | None,
    form: str | None,
    text: str,
    author: str,
) -> ItemRow:
    row = ItemRow(id=new_id(), project_id=project.id, kind=kind, title=title, form=form, created=now())
    row.position, row.words = 0, 0
    session.add(row)
    session.flush()
    _place(session, row, parent, position)
    if kind != "chapter":
        _plant(session, row, text, author, words_in(text, language_of(project)))
    return row


def _plant(session: Session, item: ItemRow, text: str, author: str, words: int) -> None:
    """The first node of a tree; it is a keyframe, so every way up ends."""
    source = cast(Any, author)
    spans = written_by(EMPTY, 0, 0, text, source)
    root = NodeRow(
        id=new_id(),
        scene_id=item.id,
        depth=0,
        kind="import",
        author="person" if author == "prompt" or not text else author,
        start=0,
        removed="",
        inserted=text,
        removed_units=0,
        inserted_units=sum(span.length for span in spans),
        spans=[span.row() for span in spans],
        words=words,
        inserted_words=words,
        removed_words=0,
        created=item.created,
    )
    session.add(root)
    session.flush()
    session.add(KeyframeRow(node_id=root.id, state=packed(State(text, spans))))
    item.head, item.words = root.id, words


def _place(session: Session, row: ItemRow, parent: str | None, position: int | None) -> None:
    """Put an item before what stands at `position` among its new siblings, and number them anew."""
    same = ItemRow.parent_id.is_(None) if parent is None else ItemRow.parent_id == parent
    siblings = session.scalars(
        select(ItemRow)
        .where(ItemRow.project_id == row.project_id, same, ItemRow.id != row.id, ItemRow.trashed.is_(None))
        .order_by(ItemRow.position, ItemRow.id)
    ).all()
    place = len(siblings) if position is None else max(0, min(position, len(siblings)))
    row.parent_id = parent
    for number, item in enumerate([*siblings[:place], row, *siblings[place:]]):
        item.position = number


def _person(project: str, name: str, who: str) -> EntryRow:
    return EntryRow(
        id=new_id(),
        project_id=project,
        kind="person",
        name=checked(name),
        aliases=[],
        avoid=[],
        text=checked(who),
        always=False,
        enabled=True,
        priority=0,
        proposed=False,
        extra={},
    )


def _project(session: Session, row: ProjectRow) -> Project:
    tree = _tree(list(session.scalars(select(ItemRow).where(ItemRow.project_id == row.id))))
    about: dict[str, Any] = {
        "id": row.id,
        "title": row.title,
        "language": row.language,
        "form": row.form,
        **_usual({key: row.data.get(key) for key in _DATA}),
        "tree": tree,
        "written": _written(tree),
        "created": row.created,
        "updated": row.updated,
    }
    return cast(Project, about)


def _usual(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, what a new project has in the place of each None."""
    return {key: _DATA[key] if value is None else value for key, value in values.items()}


def _tree(rows: list[ItemRow]) -> list[Item]:
    """The items in reading order, without what is in the trash or in something that is; chapters count their scenes."""
    below: dict[str | None, list[ItemRow]] = defaultdict(list)
    for row in rows:
        if row.trashed is None:
            below[row.parent_id].append(row)

    def walk(parent: str | None) -> list[Item]:
        found: list[Item] = []
        for row in sorted(below[parent], key=lambda row: (row.position, row.id)):
            inside = walk(row.id)
            words = row.words + sum(i["words"] for i in inside if i["kind"] == "scene")
            found += [_line(row, words), *inside]
        return found

    return walk(None)


def _written(tree: list[Item]) -> int:
    return sum(item["words"] for item in tree if item["kind"] == "scene")


def _item(session: Session, row: ItemRow) -> Item:
    words = row.words
    if row.kind == "chapter":
        inside = select(func.coalesce(func.sum(ItemRow.words), 0))
        inside = inside.where(ItemRow.parent_id == row.id, ItemRow.kind == "scene", ItemRow.trashed.is_(None))
        words = session.scalar(inside) or 0
    return _line(row, words)


def _line(row: ItemRow, words: int) -> Item:
    return {
        "id": row.id,
        "kind": cast(Any, row.kind),
        "parent": row.parent_id,
        "title": row.title,
        "position": row.position,
        "words": words,
        "form": row.form,
    }
