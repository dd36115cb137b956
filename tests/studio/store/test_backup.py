"""Backups: whole, checked before they replace anything, of either database for either."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.studio.store.test_projects import everything
from tests.studio.store.writing import covers, head, insert, new_scene, redo_all, tell, undo_all

from storyteller.studio.errors import NotFoundError, StudioError
from storyteller.studio.store import Store, Writer


def full_scene(writer: Writer) -> str:
    """A scene with 70 changes, a generation, a name and something undone."""
    scene = new_scene(writer, "Once 😀海豹")
    for number in range(70):
        insert(writer, scene, number, "x", kind="rewrite")
    made = tell(writer, scene, 3, ["model words", "others"])
    writer.log_choice(made, 0, "accept")
    writer.label(head(writer, scene), "here")
    writer.undo(scene, head(writer, scene))
    project = writer.scene(scene)["project"]
    writer.create_entry(project, {"name": "Mara", "extra": {"seen": True}})
    writer.save_plan(project, {"premise": "p"})
    writer.add_message(project, "user", "hello")
    writer.save_settings({"theme": "dark"})
    writer.save_connection({"name": "Box", "url": "http://box", "model": "m", "key": "sk-secret"})
    return scene


def test_a_backup_of_everything_brings_everything_back(store: Store, tmp_path: Path) -> None:
    writer = store.writer()
    scene = full_scene(writer)
    project = writer.scene(scene)["project"]
    before = everything(writer, project, scene), writer.plan(project), writer.messages(project)
    path = store.backup(tmp_path / "all.storyteller")
    assert path.stat().st_mode & 0o777 == 0o600
    insert(writer, scene, 0, "after the backup ")
    late = new_scene(writer, "late")
    aside = store.restore(path)
    assert (everything(writer, project, scene), writer.plan(project), writer.messages(project)) == before
    assert redo_all(writer, scene)[-1]["text"].count("model words") == 1
    with pytest.raises(NotFoundError):
        writer.scene(late)
    store.restore(aside)  # what was replaced lies in a file
    assert writer.scene(scene)["text"].startswith("after the backup ")
    assert writer.scene(late)["text"] == "late"


def test_a_backup_holds_no_key_and_no_session(store: Store, tmp_path: Path) -> None:
    user = store.create_user("Mara", "hash")
    store.create_session(user, "session-hash", 4e9)
    full_scene(store.writer(user))
    path = store.backup(tmp_path / "all.storyteller")
    with zipfile.ZipFile(path) as archive:
        rows = archive.read("rows.jsonl").decode()
    assert "sk-secret" not in rows
    assert "session-hash" not in rows
    assert '"hash"' in rows
    store.restore(path)
    assert store.session("session-hash") is None
    assert store.user("mara") is not None


def test_a_project_goes_into_one_file_and_comes_back_as_a_new_one(store: Store, tmp_path: Path) -> None:
    writer = store.writer()
    scene = full_scene(writer)
    project = writer.scene(scene)["project"]
    path = writer.backup_project(project, tmp_path / "tides.story")
    other = store.writer(store.create_user("Tom", "hash"))
    for reader in (writer, other):
        copy = reader.add_project(path)
        assert copy != project
        (_chapter, item) = reader.project(copy)["tree"]
        new, old = reader.scene(item["id"]), writer.scene(scene)
        assert new["text"] == old["text"]
        assert covers(new)
        redo_all(reader, item["id"])
        assert {span[2] for span in reader.scene(item["id"])["provenance"] if span[1] == "model"} != {None}
        assert reader.alternatives(item["id"], 5)["alternatives"][1]["text"] == "others"
        assert len(undo_all(reader, item["id"])) == 72
        assert [entry["name"] for entry in reader.entries(copy)] == ["Mara"]
    assert other.settings() == {}
    assert writer.scene(scene)["text"] == old["text"]


def test_a_writers_backup_is_theirs_alone_and_leaves_others_alone(store: Store, tmp_path: Path) -> None:
    mara, tom = (store.writer(store.create_user(name, "hash")) for name in ("Mara", "Tom"))
    mine, other = full_scene(mara), new_scene(tom, "Tom's")
    path = mara.backup(tmp_path / "mara.storyteller")
    with zipfile.ZipFile(path) as archive:
        assert "Tom" not in archive.read("rows.jsonl").decode()
    insert(mara, mine, 0, "later ")
    insert(tom, other, 0, "later ")
    mara.restore_backup(path)
    assert not mara.scene(mine)["text"].startswith("later")
    assert tom.scene(other)["text"] == "later Tom's"
    tom.restore_backup(path)  # of what is still Mara's Tom gets copies
    assert [line["title"] for line in tom.projects()] == ["Tides"]
    assert not mara.scene(mine)["text"].startswith("later")
    with pytest.raises(StudioError, match="one writer"):
        store.restore(path)
    with pytest.raises(StudioError, match="several writers"):
        mara.restore_backup(store.backup(tmp_path / "all.storyteller"))


def test_what_one_database_kept_the_other_can_restore(store: Store, tmp_path: Path) -> None:
    writer = store.writer()
    scene = full_scene(writer)
    path = store.backup(tmp_path / "all.storyteller")
    second = Store(f"sqlite:///{tmp_path / 'second' / 'studio.db'}")
    second.restore(path)
    assert second.writer().scene(scene) == writer.scene(scene)
    back = second.backup(tmp_path / "second.storyteller")
    assert rows(back) == rows(path)
    store.restore(back)
    assert rows(store.backup(tmp_path / "third.storyteller")) == rows(path)
    second.close()


def damaged(path: Path, change: Callable[[list[str], dict[str, object]], None], *, hashed: bool = True) -> Path:
    """The backup with other rows or another manifest, and a hash that is right."""
    with zipfile.ZipFile(path) as archive:
        lines = archive.read("rows.jsonl").decode().splitlines()
        manifest = json.loads(archive.read("manifest.json"))
    change(lines, manifest)
    data = "".join(line + "\n" for line in lines).encode()
    if hashed:
        manifest["sha256"] = hashlib.sha256(data).hexdigest()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rows.jsonl", data)
        archive.writestr("manifest.json", json.dumps(manifest))
    return path


def _drop_a_keyframe(lines: list[str], manifest: dict[str, dict[str, int]]) -> None:
    lines.remove(next(line for line in lines if line.startswith('["keyframes"')))
    manifest["rows"]["keyframes"] -= 1


def _unknown_column(lines: list[str], manifest: object) -> None:
    lines[0] = lines[0].replace('{"', '{"colour": 1, "', 1)


def _orphan(lines: list[str], manifest: dict[str, dict[str, int]]) -> None:
    gone = [line for line in lines if line.startswith('["projects"')]
    lines[:] = [line for line in lines if line not in gone]
    del manifest["rows"]["projects"]


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        lambda path: path.write_bytes(b"not a zip"),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
        lambda path: damaged(path, lambda lines, manifest: lines.pop(), hashed=False),
        lambda path: damaged(path, lambda lines, manifest: manifest.update(format="other")),
        lambda path: damaged(path, lambda lines, manifest: manifest.update(version=99)),
        lambda path: damaged(path, lambda lines, manifest: manifest.update(revision="9999")),
        lambda path: damaged(path, lambda lines, manifest: lines.append("not json")),
        lambda path: damaged(path, lambda lines, manifest: lines.append('["sessions", {}]')),
        lambda path: damaged(path, _unknown_column),
        lambda path: damaged(path, _drop_a_keyframe),
        lambda path: damaged(path, _orphan),
    ],
)
def test_a_damaged_backup_changes_nothing(store: Store, tmp_path: Path, change: Callable[[Path], object]) -> None:
    writer = store.writer()
    scene = full_scene(writer)
    path = store.backup(tmp_path / "all.storyteller")
    before = rows(path)
    change(path)
    with pytest.raises(StudioError):
        store.restore(path)
    assert rows(store.backup(tmp_path / "after.storyteller")) == before
    assert insert(writer, scene, 0, "still writing ")["words"] > 2


def rows(path: Path) -> list[str]:
    """The rows of a backup, in any order."""
    with zipfile.ZipFile(path) as archive:
        return sorted(archive.read("rows.jsonl").decode().splitlines())


@pytest.mark.parametrize(
    ("table", "row"),
    [
        (
            "connections",
            {"id": "0123456789abcdef", "name": "default", "url": "https://elsewhere.example/v1", "model": "m"},
        ),
        ("settings", {"data": {"model": "remote:evil"}}),
        ("users", {"id": "x", "name": "Eve", "key": "eve", "password_hash": "h", "created": "2026"}),
    ],
)
def test_a_project_file_brings_nothing_but_the_project(
    store: Store, tmp_path: Path, table: str, row: dict[str, object]
) -> None:
    writer = store.writer()
    path = writer.backup_project(writer.scene(full_scene(writer))["project"], tmp_path / "tides.storyteller")

    def plant(lines: list[str], manifest: dict[str, object]) -> None:
        lines.append(json.dumps([table, {**row, "owner": "x"} if table != "users" else row]))
        counts = manifest["rows"]
        assert isinstance(counts, dict)
        counts[table] = 1

    with pytest.raises(StudioError, match="no part of a project"):
        store.writer().add_project(damaged(path, plant))
    assert len(writer.projects()) == 1
    assert [one["name"] for one in writer.connections()] == ["Box"]


def test_what_no_browser_can_show_is_refused_wherever_it_is_said(store: Store) -> None:
    writer = store.writer()
    project = writer.scene(new_scene(writer, "It rained."))["project"]
    half = {"a": ["\ud83d"]}
    for write in (
        lambda: writer.create_entry(project, {"name": "Ana", "extra": half}),
        lambda: writer.create_entry(project, {"name": "Ana", "aliases": ["\ud83d"]}),
        lambda: writer.update_project(project, {"settings": half}),
        lambda: writer.save_plan(project, {"premise": "\ud83d"}),
        lambda: writer.save_settings(half),
    ):
        with pytest.raises(StudioError, match="half a character"):
            write()
