"""A run's folder: made once, read after any kill, with a card that a model hub reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from storyteller.errors import CheckpointError, TrainingError
from storyteller.recipe import Recipe, load_recipe
from storyteller.runs import Metrics, Run, environment, home, models_home, stories_home
from storyteller.runs.card import write_card
from storyteller.runs.plot import plot_losses
from storyteller.runs.sinks import require_sinks


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "run", load_recipe(None, ["name=海豹"]), asked=Recipe(), data={"stories": 3})


def lines(run: Run) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text("utf-8").splitlines()]


def test_create_and_open(run: Run) -> None:
    assert Run.open(run.folder).recipe().name == "海豹"
    assert load_recipe(run.folder / "asked.yaml") == Recipe()
    assert json.loads((run.folder / "data.json").read_text())["stories"] == 3
    assert list(run.metrics()) == []
    assert run.pointed("best") is None


def test_a_run_is_not_written_over(run: Run) -> None:
    with pytest.raises(CheckpointError, match="--resume"):
        Run.create(run.folder, Recipe(), asked=Recipe(), data={})


def test_other_files_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "novel.md").touch()
    with pytest.raises(CheckpointError, match="another folder with --out"):
        Run.create(tmp_path, Recipe(), asked=Recipe(), data={})
    with pytest.raises(CheckpointError, match="--out"):
        Run.create(tmp_path / "novel.md", Recipe(), asked=Recipe(), data={})
    with pytest.raises(CheckpointError, match="holds no run"):
        Run.open(tmp_path)


def test_a_creation_that_was_killed_can_be_repeated(run: Run) -> None:
    run.recipe_path.unlink()
    (run.folder / ".recipe.yaml.77.part").touch()
    assert Run.create(run.folder, Recipe(), asked=Recipe(), data={}).recipe() == Recipe()


def test_pointers(run: Run) -> None:
    run.point("best", run.checkpoints / "step-000002", step=2, loss=1.5)
    assert run.pointed("best") == (
        run.checkpoints / "step-000002",
        {"checkpoint": "step-000002", "step": 2, "loss": 1.5},
    )
    for damaged in ("{", "[]", "{}"):
        (run.folder / "best.json").write_text(damaged)
        with pytest.raises(CheckpointError, match=r"best\.json is damaged"):
            run.pointed("best")


def test_the_environment_names_no_person_and_no_place() -> None:
    told = environment()
    assert told["versions"]["torch"]
    assert str(Path.home()) not in json.dumps({key: value for key, value in told.items() if key != "command"})


def test_a_line_cut_by_a_kill_is_left_out(run: Run) -> None:
    metrics = Metrics(run)
    metrics.write(1, "train", {"loss": 2.0})
    metrics.close()
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "split": "tra')
    assert [line["step"] for line in run.metrics()] == [1]


def test_a_resumed_run_has_each_step_once(run: Run) -> None:
    for first, upto in ((1, None), (4, 3)):
        metrics = Metrics(run, upto_step=upto)
        for step in range(first, 7):
            metrics.write(step, "train", {"loss": 1.0})
        metrics.close()
        with (run.folder / "metrics.jsonl").open("a") as file:
            file.write('{"step": 7, "spl')
    resumed = Metrics(run, upto_step=6)
    resumed.close()
    assert [line["step"] for line in lines(run)] == [1, 2, 3, 4, 5, 6]


def test_no_number_is_null(run: Run) -> None:
    metrics = Metrics(run)
    metrics.write(1, "dev", {"loss": float("nan"), "rate": float("inf"), "count": 7, "bits": 1 / 3})
    metrics.close()
    (line,) = lines(run)
    assert (line["loss"], line["rate"], line["count"], line["bits"]) == (None, None, 7, 0.333333)


def test_tensorboard(run: Run) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    metrics = Metrics(run, ["tensorboard"])
    for step in (1, 2):
        metrics.write(step, "dev", {"loss": float(step)})
    metrics.close()
    events = EventAccumulator(str(run.folder / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("dev/loss")] == [(1, 1.0), (2, 2.0)]


def test_a_missing_sink_is_told_before_the_run() -> None:
    require_sinks(["tensorboard"])
    with pytest.raises(TrainingError, match=r"pip install 'storyteller\[nosuchsink\]'"):
        require_sinks(["nosuchsink"])


def test_the_loss_curve(run: Run) -> None:
    assert plot_losses(run) is None
    metrics = Metrics(run)
    metrics.write(0, "dev", {"bits_per_byte": 2.0})
    metrics.write(1, "train", {"bits_per_byte": float("nan")})
    metrics.write(2, "dev", {"bits_per_byte": 1.0})
    metrics.close()
    path = plot_losses(run)
    assert path is not None
    assert path.read_text("utf-8").lstrip().startswith("<?xml")


@pytest.mark.parametrize(("method", "library"), [("lora", "peft"), ("full", "transformers")])
def test_model_card(tmp_path: Path, method: str, library: str) -> None:
    recipe = load_recipe(None, [f"model.method={method}", "name=海豹"])
    write_card(
        tmp_path,
        recipe,
        languages=["en", "zh"],
        licences={"CC0-1.0": 60, "": 3},
        figures={"dev bits per byte, best": 1.23456, "pipe|": "a|b"},
        data={"stories": 63},
        notes=["**It did not improve.**"],
    )
    text = (tmp_path / "README.md").read_text("utf-8")
    _, front, body = text.split("---\n", 2)
    told = yaml.safe_load(front)
    assert (told["base_model"], told["library_name"], told["language"]) == (recipe.model.base, library, ["en", "zh"])
    assert "# 海豹" in body
    assert "| CC0-1.0 | 60 |" in body
    assert "| dev bits per byte, best | 1.235 |" in body
    assert "a\\|b" in body
    assert "**It did not improve.**" in body
    assert yaml.safe_load(body.split("```yaml\n")[1].split("```")[0]) == recipe.model_dump(mode="json")


def test_home_is_one_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STORYTELLER_HOME", str(tmp_path))
    assert (home(), models_home(), stories_home()) == (tmp_path, tmp_path / "models", tmp_path / "stories")
    monkeypatch.delenv("STORYTELLER_HOME")
    assert home() == Path.home() / ".storyteller"
