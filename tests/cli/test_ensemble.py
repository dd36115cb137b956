"""`storyteller ensemble`: what a person sees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.adapters import tiny_adapter
from typer.testing import CliRunner

from storyteller.cli.ensemble import app
from storyteller.errors import ModelError


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def adapters(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return [tiny_adapter(tiny_llama, folder / name, seed=seed) for seed, name in enumerate("ab")]


def test_new_and_show(adapters: list[Path], tmp_path: Path) -> None:
    said = run("new", *adapters, "--out", tmp_path / "e", "--weights", "0.7,0.3", "--sure", 0.9)
    assert f"--model {tmp_path / 'e'}" in said
    shown = run("show", tmp_path / "e")
    assert "rule: arithmetic" in shown
    assert "gate: {'sure': 0.9}" in shown
    assert "0.700" in shown
    described = json.loads(run("show", tmp_path / "e", "--json"))
    assert [member["weight"] for member in described["members"]] == [0.7, 0.3]
    assert [Path(member["place"]) for member in described["members"]] == adapters
    with pytest.raises(ModelError, match="holds an ensemble already"):
        run("new", *adapters, "--out", tmp_path / "e")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--weights", "0.7,0.7"], "sum to 1"),
        (["--weights", "0.7,x"], "no numbers"),
        (["--weights", "1"], "1 weights for 2"),
        (["--rule", "magic"], "arithmetic"),
        (["--rule", "contrastive"], "contrastive needs weights"),
        (["--sure", "7"], "gate"),
    ],
)
def test_a_wrong_ensemble_is_not_written(adapters: list[Path], tmp_path: Path, options: list[str], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        run("new", *adapters, "--out", tmp_path / "e", *options)
    with pytest.raises(ModelError, match="cannot be had"):
        run("new", adapters[0], tmp_path / "nowhere", "--out", tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_merge(adapters: list[Path], tmp_path: Path) -> None:
    said = run("merge", *adapters, "--out", tmp_path / "m", "--method", "slerp", "--rank", 2)
    assert "2 models merged (slerp)" in said
    assert "of the energy lost at rank 2" in said
    report = json.loads(run("merge", *adapters, "--out", tmp_path / "n", "--json"))
    assert report["weights"] == [0.5, 0.5]


def test_draft_shows_some_of_what_all_members_wrote(
    adapters: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("llama_engine", "llama_batch"):  # see tests/generate/test_mixture.py
        monkeypatch.setattr(f"storyteller.generate.{module}.cores", lambda: 1)
    run("new", *adapters, "--out", tmp_path / "e")
    rows = json.loads(
        run("draft", "A seal.", "--model", tmp_path / "e", "--drafts", 4, "--show", 2, "--words", 5, "--json")
    )
    assert 1 <= len(rows) <= 2
    assert rows[0]["scores"].keys() == {"people", "keywords", "length", "repetition", "ending"}
