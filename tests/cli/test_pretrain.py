"""`storyteller pretrain` and `storyteller fill`: a masked model from the command to its words, and what goes wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.tokens.stories import LAMP, SEAL, long_story, story, write_corpus
from typer.testing import CliRunner, Result

from storyteller.cli import app

SMALL = [
    "model.shape={layers: 1, width: 32, heads: 2}", "pretrain.tokenizer.vocabulary=300", "data.context=64",
    "train.steps=2", "train.minutes=null", "train.rows=1", "train.evaluate_rows=2", "train.precision=float32",
]  # fmt: skip


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    train = [long_story("a", 6), long_story("b", 5, "zh"), story(SEAL, "c"), story(LAMP, "d", "zh")]
    return write_corpus(tmp_path_factory.mktemp("corpus"), train, [story(LAMP, "e", "zh"), story(SEAL, "f")])


@pytest.fixture(scope="module")
def masked(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masked") / "run"
    result = run("pretrain", "masked", *SMALL, f"data.path={data}", "--out", str(folder), "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == {"run": str(folder), "final": str(folder / "final")}
    return folder


def test_blanks_are_filled(masked: Path) -> None:
    shown = run("fill", "The keeper lit the [blank], and 从前有一只___。", "--model", str(masked), "--top", "2")
    assert shown.exit_code == 0, shown.output
    assert [line[:3] for line in shown.stdout.splitlines()] == ["1. ", "2. "]
    told = json.loads(run("fill", "The [blank] sang.", "--model", str(masked), "--json").stdout)
    assert len(told["blanks"][0]) == 5
    samples = (masked / "samples" / "step-000002.md").read_text("utf-8")
    assert "- Once upon a **" in samples


def test_what_cannot_be_filled_is_told(masked: Path, tiny_llama: Path) -> None:
    none = run("fill", "The keeper sang.", "--model", str(masked))
    assert none.exit_code == 2
    assert none.stderr == "error: there is no blank to fill: write [blank] or ___ where a word is missing.\n"
    causal = run("fill", "The [blank] sang.", "--model", str(tiny_llama))
    assert causal.exit_code == 2
    assert "no masked model" in causal.stderr
    writing = run("write", "A seal.", "--model", str(masked), "--engine", "torch")
    assert writing.exit_code == 2
    assert "storyteller fill" in writing.stderr


def test_a_masked_model_is_measured(masked: Path, data: Path, tmp_path: Path) -> None:
    result = run(
        "evaluate", str(masked), "--suite", "masked", "--data", str(data), "--split", "dev", "--max-tokens", "40",
        "--out", str(tmp_path), "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)["models"][str(masked)]
    assert row["tokens"] == 80
    assert 100 < row["pseudo_perplexity"] < 400  # it has learned nothing: one of 300 tokens
    assert json.loads((tmp_path / "masked.json").read_text("utf-8"))["data"]["stories"] == 2


def test_a_dry_run_and_a_resume(data: Path, tmp_path: Path) -> None:
    plan = run("pretrain", "pretrain", *SMALL, f"data.path={data}", "--dry-run", "--json")
    assert plan.exit_code == 0, plan.output
    assert json.loads(plan.stdout)["steps"] == 2
    assert run("pretrain").exit_code == 2
    unknown = run("pretrain", "pretrain", "model.size=6m")
    assert unknown.exit_code == 2
    assert "'1m', '5m', '15m', '42m' or '110m'" in unknown.stderr
    again = run("pretrain", "--resume", str(tmp_path / "none"))
    assert again.exit_code == 2
    assert "holds no run" in again.stderr


def test_rates_are_tested(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storyteller.train.rate_range.STEPS", 4)
    folder = tmp_path / "rates"
    told = run("pretrain", "masked", *SMALL, f"data.path={data}", "--find-lr", "--out", str(folder))
    assert told.exit_code == 0, told.output
    assert f"The plot is {folder / 'rates.svg'}." in told.stdout
    assert run("finetune", "masked", *SMALL, f"data.path={data}", "--find-lr").exit_code == 2
    assert "leave out --resume" in run("pretrain", "--resume", str(folder), "--find-lr").stderr
