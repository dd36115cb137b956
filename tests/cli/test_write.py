from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from storyteller.cli.write import write
from storyteller.errors import GenerationError
from storyteller.generate.library import read_story
from storyteller.generate.torch_engine import TorchEngine
from storyteller.runs.home import stories_home

app = typer.Typer()
app.command()(write)


def run(model: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--model", str(model), "--engine", "torch"])


def failure(result: Result) -> str:
    assert isinstance(result.exception, GenerationError)
    return str(result.exception)


def test_json_is_one_object(tiny_llama: Path) -> None:
    result = run(tiny_llama, "A seal", "--words", "20", "--seed", "4", "--json", "--character", "Mara:a keeper")
    told = json.loads(result.stdout)
    assert {"text", "words", "finish_reason", "model", "seed"} <= told.keys()
    assert (told["seed"], told["language"]) == (4, "en")
    assert read_story(Path(told["file"])) == told["text"].strip()


def test_the_text_streams_and_the_file_survives(tiny_llama: Path) -> None:
    result = run(tiny_llama, "一只海豹", "--words", "20", "--seed", "4", "--form", "fable")
    (path,) = stories_home().iterdir()
    assert result.exit_code == 0
    assert read_story(path) == result.stdout.strip()
    assert str(path) in result.stderr
    assert "storyteller write --continue" in result.stderr


def test_a_story_is_continued_in_its_file(tiny_llama: Path, tmp_path: Path) -> None:
    before = tmp_path / "before.txt"
    before.write_text("The seal slept. And then", encoding="utf-8")
    result = run(tiny_llama, "--continue", str(before), "--words", "10", "--seed", "1", "--out", str(tmp_path / "o.md"))
    assert result.exit_code == 0
    assert read_story(tmp_path / "o.md").startswith("The seal slept. And then")
    assert before.read_text("utf-8") == "The seal slept. And then"


def test_ctrl_c_keeps_what_was_written(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = TorchEngine.feed
    calls = iter(range(30))

    def interrupted(self: TorchEngine, ids: Any) -> Any:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return feed(self, ids)

    monkeypatch.setattr(TorchEngine, "feed", interrupted)
    result = run(tiny_llama, "A seal", "--words", "60", "--seed", "4", "--json")
    told = json.loads(result.stdout)
    assert (told["finish_reason"], told["text"] != "") == ("cancelled", True)
    assert read_story(Path(told["file"])) == told["text"].strip()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["  "], "empty"),
        ([], "empty"),
        (["A seal", "--lang", "fr"], "en, zh"),
        (["A seal", "--form", "opera"], "fable"),
        (["A seal", "--character", ":a keeper"], "NAME:WHO"),
        (["A seal", "--character", "Mara:"], "NAME:WHO"),
        (["--continue", "nothing.txt"], "nothing.txt"),
        (["A seal", "--temperature", "-1"], "temperature"),
    ],
)
def test_mistakes_are_named(tiny_llama: Path, arguments: list[str], message: str) -> None:
    assert message in failure(run(tiny_llama, *arguments))
    assert not stories_home().exists()
