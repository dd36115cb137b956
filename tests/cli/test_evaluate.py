"""`storyteller evaluate`: what is refused before anything is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from storyteller.cli import app
from storyteller.models.ensemble_file import Ensemble, Member, write_ensemble


@pytest.mark.parametrize("suite", ["losses", "masked", "stories", "likelihood"])
def test_a_suite_on_held_out_stories_asks_for_them(suite: str, tmp_path) -> None:
    words = ["evaluate", "nosuchmodel", "--suite", suite, "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert "--data DIR" in result.stderr or "give stories" in result.stderr


@pytest.mark.parametrize("suite", ["likelihood", "lm-eval"])
def test_an_ensemble_is_refused_by_a_suite_of_one_model_before_others_are_read(suite: str, tmp_path: Path) -> None:
    write_ensemble(tmp_path, Ensemble(members=(Member(model="default"),)))
    result = CliRunner().invoke(app, ["evaluate", "nosuchmodel", str(tmp_path), "--suite", suite, "--data", "nowhere"])
    assert result.exit_code == 2
    assert "is an ensemble" in result.stderr
    assert "--suite losses or --suite stories" in " ".join(result.stderr.split())
