"""`storyteller models`: what a person sees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from storyteller.cli.models import app
from storyteller.errors import ModelError


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_list() -> None:
    lines = run("list").splitlines()
    assert lines[0].split()[:2] == ["NAME", "LANGUAGES"]
    assert [line.split()[0] for line in lines[1:]] == [
        "default",
        "smollm2-135m-instruct",
        "gemma3-270m",
        "all-minilm-l6-v2",
    ]
    assert all(line.endswith("no") for line in lines[1:])
    rows = json.loads(run("list", "--json"))
    assert rows[0]["download"] == rows[1]["download"] == 92_871_040  # the wheel; the default fetches its base
    assert rows[2]["languages"] == ["zh", "en"]


@pytest.mark.parametrize("page", ["README.md", "README.zh.md"])
def test_the_download_is_the_size_that_the_readme_tells(page: str) -> None:
    size = f"{json.loads(run('list', '--json'))[0]['download'] / 1e6:.0f} MB"
    assert size in (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    assert run("list").splitlines()[1].count(size) == 1


def test_show_a_known_model() -> None:
    shown = run("show", "gemma3-270m")
    assert "Gemma Terms of Use: https://ai.google.dev/gemma/terms" in shown
    assert "32,768" in shown


def test_show_a_folder(tiny_gpt2: Path) -> None:
    shown = json.loads(run("show", str(tiny_gpt2), "--json"))
    assert shown["architecture"] == "gpt2"
    assert shown["context"] == 1024
    assert shown["folder"] == str(tiny_gpt2)
    assert shown["parameters"] > 100_000


def test_pull_shows_terms() -> None:
    with pytest.raises(ModelError, match="--accept-terms"):
        run("pull", "gemma3-270m")


def test_pull_a_folder_that_is_there(tiny_llama: Path) -> None:
    assert str(tiny_llama) in run("pull", str(tiny_llama))
