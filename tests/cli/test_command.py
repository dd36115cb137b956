"""The command as a whole: what it imports, how it ends, and what it says when something is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import storyteller.recipe.load
from storyteller.cli import app, main
from storyteller.errors import DataError

_HEAVY = ("torch", "numpy", "transformers", "peft", "accelerate", "tokenizers", "matplotlib", "yaml")
_COMMANDS = ("write", "prepare", "tokenize", "inspect", "finetune", "evaluate", "recipes", "doctor", "models")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Let `storyteller recipes` fail with an error."""

    def let(error: BaseException) -> None:
        def fail() -> None:
            raise error

        monkeypatch.setattr(storyteller.recipe.load, "bundled_recipes", fail)

    return let


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in _COMMANDS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    """Under half a second on any machine, because there is nothing to wait for."""
    script = (
        f"import sys; sys.argv[1:] = {arguments!r}\n"
        "from storyteller.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print([name for name in {_HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert done.stderr.strip() == "[]"
    assert "Usage: " in done.stdout


def test_help_names_every_command() -> None:
    shown = run("--help").stdout
    assert all(f"\n  {name} " in shown for name in _COMMANDS)


@pytest.mark.parametrize(
    "arguments", [["recipes", "--bogus"], ["nonsense"], ["evaluate"], ["write", "--words", "many"]]
)
def test_a_wrong_usage_is_two(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert "Usage:" in result.output


def test_a_mistake_is_one_message_and_two(failing: Callable[[BaseException], None]) -> None:
    failing(DataError("the corpus is empty; prepare one."))
    result = run("recipes")
    assert (result.exit_code, result.stderr, result.stdout) == (2, "error: the corpus is empty; prepare one.\n", "")


def test_debug_shows_where_wherever_it_stands(
    failing: Callable[[BaseException], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failing(DataError("empty"))
    monkeypatch.setattr(sys, "argv", ["storyteller", "recipes", "--debug"])
    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr().err
    assert end.value.code == 2
    assert "Traceback" in told
    assert told.endswith("error: empty\n")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied", "/some/file"), "error: Permission denied: /some/file"),
        (OSError(28, "No space left on device"), "error: No space left on device"),
        (OSError("odd"), "error: odd"),
    ],
)
def test_the_disk_says_what_it_has(failing: Callable[[BaseException], None], error: OSError, message: str) -> None:
    failing(error)
    result = run("recipes")
    assert (result.exit_code, result.stderr.strip()) == (2, message)


@pytest.mark.parametrize(("message", "told"), [("", "stopped"), ("Go on with: storyteller", "Go on with: storyteller")])
def test_ctrl_c_is_130(failing: Callable[[BaseException], None], message: str, told: str) -> None:
    failing(KeyboardInterrupt(message) if message else KeyboardInterrupt())
    result = run("recipes")
    assert (result.exit_code, result.stderr.strip()) == (130, told)


def test_our_own_mistake_is_not_hidden(failing: Callable[[BaseException], None]) -> None:
    failing(ZeroDivisionError())
    assert isinstance(run("recipes").exception, ZeroDivisionError)


def test_a_reader_that_has_gone_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", "from storyteller.cli import main; main()", "recipes", "--schema"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_recipes(tmp_path: Path) -> None:
    listed = run("recipes")
    assert listed.exit_code == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == [
        "full",
        "masked",
        "own-stories",
        "pretrain",
        "refine",
        "search",
        "tales",
        "whole",
    ]
    assert run("recipes", "full").stdout.startswith("# Full fine-tuning")
    assert '"title": "Recipe"' in run("recipes", "--schema").stdout
    wrong = run("recipes", "tails")
    assert (wrong.exit_code, "did you mean the bundled recipe 'tales'?" in wrong.stderr) == (2, True)


def test_doctor(tmp_path: Path) -> None:
    import json

    found = json.loads(run("doctor", "--json").stdout)
    assert {"python", "torch", "processor", "gpu", "precision", "home", "models"} <= found.keys()
    assert "models pull" in found["models"]
    assert "writable" in found["home"]
    shown = run("doctor")
    assert shown.exit_code == 0
    assert f"python       {found['python']}" in shown.stdout
