"""Two processes are the same run as one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import psutil
import pytest
import torch
from safetensors.torch import load_file
from tests.train.conftest import MakeRecipe

from storyteller.errors import TrainingError
from storyteller.models import load_model, locate
from storyteller.models.adapters.bottleneck import apply_bottleneck
from storyteller.recipe import Recipe
from storyteller.recipe.load import dump_recipe, load_recipe
from storyteller.recipe.methods import BottleneckRecipe
from storyteller.runs import Run
from storyteller.train import finetune
from storyteller.train.processes import telling_lost_processes
from storyteller.train.sharding import check_sharding, layers


def launcher(folder: Path, *arguments: str, processes: int = 2) -> list[str]:
    """The command that starts `storyteller ARGUMENTS` as two processes, or another number."""
    script = folder / "run.py"
    script.write_text("from storyteller.cli import main\nmain()\n")
    return [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        str(processes),
        "--standalone",
        str(script),
        *arguments,
    ]


ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "parallel"),
    [
        ("lora", "data"),
        ("full", "data"),
        ("adalora", "data"),
        ("prompt", "data"),
        ("lora", "sharded"),
        ("full", "sharded"),
    ],
)
def test_one_process_and_two_agree(small: MakeRecipe, tmp_path: Path, method: str, parallel: str) -> None:
    recipe = small(
        f"model.method={method}",
        "train.accumulate=4",
        "train.evaluate_rows=5",
        "train.lr=0.002",
        "train.save_minutes=0.001",
        f"train.parallel={parallel}",
    )
    one, two = alone_and_in_two(recipe, tmp_path)
    (path,) = one.final.glob("*model.safetensors")
    expected, found = load_file(path), load_file(two.final / path.name)
    assert max(float((expected[name] - found[name]).abs().max()) for name in expected) < 1e-5
    for a, b in zip(one.metrics(), two.metrics(), strict=True):
        assert (a["step"], a["split"]) == (b["step"], b["split"])
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-4)
        assert a.get("targets") == b.get("targets")
        assert a.get("grad_norm", 0.0) == pytest.approx(b.get("grad_norm", 0.0), rel=1e-3)
    assert load_recipe(two.recipe_path).train.accumulate == 2
    # The moments are whole, too: what two processes have saved, one can go on with.
    moments = [load_file(run.checkpoints / "step-000006" / "optimizer.safetensors") for run in (one, two)]
    assert moments[0].keys() == moments[1].keys()
    assert all(torch.allclose(moments[0][name], moments[1][name], atol=1e-5) for name in moments[0])


def alone_and_in_two(recipe: Recipe, folder: Path) -> tuple[Run, Run]:
    """The run of a recipe of four accumulated batches in one process, and in two of two each."""
    one = finetune(recipe, folder / "one")
    written = folder / "recipe.yaml"
    written.write_text(dump_recipe(recipe), encoding="utf-8")
    command = launcher(folder, "finetune", str(written), "train.accumulate=2", "--out", str(folder / "two"))
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr[-4000:]
    return one, Run.open(folder / "two")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["fgm", "ewc and replay", "smoothing and contrastive"])
def test_what_is_added_to_training_is_the_same_in_two_processes(
    small: MakeRecipe, corpus: Path, tmp_path: Path, way: str
) -> None:
    more = {
        "fgm": ["train.perturb={method: fgm, radius: 0.3}"],
        "ewc and replay": [f"continual={{old: {corpus}, ewc: 1000, replay: 0.5, fisher_rows: 6}}"],
        "smoothing and contrastive": ["train.label_smoothing=0.2", "train.contrastive={weight: 1.0}"],
    }[way]
    recipe = small("train.accumulate=4", "train.lr=0.002", *more)
    one, two = alone_and_in_two(recipe, tmp_path)
    (path,) = one.final.glob("*model.safetensors")
    expected, found = load_file(path), load_file(two.final / path.name)
    assert max(float((expected[name] - found[name]).abs().max()) for name in expected) < 1e-5
    if "ewc" in way:
        fishers = [load_file(run.folder / "fisher.safetensors") for run in (one, two)]
        assert fishers[0].keys() == fishers[1].keys()
        assert all(torch.allclose(fishers[0][name], fishers[1][name], rtol=1e-3, atol=1e-9) for name in fishers[0])
        assert any(fisher.max() > 0 for fisher in fishers[0].values())


@pytest.mark.slow
@pytest.mark.parametrize(("parallel", "left"), [("data", 2), ("data", 1), ("sharded", 2)])
def test_a_killed_process_ends_the_run_soon_and_it_goes_on_from_its_checkpoint(
    small: MakeRecipe, tmp_path: Path, parallel: str, left: int
) -> None:
    """One of two is killed: the error says so in seconds, and whoever resumes it ends where an undisturbed run ends."""
    recipe = small(
        "train.steps=24", "train.accumulate=1", "train.save_every=2", "train.evaluate_every=12", "train.rows=1",
        "train.lr=0.002", f"train.parallel={parallel}",
    )  # fmt: skip
    written = tmp_path / "recipe.yaml"
    written.write_text(dump_recipe(recipe), encoding="utf-8")
    folder = tmp_path / "two"
    log = tmp_path / "log.txt"
    with log.open("w") as output:
        started = subprocess.Popen(
            launcher(tmp_path, "finetune", str(written), "--out", str(folder)),
            stdout=output, stderr=output, env=ENVIRONMENT,
        )  # fmt: skip
        until = time.monotonic() + 240
        while not (folder / "last.json").exists():
            assert started.poll() is None, log.read_text()[-4000:]
            assert time.monotonic() < until
            time.sleep(0.02)
        workers = [child for child in psutil.Process(started.pid).children() if "run.py" in " ".join(child.cmdline())]
        victim = next(child for child in workers if child.environ()["RANK"] == "1")
        victim.kill()
        began = time.monotonic()
        assert started.wait(120) != 0
        assert time.monotonic() - began < 90
    told = log.read_text()
    assert "error: one of the 2 processes of this run is gone" in told, told[-4000:]
    assert "--resume" in told
    step = json.loads((folder / "last.json").read_text())["step"]
    assert 0 < step < 24
    again = launcher(tmp_path, "finetune", "--resume", str(folder), processes=left)
    done = subprocess.run(again, capture_output=True, text=True, timeout=300, check=False, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr[-4000:]
    assert "resumed at step" in done.stderr
    whole = finetune(recipe.model_copy(update={"train": recipe.train.model_copy(update={"rows": 2})}), tmp_path / "one")
    (path,) = whole.final.glob("*model.safetensors")
    expected, found = load_file(path), load_file(folder / "final" / path.name)
    assert max(float((expected[name] - found[name]).abs().max()) for name in expected) < 1e-5


def test_what_cannot_be_sharded_is_refused(small: MakeRecipe) -> None:
    def asked(processes: int, *overrides: str) -> bool:
        recipe, accelerator = small(*overrides), SimpleNamespace(num_processes=processes)
        return check_sharding(recipe, accelerator)  # type: ignore[arg-type]

    assert asked(2, "train.parallel=sharded")
    assert not asked(2, "train.parallel=data")
    assert not asked(1, "train.parallel=sharded")
    for overrides, message in [(["model.method=adalora"], "not adalora"), (["train.compile=true"], "train.compile")]:
        with pytest.raises(TrainingError, match=message):
            asked(2, "train.parallel=sharded", *overrides)


@pytest.mark.parametrize("architecture", ["tiny_llama", "tiny_gpt2"])
@pytest.mark.parametrize("kind", ["pfeiffer", "houlsby"])
def test_adapters_are_not_taken_for_layers(
    request: pytest.FixtureRequest, architecture: str, kind: Literal["pfeiffer", "houlsby"]
) -> None:
    model = load_model(locate(request.getfixturevalue(architecture)))
    expected = layers(model)
    assert len(expected) == 2
    assert layers(apply_bottleneck(model, BottleneckRecipe(kind=kind))) == expected


def test_only_a_lost_process_is_told_as_one() -> None:
    with pytest.raises(TrainingError, match=r"one of the 2 processes.*--resume"), telling_lost_processes(2):
        raise RuntimeError("[../gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1234")
    with pytest.raises(RuntimeError, match="Connection closed"), telling_lost_processes(1):
        raise RuntimeError("Connection closed by peer")
    with pytest.raises(RuntimeError, match="shapes"), telling_lost_processes(2):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
