"""Two processes are the same run as one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tests.train.conftest import MakeRecipe

from storyteller.recipe.load import dump_recipe, load_recipe
from storyteller.runs import Run
from storyteller.train import finetune


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "full", "adalora", "prompt"])
def test_one_process_and_two_agree(small: MakeRecipe, tmp_path: Path, method: str) -> None:
    recipe = small(
        f"model.method={method}",
        "train.accumulate=4",
        "train.evaluate_rows=5",
        "train.lr=0.002",
        "train.save_minutes=0.001",
    )
    one = finetune(recipe, tmp_path / "one")
    written = tmp_path / "recipe.yaml"
    written.write_text(dump_recipe(recipe), encoding="utf-8")
    script = tmp_path / "run.py"
    script.write_text("from storyteller.cli import main\nmain()\n")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", str(script)]
    command = [*launcher, "finetune", str(written), "train.accumulate=2", "--out", str(tmp_path / "two")]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    two = Run.open(tmp_path / "two")
    (path,) = one.final.glob("*model.safetensors")
    expected, found = load_file(path), load_file(two.final / path.name)
    assert max(float((expected[name] - found[name]).abs().max()) for name in expected) < 1e-5
    for a, b in zip(one.metrics(), two.metrics(), strict=True):
        assert (a["step"], a["split"]) == (b["step"], b["split"])
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-4)
        assert a.get("targets") == b.get("targets")
    assert load_recipe(two.recipe_path).train.accumulate == 2
