"""A pipeline runs what is left of it, and nothing twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from storyteller.cli import app
from storyteller.errors import CheckpointError, ModelError, RecipeError, TrainingError
from storyteller.models import locate
from storyteller.recipe.load import change_values, recipe_of
from storyteller.runs.reading import find_runs
from storyteller.stages.pipeline import plan_pipeline, run_pipeline


@pytest.fixture
def values(tmp_path: Path) -> dict[str, Any]:
    stories = tmp_path / "stories"
    stories.mkdir()
    return {
        "name": "sea",
        "model": {"base": "smollm2-135m-instruct"},
        "train": {"steps": 4, "lr": 0.01},
        "pipeline": [
            {"stage": "prepare", "paths": [str(stories)], "options": {"min_words": 5, "young_readers": True}},
            {"stage": "finetune"},
            {"stage": "finetune", "change": {"train.lr": 0.001, "data.context": 64}},
            {"stage": "evaluate", "options": {"split": "dev", "prompted": False}},
        ],
    }


def names(started: Sequence[Sequence[str]]) -> list[str]:
    return [words[0] for words in started]


def test_each_stage_reads_what_the_ones_before_it_left(values: dict[str, Any], tmp_path: Path) -> None:
    prepare, first, second, evaluate = plan_pipeline(values, tmp_path / "out")
    stories = str(tmp_path / "out" / "1-prepare")
    assert prepare.arguments[-3:] == ("--min-words", "5", "--young-readers")
    assert first.values == {
        "name": "sea-finetune", "model": {"base": "smollm2-135m-instruct"}, "train": {"steps": 4, "lr": 0.01},
        "data": {"path": stories},
    }  # fmt: skip
    assert second.values is not None
    assert second.values["model"]["base"] == str(first.folder)
    assert second.values["train"] == {"steps": 4, "lr": 0.001}
    assert second.values["data"] == {"path": stories, "context": 64}
    assert evaluate.arguments == (
        "evaluate", "smollm2-135m-instruct", str(first.folder), str(second.folder), "--data", stories,
        "--out", str(evaluate.folder), "--split", "dev",
    )  # fmt: skip
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("new", [{"size": "1m"}, {"shape": {"layers": 2, "width": 32, "heads": 2}}])
def test_what_follows_a_pretraining_goes_on_with_its_model(
    values: dict[str, Any], tmp_path: Path, new: dict[str, Any]
) -> None:
    values["model"] = {**new, "method": "lora"}
    values["pipeline"][2] = {"stage": "refine"}
    with pytest.raises(RecipeError, match=r"pipeline, finetune: the recipe makes a new model.*stage: pretrain"):
        plan_pipeline(values, tmp_path / "out")
    values["pipeline"].insert(1, {"stage": "pretrain", "change": {"data.context": 96}})
    _, pretrain, *others, _ = plan_pipeline(values, tmp_path / "out")
    assert pretrain.values is not None
    assert pretrain.values["model"]["method"] == "full"
    for stage, before in zip(others, (pretrain, others[0]), strict=True):
        recipe = recipe_of(stage.values or {})
        assert (recipe.pretrain, recipe.model.method) == (None, "lora")
        assert recipe.model.base == str(before.folder)
        assert recipe.data.context == 96


def test_its_runs_are_found_and_it_is_none(
    quick_children: list[Sequence[str]], values: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_pipeline(values, out)
    assert list(find_runs(tmp_path)) == [out / "2-finetune", out / "3-finetune"]
    with pytest.raises(ModelError, match=r"is a pipeline; its models are .*2-finetune, .*3-finetune\."):
        locate(out)


def test_what_is_complete_is_skipped(
    quick_children: list[Sequence[str]], values: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_pipeline(values, tmp_path / "out")
    assert names(quick_children) == ["prepare", "finetune", "finetune", "evaluate"]
    told = capfd.readouterr().err
    assert "stage 2 of 4 (finetune): storyteller finetune" in told
    assert "  reading" in told
    run_pipeline(values, tmp_path / "out")
    assert len(quick_children) == 4
    assert capfd.readouterr().err.count("complete, skipped") == 4
    # A product that is gone is made again, and only that.
    (tmp_path / "out" / "4-evaluate" / "report.json").unlink()
    run_pipeline(values, tmp_path / "out")
    assert names(quick_children)[4:] == ["evaluate"]


def test_a_failure_names_the_stage_and_its_reason(
    quick_children: list[Sequence[str]], values: dict[str, Any], tmp_path: Path
) -> None:
    broken = change_values(values, {})
    broken["pipeline"] = [*values["pipeline"][:2], {"stage": "finetune", "change": {"train.lr": 0.9}}]
    with pytest.raises(TrainingError, match=r"stage 3 of 3 \(finetune\) failed: step 1: the loss is nan"):
        run_pipeline(broken, tmp_path / "out")
    mended = {**broken, "pipeline": [*values["pipeline"][:2], {"stage": "finetune", "change": {"train.lr": 0.2}}]}
    with pytest.raises(CheckpointError, match=r"stage 3 of 3.*\n  train.lr: 0.9  ->  0.2"):
        run_pipeline(mended, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "3-finetune")
    run_pipeline(mended, tmp_path / "out")
    assert names(quick_children) == ["prepare", "finetune", "finetune", "finetune"]


def test_other_settings_are_refused_before_anything_runs(
    quick_children: list[Sequence[str]], values: dict[str, Any], tmp_path: Path
) -> None:
    run_pipeline(values, tmp_path / "out")
    changed = change_values(values, {"train.steps": 9})
    with pytest.raises(CheckpointError, match=r"stage 2 of 4.*made with other settings:\n  train.steps: 4  ->  9"):
        run_pipeline(changed, tmp_path / "out")
    assert len(quick_children) == 4
    (tmp_path / "out" / "pipeline.json").write_text("[1")
    with pytest.raises(CheckpointError, match=r"pipeline.json is damaged"):
        run_pipeline(values, tmp_path / "out")
    (tmp_path / "out" / "pipeline.json").unlink()
    with pytest.raises(CheckpointError, match="not from this pipeline"):
        run_pipeline(values, tmp_path / "out")


_DRIVER = """
import sys
from pathlib import Path
import storyteller.stages.pipeline as pipeline
from tests.stages.conftest import starter
from storyteller.recipe.load import read_values

pipeline.start_child, pipeline._ROUND = starter([]), 0.02
try:
    pipeline.run_pipeline(read_values(Path(sys.argv[1])), Path(sys.argv[2]))
except KeyboardInterrupt as stop:
    print(stop)
    sys.exit(130)
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_pipeline_that_is_ended_goes_on_where_it_was(
    quick_children: list[Sequence[str]], values: dict[str, Any], tmp_path: Path, sent: signal.Signals
) -> None:
    values["train"]["steps"] = 100
    values["pipeline"] = values["pipeline"][:2]
    file, out = tmp_path / "recipe.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    environment = os.environ | {"STORYTELLER_TEST_PAUSE": "0.02", "PYTHONPATH": os.pathsep.join(["src", "."])}
    with subprocess.Popen(
        [sys.executable, "-c", _DRIVER, str(file), str(out)], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        until = time.monotonic() + 60
        while not (out / "2-finetune" / "last.json").exists():
            assert time.monotonic() < until
            time.sleep(0.01)
        parent.send_signal(sent)
        told = parent.communicate(timeout=60)[0]
    if sent == signal.SIGINT:
        assert (parent.returncode, "stopped in stage 2 of 2 (finetune)" in told) == (130, True)
    run_pipeline(values, out)
    lines = (out / "2-finetune" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 101))
    # After Ctrl-C the stage is resumed; after a kill -9 its child was left alone and has been waited for.
    assert [words[:2] for words in quick_children] == ([["finetune", "--resume"]] if sent == signal.SIGINT else [])


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        (None, "has no pipeline"),
        ([], "at least 1 item"),
        ([{"stage": "prepare"}], "prepare needs paths"),
        ([{"stage": "prepare", "paths": ["nowhere"]}], "there is no nowhere"),
        ([{"stage": "finetune", "paths": ["x"]}], "paths are for prepare"),
        ([{"stage": "finetune", "options": {"a": 1}}], "options are for"),
        ([{"stage": "evaluate", "change": {"a": 1}}], "change is for"),
        ([{"stage": "finetune", "change": {"train.lrr": 1}}], "pipeline, finetune:.*did you mean train.lr"),
        ([{"stage": "evaluate"}], "no training before it"),
        ([{"stage": "dance"}], "dance"),
    ],
)
def test_pipelines_that_cannot_be(pipeline: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        run_pipeline({"pipeline": pipeline}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command(quick_children: list[Sequence[str]], values: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(values), encoding="utf-8")
    command = ["run", str(file), "train.steps=2", "--out", str(tmp_path / "out")]
    planned = CliRunner().invoke(app, [*command, "--dry-run"])
    assert "stage 4 of 4 (evaluate): storyteller evaluate smollm2-135m-instruct" in planned.stdout
    assert quick_children == []
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "is complete: 1-prepare, 2-finetune, 3-finetune, 4-evaluate" in done.stdout
    assert next(iter(json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)["stages"])) == "1-prepare"


def test_each_stage_has_the_blocks_that_are_its_own(values: dict[str, Any], tmp_path: Path) -> None:
    shown = {"path": "data/own", "views": 2, "tasks": {"write": 1.0}}
    values |= {"refine": {"trainer": "coop"}, "samples": {"words": 9}, "data": shown, "pipeline": [
        {"stage": "finetune", "change": {"train.dropout": 0.1}},
        {"stage": "refine"},
        {"stage": "evaluate", "options": {"suite": "masked"}},
    ]}  # fmt: skip
    first, second, third = plan_pipeline(values, tmp_path / "out")
    assert first.values is not None
    assert "refine" not in first.values
    assert second.values is not None
    assert second.values["refine"] == {"trainer": "coop"}
    assert (first.values["samples"], first.values["data"]) == ({"words": 9}, shown)
    assert "samples" not in second.values
    assert second.values["data"] == {"path": "data/own"}  # how fine-tuning shows stories is for it alone
    assert third.product.name == "masked.json"
