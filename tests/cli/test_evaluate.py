"""`storyteller evaluate`: what is refused before anything is measured."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from storyteller.cli import app


@pytest.mark.parametrize("suite", ["losses", "masked", "stories", "likelihood"])
def test_a_suite_on_held_out_stories_asks_for_them(suite: str, tmp_path) -> None:
    words = ["evaluate", "nosuchmodel", "--suite", suite, "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "--data DIR" in result.stderr or "give stories" in result.stderr
