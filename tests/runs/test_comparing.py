"""Lists, tables and plots come out of run folders alone, whatever state these are in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from storyteller.cli import app
from storyteller.errors import CheckpointError
from storyteller.recipe import load_recipe
from storyteller.runs import Run
from storyteller.runs.comparing import compare_runs, plot_runs, render_comparison
from storyteller.runs.reading import curve, find_runs, read_summary


def make(folder: Path, *overrides: str, finished: bool = True, lines: int = 3, data: str = "abc") -> Run:
    recipe = load_recipe(None, ["train.steps=30", *overrides])
    run = Run.create(folder, recipe, asked=recipe, data={"hash": data})
    with run.open_metrics() as file:
        file.write(json.dumps({"step": 0, "split": "dev", "seconds": 0.5, "loss": 3.0, "bits_per_byte": 1.5}) + "\n")
        for number in range(1, lines + 1):
            train = {"loss": 3 - number / 10, "targets": 100 * number, "tokens_per_second": 50.0 + number}
            file.write(json.dumps({"step": 10 * number, "split": "train", "seconds": number, **train}) + "\n")
            dev = {"bits_per_byte": 1.5 - number / 10 if number < 3 else 1.45, "loss": 2.0}
            file.write(json.dumps({"step": 10 * number, "split": "dev", "seconds": number + 0.5, **dev}) + "\n")
    run.event("a beginning")
    if finished:
        run.final.mkdir()
        run.event("finished")
    return run


def test_a_summary(tmp_path: Path) -> None:
    summary = read_summary(make(tmp_path / "灯塔", "name=灯塔").folder)
    assert (summary.state, summary.name, summary.method) == ("finished", "灯塔", "lora")
    assert (summary.steps, summary.step) == (30, 30)
    assert (summary.base, summary.best, summary.best_step) == (1.5, 1.3, 20)
    assert (summary.targets, summary.seconds, summary.tokens_per_second) == (300, 3.5, 52.0)
    assert summary.age is not None
    assert summary.age < 60


def test_the_clock_goes_on_over_sessions(tmp_path: Path) -> None:
    run = make(tmp_path / "run", lines=2, finished=False)
    with run.open_metrics() as file:
        file.write(json.dumps({"step": 30, "split": "dev", "seconds": 1.0, "bits_per_byte": 1.2}) + "\n")
    assert read_summary(run.folder).seconds == pytest.approx(3.5)
    assert curve(run.folder, "bits_per_byte", "dev", "seconds").xs == [0.5, 1.5, 2.5, 3.5]
    assert curve(run.folder, "bits_per_byte", "dev", "targets").xs == [0, 100, 200, 200]
    assert curve(run.folder, "bits_per_byte", "dev", "step").ys == [1.5, 1.4, 1.3, 1.2]


@pytest.mark.parametrize(
    ("damage", "state", "best"),
    [
        ({"recipe.yaml": b"\xff\xfe{"}, "damaged", 1.3),
        ({"recipe.yaml": b"- a list"}, "damaged", 1.3),
        ({"recipe.yaml": None}, "damaged", 1.3),
        ({"recipe.yaml": b"train: {stepz: 3, steps: many}\nname: 3\nmodel: none"}, "finished", 1.3),
        ({"metrics.jsonl": b'{"step": 1, "spl\n[1]\n7\n\xff\xff\n{"step": "x", "split": "dev"}\n'}, "finished", None),
        (
            {"metrics.jsonl": b'{"step": 5, "split": "dev", "bits_per_byte": "NaN", "seconds": null}\n'},
            "finished",
            None,
        ),
        ({"metrics.jsonl": None, "data.json": b"[]"}, "finished", None),
        ({"events.log": b"\xff"}, "unfinished", 1.3),
    ],
)
def test_damage_is_told_and_stops_nothing(
    tmp_path: Path, damage: dict[str, bytes | None], state: str, best: float | None
) -> None:
    run = make(tmp_path / "runs" / "bad")
    make(tmp_path / "runs" / "good")
    for name, content in damage.items():
        path = run.folder / name
        path.unlink() if content is None else path.write_bytes(content)
    summary = read_summary(run.folder)
    assert (summary.state, summary.best) == (state, best)
    assert (summary.why != "") == (state == "damaged")
    result = CliRunner().invoke(app, ["runs", "list", str(tmp_path / "runs")])
    assert result.exit_code == 0, result.output
    assert "good" in result.stdout
    assert "bad" in result.stdout
    compare_runs([run.folder, tmp_path / "runs" / "good"])


def test_runs_are_found_where_they_lie(tmp_path: Path) -> None:
    make(tmp_path / "sweep" / "trials" / "0001")
    make(tmp_path / "a", finished=False)
    (tmp_path / "a" / "checkpoints" / "step-1").mkdir(parents=True)
    (tmp_path / "a" / "checkpoints" / "step-1" / "recipe.yaml").touch()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "recipe.yaml").touch()
    assert [path.relative_to(tmp_path).as_posix() for path in find_runs(tmp_path)] == ["a", "sweep/trials/0001"]
    listed = CliRunner().invoke(app, ["runs", "list", str(tmp_path), "--json"])
    assert [run["state"] for run in json.loads(listed.stdout)] == ["unfinished", "finished"]


def test_comparison_shows_what_differs_and_nothing_else(tmp_path: Path) -> None:
    folders = [
        make(tmp_path / "a", "train.lr=0.001").folder,
        make(tmp_path / "b", "train.lr=0.002", "name=other", lines=1).folder,
    ]
    comparison = compare_runs(folders)
    assert comparison["differences"] == {"train.lr": [0.001, 0.002]}
    assert comparison["same_data"] is True
    shown = render_comparison(comparison)
    assert "| dev bpb, best | 1.3000 | 1.4000 |" in shown
    assert "cannot be compared" not in shown
    other = make(tmp_path / "c", data="def").folder
    assert "cannot be compared" in render_comparison(compare_runs([folders[0], other]))


def test_plot(tmp_path: Path) -> None:
    folders = [make(tmp_path / "海").folder, make(tmp_path / "山", lines=1).folder]
    empty = make(tmp_path / "empty")
    (empty.folder / "metrics.jsonl").unlink()
    out = tmp_path / "plots" / "both.svg"
    without = plot_runs([*folders, empty.folder], out, metric="bits_per_byte", split="dev", over="targets")
    assert without == [str(empty.folder)]
    drawn = out.read_text("utf-8")
    assert "海" in drawn
    assert "target tokens" in drawn
    with pytest.raises(CheckpointError, match="no run has 'nosuch'"):
        plot_runs(folders, out, metric="nosuch", split="dev", over="step")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "a"], "two runs or more"),
        (["compare", "a", "b"], "a holds no run"),
        (["plot", "nowhere"], "nowhere holds no run"),
        (["plot", "nowhere", "--over", "miles"], "miles"),
        (["list", "nowhere"], "no folder nowhere"),
    ],
)
def test_mistakes(arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["runs", *arguments])
    assert (result.exit_code, message in result.stderr) == (2, True), result.output


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no runs in runs, sweeps" in CliRunner().invoke(app, ["runs", "list"]).stdout
    make(Path("runs") / "a", "train.lr=0.001")
    make(Path("runs") / "b", "train.lr=0.002")
    listed = CliRunner().invoke(app, ["runs", "list"]).stdout
    assert "30/30" in listed
    compared: dict[str, Any] = json.loads(
        CliRunner().invoke(app, ["runs", "compare", "runs/a", "runs/b", "--json"]).stdout
    )
    assert compared["differences"] == {"train.lr": [0.001, 0.002]}
    assert "Written to runs.svg" in CliRunner().invoke(app, ["runs", "plot", "runs/a", "runs/b"]).stdout
    assert (tmp_path / "runs.svg").is_file()
