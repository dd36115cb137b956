"""The documentation holds: its commands parse, its links lead somewhere, both READMEs say the same."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from storyteller.cli import app
from storyteller.recipe import load_recipe

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://)([^)#\s]+)")


def lines(page: Path) -> list[list[str]]:
    """The command lines of a page, split as a shell does, without comments."""
    blocks = "\n".join(BLOCK.findall(page.read_text(encoding="utf-8")))
    split = (shlex.split(line, comments=True) for line in blocks.replace("\\\n", " ").splitlines())
    return [words for words in split if words]


def arguments(words: list[str]) -> list[str] | None:
    """What follows `storyteller` on a command line, up to a pipe or a redirection; None if it is not there."""
    at = next((place for place, word in enumerate(words) if Path(word).name == "storyteller"), None)
    if at is None:
        return None
    end = next((place for place, word in enumerate(words) if word in ("|", ">", "&&")), len(words))
    return words[at + 1 : end]


COMMANDS = [
    pytest.param(found, id=f"{page.name}: {' '.join(found)}")
    for page in PAGES
    for words in lines(page)
    if (found := arguments(words)) is not None
]


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("given", COMMANDS)
def test_command_parses(given: list[str]) -> None:
    command: Any = get_command(app)
    while hasattr(command, "commands"):
        if command.name == "evaluate" and given[0] not in command.commands:
            given = ["models", *given]  # as the group does: `evaluate default` names a model
        name, *given = given
        assert name in command.commands, f"no command {name}"
        command = command.commands[name]
    # Parsing checks options, types and what is required; it runs nothing.
    values = command.make_context(command.name, list(given)).params
    if values.get("overrides"):
        load_recipe(None, values["overrides"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    assert not [target for target in targets if not (page.parent / target).exists()]


def test_both_readmes_have_the_same_commands() -> None:
    assert lines(ROOT / "README.md") == lines(ROOT / "README.zh.md")
