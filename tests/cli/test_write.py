from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.generate.scripted import ScriptedEngine
from typer.testing import CliRunner, Result

from storyteller.cli.write import write
from storyteller.errors import GenerationError
from storyteller.generate.library import read_story
from storyteller.generate.torch_engine import TorchEngine
from storyteller.runs.home import stories_home
from storyteller.tokens import Request, StoryTokenizer, Template

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


def next_lines(result: Result) -> list[list[str]]:
    """The arguments of the suggested `storyteller write` commands, as a shell would split them."""
    lines = [line.strip() for line in result.stderr.splitlines()]
    return [shlex.split(line)[2:] for line in lines if line.startswith("storyteller write")]


@pytest.mark.parametrize("prompt", ['A seal\'s "lamp"', "一只海豹"])
def test_what_is_suggested_works_as_it_stands(tiny_llama: Path, prompt: str) -> None:
    again, other = next_lines(run(tiny_llama, prompt, "--words", "20", "--seed", "4", "--form", "screenplay"))
    options = ["--seed", "1", "--engine", "torch", "--json"]
    continued, told = (json.loads(CliRunner().invoke(app, [*line, *options]).stdout) for line in (again, other))
    language = "en" if prompt.isascii() else "zh"
    assert (continued["form"], continued["language"], continued["model"]) == ("screenplay", language, str(tiny_llama))
    assert (told["form"], told["language"], told["model"]) == ("dialogue", language, str(tiny_llama))
    assert told["prompt"] == prompt


@pytest.mark.parametrize("prompt", ["Seal.", "海豹"])
def test_a_language_that_was_named_is_suggested_again(tiny_llama: Path, prompt: str) -> None:
    language = "zh" if prompt.isascii() else "en"
    result = run(tiny_llama, prompt, "--lang", language, "--words", "10", "--seed", "4")
    assert next_lines(result)[1][-4:] == ["--lang", language, "--model", str(tiny_llama)]


def test_options_go_before_what_the_file_says(tiny_llama: Path, tmp_path: Path) -> None:
    run(tiny_llama, "A seal", "--words", "10", "--seed", "4", "--form", "fable", "--out", str(tmp_path / "s.md"))
    arguments = ["--continue", str(tmp_path / "s.md"), "--words", "10", "--json"]
    assert json.loads(run(tiny_llama, *arguments).stdout)["form"] == "fable"
    told = json.loads(run(tiny_llama, *arguments, "--form", "play", "--lang", "zh").stdout)
    assert (told["form"], told["language"]) == ("play", "zh")


def test_what_is_no_story_is_said(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = StoryTokenizer.load(tiny_llama)
    numbers = ScriptedEngine(tokenizer, "".join(f"{n}.\n" for n in range(1, 400)))
    monkeypatch.setattr(TorchEngine, "feed", lambda self, ids: numbers.feed(ids))
    result = run(tiny_llama, "一只海豹", "--words", "30", "--no-dry", "--temperature", "0")
    assert "hardly a story (list)" in result.stderr


@pytest.mark.parametrize(("opening", "words"), [("Once, a lamp ", ["lamp"]), ("从前，灯塔", ["灯", "海"])])
def test_the_opening_is_kept_and_keywords_are_asked_for(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch, opening: str, words: list[str]
) -> None:
    asked: list[Request] = []
    prompt_of = Template.prompt
    monkeypatch.setattr(Template, "prompt", lambda self, request: asked.append(request) or prompt_of(self, request))
    keywords = [argument for word in words for argument in ("--keyword", word)]
    result = run(tiny_llama, "--opening", opening, *keywords, "--words", "10", "--seed", "4", "--no-dry")
    assert result.stdout.startswith(opening.strip())
    assert (asked[0].keywords, asked[0].opening) == (tuple(words), opening.strip())
    assert "dry: false" in next(stories_home().iterdir()).read_text(encoding="utf-8")


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
        (["--continue", __file__, "--opening", "Once"], "begins a new story"),
        (["--opening", "  "], "empty"),
        (["--continue", "nothing.txt"], "nothing.txt"),
        (["A seal", "--temperature", "-1"], "temperature"),
    ],
)
def test_mistakes_are_named(tiny_llama: Path, arguments: list[str], message: str) -> None:
    assert message in failure(run(tiny_llama, *arguments))
    assert not stories_home().exists()
