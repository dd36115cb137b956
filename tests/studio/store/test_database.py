"""The database: migrations, full disks, wrong addresses, what is said of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import event, inspect, text
from tests.studio.store.writing import head, insert, new_scene, tell

from storyteller.runs.home import studio_home
from storyteller.studio.errors import StudioError
from storyteller.studio.store import StorageError, Store
from storyteller.studio.store.database import Database, new_id
from storyteller.studio.store.migrate import alembic_config


def test_the_migrations_make_the_tables_that_the_code_has(store: Store) -> None:
    with store.database.engine.connect() as connection:
        command.check(alembic_config(connection))


def test_the_migrations_can_be_taken_back_and_leave_others_tables_alone(store: Store) -> None:
    with store.database.write() as session:
        connection = session.connection()
        connection.execute(text("CREATE TABLE somebody_elses (id INTEGER)"))
        command.check(alembic_config(connection))
        command.downgrade(alembic_config(connection), "base")
        assert set(inspect(connection).get_table_names()) == {"somebody_elses", "alembic_version"}
        command.upgrade(alembic_config(connection), "head")
        assert "nodes" in inspect(connection).get_table_names()


def test_a_database_of_a_newer_version_is_left_alone(opened: Callable[[], Store]) -> None:
    with opened().database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StudioError, match="newer Storyteller"):
        opened()


def test_an_older_database_is_copied_aside_before_it_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "studio.db"
    store = Store(f"sqlite:///{path}")
    store.close()
    with sqlite3.connect(path) as connection:  # as if our first revision had been another
        connection.execute("UPDATE alembic_version SET version_num = '0000'")
    connection.close()
    with pytest.raises(StudioError):
        Store(f"sqlite:///{path}")
    copy = sqlite3.connect(tmp_path / "studio-0000.db")
    assert copy.execute("SELECT version_num FROM alembic_version").fetchone() == ("0000",)
    copy.close()
    assert (tmp_path / "studio-0000.db").stat().st_mode & 0o777 == 0o600


def test_without_an_address_it_lies_in_the_studios_folder_and_only_its_owner_reads_it() -> None:
    store = Store()
    assert store.storage()["path"] == str(studio_home() / "studio.db")
    assert store.storage()["free_bytes"] > 0
    assert studio_home().stat().st_mode & 0o077 == 0
    assert (studio_home() / "studio.db").stat().st_mode & 0o077 == 0
    with store.database.read() as session:
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert session.scalar(text("PRAGMA foreign_keys")) == 1
    store.close()


@pytest.mark.parametrize("url", ["nonsense", "oracle://x/y", "sqlite://", "sqlite:///:memory:"])
def test_an_address_of_no_database_is_refused(url: str) -> None:
    with pytest.raises(StudioError):
        Store(url)


def test_a_server_that_is_not_there_is_said_to_be_so_without_its_password() -> None:
    with pytest.raises(StorageError) as refused:
        Store("postgresql://writer:secret@127.0.0.1:1/studio")
    assert "secret" not in str(refused.value)


def test_a_file_that_is_no_database_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "novel.txt"
    path.write_text("my only copy " * 100)
    with pytest.raises(StudioError, match="damaged"):
        Store(f"sqlite:///{path}")
    assert path.read_text() == "my only copy " * 100


def test_on_a_full_disk_nothing_is_damaged_and_everything_can_be_read(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'studio.db'}")
    writer = store.writer()
    scene = new_scene(writer, "Once")
    generation = tell(writer, scene, 4, [" upon"])
    before, base = writer.scene(scene), head(writer, scene)
    limit = _limit_pages(store)
    calls: list[Callable[[], object]] = [
        lambda: writer.splice(scene, base, [{"start": 0, "remove": 0, "insert": "x" * 500_000}]),
        lambda: writer.append(generation, [(0, "y" * 500_000, [])]),
        lambda: writer.create_item(before["project"], "scene", text="z" * 500_000),
        lambda: writer.add_message(before["project"], "user", "z" * 500_000),
    ]
    for call in calls:
        with pytest.raises(StorageError, match=r"disk is full.*Download"):
            call()
        assert not store.storage()["ok"]
        assert writer.scene(scene) == before
    limit(1_000_000)
    writer.splice(scene, base, [{"start": 0, "remove": 0, "insert": "x" * 500_000}])
    assert store.storage()["ok"]
    store.close()
    checked = sqlite3.connect(tmp_path / "studio.db")
    assert checked.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    checked.close()


def test_a_full_disk_during_a_backup_leaves_no_half_of_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    new_scene(store.writer(), "Once")
    monkeypatch.setattr("zipfile.ZipFile.writestr", full)
    with pytest.raises(StorageError, match="No space left"):
        store.backup(tmp_path / "backups" / "all.storyteller")
    assert list((tmp_path / "backups").iterdir()) == []


def test_a_locked_database_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storyteller.studio.store.database._BUSY_SECONDS", 0.1)
    store = Store(f"sqlite:///{tmp_path / 'studio.db'}")
    scene = new_scene(store.writer(), "Once")
    other = sqlite3.connect(tmp_path / "studio.db")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="another program"):
        insert(store.writer(), scene, 0, "x")
    assert store.writer().scene(scene)["text"] == "Once"  # reading goes on
    other.rollback()
    other.close()
    store.close()


def test_ids_rise() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(set(ids))
    assert {len(one) for one in ids} == {16}


def _limit_pages(store: Store) -> Callable[[int], None]:
    """Let the database grow no further; what comes back sets another limit."""
    database: Database = store.database
    database.close()  # every connection from now on has the limit
    limit = [0]

    def grow_no_more(connection: sqlite3.Connection, _: object, __: object) -> None:
        connection.execute(f"PRAGMA max_page_count={limit[0]}")

    event.listen(database.engine, "checkout", grow_no_more)
    with database.read() as session:
        limit[0] = (session.scalar(text("PRAGMA page_count")) or 0) + 2
    return lambda pages: limit.__setitem__(0, pages)
