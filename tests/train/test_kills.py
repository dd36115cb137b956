"""kill -9 at random moments: what was saved stays whole, and going on ends where an undisturbed run ends."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests.train.conftest import MakeRecipe

from storyteller.recipe.load import dump_recipe
from storyteller.runs import Run
from storyteller.train import finetune
from storyteller.train.checkpoint import newest_whole

#: Imports once, then forks: a child trains until it is killed after so many seconds, or to its end.
_DRIVER = """
import os, signal, sys, time
from pathlib import Path
from storyteller.recipe import load_recipe
from storyteller.train.finetune import finetune

recipe, folder = load_recipe(Path(sys.argv[1])), Path(sys.argv[2])
for seconds in [*map(float, sys.argv[3:]), None]:
    child = os.fork()
    if not child:
        code = 1
        try:
            finetune(recipe, folder, resume=(folder / "recipe.yaml").exists())
            code = 0
        finally:
            os._exit(code)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    whole = sum((path / "state.json").exists() for path in folder.glob("checkpoints/step-*"))
    print("killed" if os.WIFSIGNALED(status) else "finished", whole, flush=True)
"""


@pytest.mark.slow
def test_kills_at_random_moments(small: MakeRecipe, tmp_path: Path) -> None:
    recipe = small("train.steps=30", "train.save_every=1", "train.evaluate_every=3", "model.lora.dropout=0.1")
    (tmp_path / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
    whole = finetune(recipe, tmp_path / "whole")
    chance = random.Random(7)
    moments = [f"{chance.uniform(0.1, 1.5):.3f}" for _ in range(12)]
    command = [sys.executable, "-c", _DRIVER, str(tmp_path / "recipe.yaml"), str(tmp_path / "parts"), *moments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1].startswith("finished")
    assert done.stdout.count("killed") >= 2
    assert "is damaged" not in done.stderr
    parts = Run.open(tmp_path / "parts")
    assert newest_whole(parts)[1] == []
    assert (parts.final / "adapter_model.safetensors").read_bytes() == (
        whole.final / "adapter_model.safetensors"
    ).read_bytes()
    told = [[(line["step"], line["split"], line["loss"]) for line in run.metrics()] for run in (whole, parts)]
    assert told[0] == told[1]
    assert not [path for path in parts.folder.rglob(".*.part") if path.is_dir()]
