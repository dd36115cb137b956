"""Projects, what is in them and beside their text, and that no writer sees another's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from tests.studio.store.writing import head, insert, new_scene, tell

from storyteller.corpus.language import count_words
from storyteller.corpus.story import Language
from storyteller.studio.errors import NotFoundError, StudioError
from storyteller.studio.store import Store, Writer


@pytest.mark.parametrize(
    ("language", "titles"), [("en", ["Untitled", "Chapter 1", "Scene 1"]), ("zh", ["无题", "第一章", "第一场"])]
)
def test_a_new_project_has_a_scene_to_write_in(writer: Writer, language: str, titles: list[str]) -> None:
    project = writer.create_project({"language": language, "characters": [{"name": "Mara", "who": "a keeper"}]})
    assert [project["title"], *(item["title"] for item in project["tree"])] == titles
    assert [item["kind"] for item in project["tree"]] == ["chapter", "scene"]
    assert writer.scene(project["tree"][1]["id"])["text"] == ""
    (entry,) = writer.entries(project["id"])
    assert (entry["kind"], entry["name"], entry["text"]) == ("person", "Mara", "a keeper")


def test_a_project_keeps_what_it_is_about(writer: Writer) -> None:
    project = writer.create_project({"title": "Tides", "theme": "loss", "words": 2000})["id"]
    writer.update_project(project, {"plot": "a storm", "settings": {"preset": "calm"}, "age": 9})
    kept = writer.project(project)
    assert (kept["theme"], kept["plot"], kept["words"], kept["age"]) == ("loss", "a storm", 2000, 9)
    assert kept["settings"] == {"preset": "calm"}
    with pytest.raises(StudioError, match="no 'colour'"):
        writer.update_project(project, {"colour": "blue"})


@pytest.mark.parametrize(
    ("idea", "language"),
    [
        ("一个守塔人在灯塔边遇见了一只会说话的海豹。", "zh"),
        ("海豹", "zh"),
        ("A keeper finds a seal.", "en"),
        ("", "en"),
    ],
)
def test_a_project_speaks_the_language_of_its_idea(writer: Writer, idea: str, language: str) -> None:
    assert writer.create_project({"idea": idea})["language"] == language
    assert writer.create_project({"idea": idea, "language": "en"})["language"] == "en"


def test_words_are_counted_anew_in_another_language(writer: Writer) -> None:
    scene = new_scene(writer, "从前有一座灯塔，住着一只海豹。")
    project = writer.scene(scene)["project"]
    for language in ("zh", "en", "zh"):
        writer.update_project(project, {"language": language})
        words = count_words("从前有一座灯塔，住着一只海豹。", cast(Language, language))
        assert writer.project(project)["written"] == writer.scene(scene)["words"] == words
    assert insert(writer, scene, 0, "又")["words"] == words + 1


def test_items_stand_in_their_order_and_can_be_moved(writer: Writer) -> None:
    project = writer.create_project({}, empty=True)["id"]
    one = writer.create_item(project, "chapter", "one")["id"]
    two = writer.create_item(project, "chapter", "two")["id"]
    scene = writer.create_item(project, "scene", "a", parent=one, text="three words here")["id"]
    writer.create_item(project, "scene", "b", parent=one, position=0)
    assert titles(writer, project) == ["one", "b", "a", "two"]
    writer.update_item(scene, {"parent": two, "title": "A"})
    assert titles(writer, project) == ["one", "b", "two", "A"]
    writer.update_item(two, {"position": 0})
    tree = writer.project(project)["tree"]
    assert [(item["title"], item["position"], item["words"]) for item in tree] == [
        ("two", 0, 3),
        ("A", 0, 3),
        ("one", 1, 0),
        ("b", 0, 0),
    ]
    assert writer.scene(scene)["provenance"] == [(16, "import", None, None)]


def test_an_item_goes_neither_into_itself_nor_into_a_scene(writer: Writer) -> None:
    project = writer.create_project({})
    chapter, scene = (item["id"] for item in project["tree"])
    inner = writer.create_item(project["id"], "chapter", parent=chapter)["id"]
    with pytest.raises(StudioError, match="itself"):
        writer.update_item(chapter, {"parent": inner})
    with pytest.raises(StudioError, match="holds no other"):
        writer.create_item(project["id"], "note", parent=scene)
    with pytest.raises(StudioError, match="chapter has no text"):
        writer.scene(chapter)
    other = writer.create_project({})["tree"][0]["id"]
    with pytest.raises(NotFoundError):
        writer.update_item(scene, {"parent": other})


def test_what_is_in_the_trash_is_out_of_sight_and_comes_back(writer: Writer) -> None:
    project = writer.create_project({"title": "Tides"})
    chapter, scene = (item["id"] for item in project["tree"])
    insert(writer, scene, 0, "kept for ever")
    writer.trash_item(scene)
    writer.trash_item(chapter)
    assert titles(writer, project["id"]) == []
    assert {item["id"] for item in writer.trash(project["id"])} == {chapter, scene}
    assert all(item["trashed"] for item in writer.trash(project["id"]))
    assert writer.restore_item(scene)["parent"] is None  # its chapter is still gone
    assert titles(writer, project["id"]) == ["Scene 1"]
    assert writer.scene(scene)["text"] == "kept for ever"
    writer.trash_project(project["id"])
    assert writer.projects() == []
    assert [line["words"] for line in writer.projects(trashed=True)] == [3]
    with pytest.raises(NotFoundError):
        writer.project(project["id"])
    assert writer.restore_project(project["id"])["written"] == 3


def test_entries_are_changed_and_brought_back(writer: Writer) -> None:
    project = writer.create_project({})["id"]
    made = writer.create_entry(project, {"kind": "place", "name": "灯塔", "aliases": ["塔"], "not": ["灯塔水母"]})
    changed = writer.update_entry(made["id"], {"text": "old", "priority": 5})
    assert writer.entries(project) == [changed]
    assert (changed["not"], changed["text"], changed["enabled"]) == (["灯塔水母"], "old", True)
    writer.delete_entry(made["id"])
    assert writer.entries(project) == []
    writer.restore_entry(made["id"])
    assert writer.entries(project) == [changed]
    with pytest.raises(StudioError, match="needs a name"):
        writer.create_entry(project, {"name": " "})


def test_every_version_of_a_plan_is_kept(writer: Writer) -> None:
    project = writer.create_project({})["id"]
    assert writer.plan(project)["premise"] == ""
    assert [writer.save_plan(project, {"premise": text}) for text in ("a", "b", "b", "c")] == [1, 2, 2, 3]
    assert writer.plan(project) == {"premise": "c"}
    assert writer.plan(project, 1) == {"premise": "a"}
    assert [line["version"] for line in writer.plan_versions(project)] == [3, 2, 1]


def test_the_chat_is_kept_in_its_order(writer: Writer) -> None:
    project = writer.create_project({})["id"]
    writer.add_message(project, "user", "Who are you?", "Mara")
    writer.add_message(project, "assistant", "我是灯塔守护人。", "Mara")
    assert [line["text"] for line in writer.messages(project)] == ["Who are you?", "我是灯塔守护人。"]
    assert [line["role"] for line in writer.messages(project, limit=1)] == ["assistant"]


def test_settings_are_what_was_saved_last(writer: Writer) -> None:
    assert writer.settings() == {}
    writer.save_settings({"theme": "dark", "keys": {"stop": "Escape"}})
    writer.save_settings({"theme": "light"})
    assert writer.settings() == {"theme": "light"}


def test_a_key_never_comes_back_and_lies_in_a_file_of_its_owner(writer: Writer, opened: Callable[[], Store]) -> None:
    made = writer.save_connection({"name": "Box", "url": "http://box/v1", "model": "big", "key": "sk-secret"})
    assert made == {"id": made["id"], "name": "Box", "url": "http://box/v1", "model": "big", "has_key": True}
    assert writer.save_connection({"id": made["id"], "model": "bigger"})["has_key"]
    assert opened().writer().connection_key(made["id"]) == "sk-secret"
    keys = [path for path in writer._shared.folder.glob("*.json") if "sk-secret" in path.read_text()]
    assert [path.stat().st_mode & 0o777 for path in keys] == [0o600]
    assert "sk-secret" not in str(writer.connections())
    writer.delete_connection(made["id"])
    assert writer.connections() == []
    assert "sk-secret" not in keys[0].read_text()


def test_accounts_have_names_hashes_and_sessions(store: Store) -> None:
    mara = store.create_user("Mara", "hash-1")
    assert store.user("mara") == store.user(mara)
    assert store.user("nobody") is None
    with pytest.raises(StudioError, match="already"):
        store.create_user(" MARA ", "hash-2")
    store.create_session(mara, "t1", 4e9)
    store.create_session(mara, "old", 1.0)
    assert store.session("t1") == {"user_id": mara, "expires": 4e9}
    store.create_session(mara, "t2", 4e9)
    assert store.session("old") is None
    store.delete_session("t1")
    assert store.session("t1") is None
    store.set_password(mara, "hash-3")
    assert store.session("t2") is None
    assert [user["password_hash"] for user in store.users()] == ["hash-3"]


def test_no_method_shows_one_writer_what_is_anothers(store: Store) -> None:
    mara, tom = (store.writer(store.create_user(name, "hash")) for name in ("Mara", "Tom"))
    scene = new_scene(mara, "secret")
    generation = tell(mara, scene, 6, [" words"])
    project, node = mara.scene(scene)["project"], head(mara, scene)
    entry = mara.create_entry(project, {"name": "Mara"})["id"]
    connection = mara.save_connection({"name": "Box", "url": "http://box", "model": "m", "key": "k"})["id"]
    mara.log_choice(generation, 0, "accept")
    mara.save_settings({"theme": "dark"})
    before = everything(mara, project, scene)
    calls: list[Callable[[Writer], Any]] = [
        lambda w: w.project(project),
        lambda w: w.update_project(project, {"title": "mine"}),
        lambda w: w.trash_project(project),
        lambda w: w.restore_project(project),
        lambda w: w.create_item(project, "scene"),
        lambda w: w.update_item(scene, {"title": "mine"}),
        lambda w: w.trash_item(scene),
        lambda w: w.restore_item(scene),
        lambda w: w.trash(project),
        lambda w: w.scene(scene),
        lambda w: w.splice(scene, node, [{"start": 0, "remove": 0, "insert": "mine"}]),
        lambda w: w.undo(scene, node),
        lambda w: w.redo(scene, node),
        lambda w: w.restore(scene, node, node),
        lambda w: w.go_to(scene, node, node),
        lambda w: w.at(scene, node),
        lambda w: w.history(scene),
        lambda w: w.branches(scene),
        lambda w: w.label(node, "mine"),
        lambda w: w.alternatives(scene, 7),
        lambda w: w.choose(scene, node, 7, generation, 0),
        lambda w: w.create_generation(scene, "continue", 0, node, model="m"),
        lambda w: w.update_generation(generation, {"status": "failed"}),
        lambda w: w.append(generation, [(0, "mine", [])]),
        lambda w: w.finish_candidate(generation, 0, "stop"),
        lambda w: w.generation(generation),
        lambda w: w.recovered(scene),
        lambda w: w.dismiss(generation),
        lambda w: w.entries(project),
        lambda w: w.create_entry(project, {"name": "mine"}),
        lambda w: w.update_entry(entry, {"name": "mine"}),
        lambda w: w.delete_entry(entry),
        lambda w: w.restore_entry(entry),
        lambda w: w.plan(project),
        lambda w: w.save_plan(project, {}),
        lambda w: w.plan_versions(project),
        lambda w: w.messages(project),
        lambda w: w.add_message(project, "user", "mine"),
        lambda w: w.connection(connection),
        lambda w: w.save_connection({"id": connection, "url": "http://mine"}),
        lambda w: w.delete_connection(connection),
        lambda w: w.connection_key(connection),
        lambda w: w.log_choice(generation, 0, "delete"),
        lambda w: w.kept(project),
        lambda w: w.shares(project),
        lambda w: w.backup_project(project, w._shared.folder / "stolen.story"),
    ]
    for call in calls:
        with pytest.raises(NotFoundError):
            call(tom)
        with pytest.raises(NotFoundError):
            call(store.writer())  # the writer of a studio without accounts owns nothing of theirs
    assert (tom.projects(), tom.connections(), tom.settings(), tom.kept(), list(tom.export_edits())) == (
        [],
        [],
        {},
        [],
        [],
    )
    assert tom.edits_summary()["total"] == tom.wipe_edits() == 0
    assert everything(mara, project, scene) == before
    tested = {name for call in calls for name in call.__code__.co_names if hasattr(Writer, name)}
    own = {"projects", "connections", "settings", "export_edits", "edits_summary", "wipe_edits", "save_settings"}
    own |= {"create_project", "backup", "restore_backup", "add_project", "streaming"}
    assert {name for name in dir(Writer) if not name.startswith("_")} == tested | own


def titles(writer: Writer, project: str) -> list[str]:
    """The titles of a project's tree."""
    return [item["title"] for item in writer.project(project)["tree"]]


def everything(writer: Writer, project: str, scene: str) -> Any:
    """All that a writer sees."""
    shown = writer.projects(), writer.project(project), writer.scene(scene), writer.history(scene)
    return *shown, writer.entries(project), writer.connections(), writer.settings(), writer.edits_summary()
