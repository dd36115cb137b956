"""The range test: which rate it suggests, and that it leaves nothing behind but its own two files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.train.conftest import MakeRecipe
from typer.testing import CliRunner

from storyteller.cli import app
from storyteller.recipe.load import dump_recipe
from storyteller.train import find_rate
from storyteller.train.rate_range import suggest

RATES = [10 ** (-6 + step / 10) for step in range(41)]


def test_a_tenth_of_the_rate_with_the_lowest_loss() -> None:
    changes = [abs(step - 25) / 10 - 2.5 for step in range(41)]
    found = suggest("lora", RATES, changes, 0.5)
    assert found.suggested is not None
    assert found.suggested == pytest.approx(RATES[25] / 10, rel=0.1)
    assert found.suggested == float(f"{found.suggested:.0e}")  # one digit
    assert "came to nothing at 5.0e-01" in str(found)
    assert f"train.lr={found.suggested:.1e}" in str(found)


def test_no_rate_helps() -> None:
    found = suggest("full", RATES, [0.001 * step for step in range(41)], None)
    assert found.suggested is None
    assert "no rate from 1.0e-06 to 1.0e-02 made the loss fall; no rate was too high" in str(found)


@pytest.mark.parametrize("method", ["lora", "adalora", "prefix", "full"])
def test_rates_rise_until_training_comes_to_nothing(small: MakeRecipe, tmp_path: Path, method: str) -> None:
    recipe = small(f"model.method={method}", "train.steps=2", "train.accumulate=1", "train.patience=1")
    found = find_rate(recipe, tmp_path / "rates", steps=16)
    assert sorted(path.name for path in (tmp_path / "rates").iterdir()) == ["rates.json", "rates.svg"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rates"]
    assert json.loads((tmp_path / "rates" / "rates.json").read_text())["changes"] == found.changes
    assert found.rates[-1] / found.rates[0] <= 3000.1
    # Each loss is taken against the untouched model's on the same batch: what it has not learned yet is nothing.
    assert abs(found.changes[0]) < 1e-4
    assert found.changes == find_rate(recipe, tmp_path / "again", steps=16).changes
    if found.diverged is not None:
        assert found.diverged > found.rates[-1]
    if found.suggested is not None:
        assert found.suggested < found.lowest


def test_what_the_recipe_adds_to_the_loss_is_in_the_test(small: MakeRecipe, tmp_path: Path) -> None:
    """Each addition makes another test, and none makes a change of what is not one: that of the first, lowest rate."""
    plain = find_rate(small("train.accumulate=1"), tmp_path / "plain", steps=6)
    for number, addition in enumerate(
        ("label_smoothing=0.3", "contrastive={weight: 1.0}", "perturb={method: fgm, radius: 0.5}", "dropout=0.3")
    ):
        found = find_rate(small("train.accumulate=1", f"train.{addition}"), tmp_path / str(number), steps=6)
        assert abs(found.changes[0]) < 1e-4
        assert found.changes != plain.changes


def test_the_command(small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("storyteller.train.rate_range.STEPS", 8)
    Path("mine.yaml").write_text(dump_recipe(small("name=mine")), encoding="utf-8")
    told = CliRunner().invoke(app, ["finetune", "mine.yaml", "--find-lr"])
    assert told.exit_code == 0, told.output
    assert "The plot is runs/mine-lr/rates.svg" in told.stdout
    assert [path.name for path in Path("runs").iterdir()] == ["mine-lr"]
    told = CliRunner().invoke(app, ["finetune", "mine.yaml", "--find-lr", "--out", "x", "--json"])
    assert set(json.loads(told.stdout)) >= {"rates", "changes", "suggested", "diverged"}
    told = CliRunner().invoke(app, ["finetune", "mine.yaml", "--find-lr", "--resume", "x"])
    assert told.exit_code == 2
