"""Atomic writes: whatever fails in the middle, the old content stays."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from storyteller.runs import file_sha256, read_json, replacing_folder, write_atomic, write_json


def full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("content", ["海豹\n", b"\x00\xff", ""])
def test_write_atomic(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "new" / "file"
    write_atomic(path, "old")
    write_atomic(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert names(path.parent) == ["file"]


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")
    monkeypatch.setattr(os, fails, full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_json_keeps_chinese_legible(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"title": "海豹"})
    assert "海豹" in (tmp_path / "a.json").read_text("utf-8")
    assert read_json(tmp_path / "a.json") == {"title": "海豹"}


def test_a_value_that_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert read_json(tmp_path / "a.json") == 1


def test_replacing_folder_replaces_the_whole(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "folder"
    for name in ("one", "two"):
        with replacing_folder(folder) as part:
            (part / name).touch()
            assert folder.exists() == (name == "two")
    assert names(folder) == ["two"]
    assert names(folder.parent) == ["folder"]


@pytest.mark.parametrize("old", [True, False])
def test_an_error_inside_leaves_the_old_folder(tmp_path: Path, old: bool) -> None:
    folder = tmp_path / "folder"
    if old:
        folder.mkdir()
        (folder / "old").touch()
    with pytest.raises(FileNotFoundError), replacing_folder(folder) as part:
        (part / "new").write_bytes((part / "nothing").read_bytes())
    assert names(tmp_path) == (["folder"] if old else [])
    assert not old or names(folder) == ["old"]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_rename_that_fails_leaves_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old").touch()
    replace, calls = os.replace, iter(range(1, 9))

    def sometimes(source: Path, target: Path) -> None:
        if next(calls) == failing:
            full()
        replace(source, target)

    monkeypatch.setattr(os, "replace", sometimes)
    with pytest.raises(OSError, match="No space"), replacing_folder(folder) as part:
        (part / "new").touch()
    assert names(tmp_path) == ["folder"]
    assert names(folder) == ["old"]


def test_what_a_killed_process_left_is_no_obstacle(tmp_path: Path) -> None:
    left = tmp_path / f".folder.{os.getpid()}.part"
    left.mkdir()
    (left / "half").touch()
    with replacing_folder(tmp_path / "folder") as part:
        assert names(part) == []
    assert names(tmp_path) == ["folder"]


def test_sha256(tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    (tmp_path / "a").write_bytes(content)
    assert file_sha256(tmp_path / "a") == hashlib.sha256(content).hexdigest()
