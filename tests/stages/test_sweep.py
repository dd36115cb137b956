"""A sweep finds the best settings, survives whatever ends it, and says why trials failed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from storyteller.cli import app
from storyteller.errors import CheckpointError, RecipeError, TrainingError
from storyteller.recipe import load_recipe
from storyteller.recipe.load import change_values
from storyteller.runs.children import find_child
from storyteller.stages.study import folder_of
from storyteller.stages.sweep import plan_sweep, sweep_recipe

RECIPE: dict[str, Any] = {
    "name": "海豹",
    "train": {"steps": 4, "lr": 0.01},
    "sweep": {"trials": 5, "space": {"train.lr": {"log_uniform": [1e-5, 1e-1]}}},
}


def recipe(space: Any = None, **changes: Any) -> dict[str, Any]:
    values = change_values(RECIPE, {key.replace("__", "."): value for key, value in changes.items()})
    return {**values, "sweep": {**values["sweep"], "space": {"train.lr": space}}} if space else values


def test_the_best_is_found_and_runs_as_it_is(quick_children: list[Sequence[str]], tmp_path: Path) -> None:
    report = sweep_recipe(tmp_path, recipe(sweep__trials=12))
    assert report["counts"] == {"complete": 12, "pruned": 0, "failed": 0, "running": 0}
    # The optimum is at 1e-3; the recipe's own rate is the first trial, and the search beats it.
    assert report["base"]["settings"] == {"train.lr": 0.01}
    assert report["base"]["value"] == pytest.approx(1.25)
    assert report["best"]["value"] < 0.75
    best = load_recipe(tmp_path / "best.yaml")
    assert (best.name, best.sweep, best.train.steps) == ("海豹-best", None, 4)
    assert best.train.lr == report["best"]["settings"]["train.lr"]
    assert report["importance"] == {"train.lr": 1.0}
    told = (tmp_path / "report.md").read_text("utf-8")
    assert "12 trials ended" in told
    assert "The recipe as it was given (trial 0) has 1.2500" in told
    chinese = (tmp_path / "report.zh.md").read_text("utf-8")
    assert "12 次试验跑完" in chinese
    assert "原来的配方（第 0 次试验）是 1.2500" in chinese
    # The same figures, settings and command in both.
    english, other = (re.findall(r"\d+\.\d+|`[^`\n]+`|storyteller .*", text) for text in (told, chinese))
    assert english == other
    for plot in ("trials.svg", "importance.svg"):
        assert "海豹" in (tmp_path / plot).read_text("utf-8")
    assert json.loads((tmp_path / "report.json").read_text("utf-8")) == report
    assert not (folder_of(tmp_path, 0) / "checkpoints").exists()
    assert (folder_of(tmp_path, 0) / "final").is_dir()


def test_a_longer_sweep_tries_what_an_uninterrupted_one_tries(
    quick_children: list[Sequence[str]], tmp_path: Path
) -> None:
    whole = sweep_recipe(tmp_path / "whole", recipe(sweep__trials=7, sweep__startup=3))
    sweep_recipe(tmp_path / "parts", recipe(sweep__trials=4, sweep__startup=3))
    parts = sweep_recipe(tmp_path / "parts", overrides=["sweep.trials=7"])
    assert [row["settings"] for row in whole["trials"]] == [row["settings"] for row in parts["trials"]]
    assert sweep_recipe(tmp_path / "parts")["counts"]["complete"] == 7  # there is nothing left to do


def test_hopeless_trials_are_cut_short(
    quick_children: list[Sequence[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A good trial first, then some that are far worse at every evaluation: they are asked to stop, and do."""
    monkeypatch.setenv("STORYTELLER_TEST_PAUSE", "0.03")
    values = recipe(
        [0.001, 0.1, 0.09, 0.08, 0.07], train__lr=0.001, train__steps=150, sweep__trials=4, sweep__startup=1,
        sweep__patience=1, sweep__keep="all",
    )  # fmt: skip
    report = sweep_recipe(tmp_path, values)
    rates = [row["settings"]["train.lr"] for row in report["trials"]]
    assert rates[0] == 0.001
    assert max(rates) > 0.05
    cut = [row for row in report["trials"] if row["state"] == "pruned"]
    assert [row["settings"]["train.lr"] for row in cut] == [rate for rate in rates if rate > 0.05]
    assert all(2 <= row["evaluations"] < 150 for row in cut)
    assert all((Path(row["run"]) / "last.json").is_file() for row in cut)
    assert "were cut short" in (tmp_path / "report.md").read_text("utf-8")


def test_failures_are_counted_and_told(quick_children: list[Sequence[str]], tmp_path: Path) -> None:
    values = recipe([0.01, 0.9, 0.001, 0.7], sweep__trials=4, sweep__sampler="random")
    report = sweep_recipe(tmp_path, values)
    assert report["counts"]["failed"] + report["counts"]["complete"] == 4
    assert report["counts"]["failed"] >= 1
    failed = next(row for row in report["trials"] if row["state"] == "failed")
    assert failed["why"] == "step 1: the loss is nan"
    assert f"- trial {failed['number']}: step 1: the loss is nan" in (tmp_path / "report.md").read_text("utf-8")
    assert f"- 第 {failed['number']} 次试验：step 1" in (tmp_path / "report.zh.md").read_text("utf-8")


def test_nothing_but_failures_is_an_error_that_names_the_first(
    quick_children: list[Sequence[str]], tmp_path: Path
) -> None:
    values = recipe({"uniform": [0.6, 0.9]}, train__lr=0.9, sweep__trials=9)
    with pytest.raises(TrainingError, match=r"all 3 trials .*first, trial 0 \(train.lr=0.9\): step 1: the loss is nan"):
        sweep_recipe(tmp_path, values)
    assert len(quick_children) == 3  # it gave up
    assert json.loads((tmp_path / "report.json").read_text("utf-8"))["counts"]["failed"] == 3
    with pytest.raises(TrainingError, match="all 6 trials"):
        sweep_recipe(tmp_path)


def test_another_recipe_is_refused_and_the_difference_shown(
    quick_children: list[Sequence[str]], tmp_path: Path
) -> None:
    sweep_recipe(tmp_path, recipe(sweep__trials=1))
    with pytest.raises(CheckpointError, match=r"train.steps: 4  ->  5"):
        sweep_recipe(tmp_path, recipe(train__steps=5))
    with pytest.raises(CheckpointError, match=r"sweep.sampler: None  ->  random"):
        sweep_recipe(tmp_path, overrides=["sweep.sampler=random"])
    assert sweep_recipe(tmp_path, recipe(sweep__trials=2))["counts"]["complete"] == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sweep.space": {"train.lrr": [1]}}, "train.lrr.*\n.*did you mean train.lr"),
        ({"sweep.space": {"train.lr": {"uniform": [0.1, 2.0]}}}, "may draw 2.0"),
        ({"sweep.space": {"model.method": ["lora", "dor"]}}, "may draw 'dor'"),
        ({"sweep.space": {"model.dora.rank": [4, 8]}}, r"model\.dora\.rank would do nothing.*model\.lora"),
        ({"sweep.space": {"model.method": ["lora", "ia3"], "model.dora.rank": [4, 8]}}, "would do nothing"),
        ({"sweep.space": {"train.lr": {"log_uniform": [0.0, 0.1]}}}, "must be over 0"),
        ({"sweep.space": {"train.lr": {"uniform": [0.2, 0.1]}}}, "must be under"),
        ({"sweep.space": {"train.lr": {"low": 0.1}}}, "space"),
        ({"sweep.space": {"train.rows": []}}, "is empty"),
        ({"sweep.space": {"train.rows": [2, 2]}}, "twice"),
        ({"sweep.space": {"name": ["a", "b"]}}, "no setting|not a setting"),
        ({"sweep.space": {}}, "at least one key"),
        ({"sweep": None}, "has no sweep block"),
    ],
)
def test_spaces_that_cannot_be_searched(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    values = {**RECIPE, **{"sweep": changes.get("sweep", {"space": changes.get("sweep.space")})}}
    with pytest.raises(RecipeError, match=message):
        sweep_recipe(tmp_path / "sweep", values)
    assert not (tmp_path / "sweep").exists()


def test_a_plan_says_what_would_be_searched() -> None:
    plan = plan_sweep({"sweep": {"space": {"train.rows": {"log_integer": [1, 8]}, "data.views": [1, 2]}}})
    assert plan["space"] == {"train.rows": {"log_integer": [1, 8]}, "data.views": [1, 2]}
    plan_sweep({"sweep": {"space": {"model.method": ["lora", "dora"], "model.dora.rank": [4, 8]}}})
    assert plan["first"] == {"train.rows": 4, "data.views": 1}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_workers_share_a_sweep(
    kind: str, quick_children: list[Sequence[str]], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """One more worker from another folder, through the database; no trial is done twice."""
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    if kind == "postgresql":
        url = request.getfixturevalue("postgresql_database").replace("postgresql://", "postgresql+psycopg://")
    sweep_recipe(tmp_path / "a", recipe(sweep__trials=1), database=url)
    with pytest.raises(CheckpointError, match="--worker"):
        sweep_recipe(tmp_path / "b", recipe(sweep__trials=8), database=url)
    results: list[Mapping[str, Any]] = []
    workers = [
        threading.Thread(target=lambda: results.append(sweep_recipe(tmp_path / "b", database=url, join=True))),
        threading.Thread(
            target=lambda: results.append(sweep_recipe(tmp_path / "a", overrides=["sweep.trials=8"], database=url))
        ),
    ]
    workers[1].start()
    time.sleep(0.3)
    workers[0].start()
    for worker in workers:
        worker.join(300)
    numbers = [int(Path(str(words[-1])).name) for words in quick_children]
    assert sorted(numbers) == sorted(set(numbers))
    last = sweep_recipe(tmp_path / "a", database=url)
    assert last["counts"]["complete"] >= 8
    assert {path.parents[1].name for path in tmp_path.glob("?/trials/????")} == {"a", "b"}


def test_a_worker_joins_nothing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="it holds none"):
        sweep_recipe(tmp_path, database=f"sqlite:///{tmp_path / 'empty.db'}", join=True)
    with pytest.raises(RecipeError, match="holds no sweep"):
        sweep_recipe(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="cannot be opened") as told:
        sweep_recipe(tmp_path / "c", recipe(), database="nosuchdatabase://me:secret@host/x")
    assert "secret" not in str(told.value)


_DRIVER = """
import sys
from pathlib import Path
import storyteller.stages.trial as trial
from tests.stages.conftest import starter
from storyteller.recipe.load import read_values
from storyteller.stages.sweep import sweep_recipe

trial.start_child, trial._ROUND = starter([]), 0.02
try:
    sweep_recipe(Path(sys.argv[1]), read_values(Path(sys.argv[2])))
except KeyboardInterrupt as stop:
    print(stop)
    sys.exit(130)
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_sweep_that_is_ended_goes_on_where_it_was(
    quick_children: list[Sequence[str]], tmp_path: Path, sent: signal.Signals
) -> None:
    """After Ctrl-C the running trial is gone on with; after a kill -9 its orphaned child is found, not trained over."""
    values = recipe([0.01, 0.001, 0.02], sweep__trials=3, train__steps=150, sweep__pruner="none")
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    folder = tmp_path / "sweep"
    environment = os.environ | {"STORYTELLER_TEST_PAUSE": "0.02", "PYTHONPATH": os.pathsep.join(["src", "."])}
    with subprocess.Popen(
        [sys.executable, "-c", _DRIVER, str(folder), str(file)], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        _wait_for(folder_of(folder, 0) / "last.json")
        parent.send_signal(sent)
        told = parent.communicate(timeout=60)[0]
    if sent == signal.SIGINT:
        assert parent.returncode == 130
        assert f"storyteller sweep --resume {folder}" in told
        step = json.loads((folder_of(folder, 0) / "last.json").read_text())["step"]
        assert 0 < step < 150
    report = sweep_recipe(folder)
    assert report["counts"] == {"complete": 3, "pruned": 0, "failed": 0, "running": 0}
    steps = [json.loads(line)["step"] for line in (folder_of(folder, 0) / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 151))
    assert len(quick_children) == (3 if sent == signal.SIGINT else 2)
    assert quick_children[0][1] == ("--resume" if sent == signal.SIGINT else quick_children[0][1])


def test_a_child_that_vanishes_is_started_again(
    quick_children: list[Sequence[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORYTELLER_TEST_PAUSE", "0.02")
    worker = threading.Thread(target=sweep_recipe, args=(tmp_path, recipe(sweep__trials=1, train__steps=100)))
    worker.start()
    _wait_for(folder_of(tmp_path, 0) / "last.json")
    child = find_child(str(folder_of(tmp_path, 0)))
    assert child is not None
    os.kill(child.pid, signal.SIGKILL)
    worker.join(300)
    assert [words[1] for words in quick_children][1] == "--resume"
    assert "resumed" in (folder_of(tmp_path, 0) / "events.log").read_text()
    assert sweep_recipe(tmp_path)["counts"]["complete"] == 1


@pytest.mark.parametrize("option", ["--resume", "--worker"])
def test_a_dry_run_starts_no_trial(quick_children: list[Sequence[str]], tmp_path: Path, option: str) -> None:
    sweep_recipe(tmp_path, recipe(sweep__trials=1))
    told = CliRunner().invoke(app, ["sweep", option, str(tmp_path), "sweep.trials=2", "--dry-run"])
    assert told.exit_code == 2
    assert "leave out --dry-run" in told.stderr
    assert len(quick_children) == 1


def _wait_for(path: Path, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until, path
        time.sleep(0.01)
