"""Checkpoints: whole or passed over, and never silently another model's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_model as read_weights
from safetensors.torch import save_model as write_weights
from torch import nn

from storyteller.errors import CheckpointError
from storyteller.recipe import Recipe, TrainRecipe
from storyteller.runs import Run, file_sha256, write_json
from storyteller.train.checkpoint import (
    State,
    clear_leftovers,
    load_checkpoint,
    newest_whole,
    rotate,
    save_checkpoint,
)
from storyteller.train.optim import build_optimizer


class Trained:
    """A small model after some steps, in a run."""

    def __init__(self, folder: Path) -> None:
        self.run = Run.create(folder, Recipe(), asked=Recipe(), data={})
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
        self.optimizer = build_optimizer(self.model, TrainRecipe(lr=0.1))

    def step(self, number: int) -> Path:
        self.optimizer.zero_grad()
        self.model(torch.full((2, 3), float(number))).sum().backward()
        self.optimizer.step()
        state = State(step=number, targets=7 * number, best_loss=1.5, best_step=1, last_loss=2.5)
        return save_checkpoint(self.run, state, self.model, self.optimizer, self.save)

    def save(self, part: Path) -> None:
        write_weights(self.model, str(part / "model.safetensors"))

    def load(self, folder: Path) -> None:
        read_weights(self.model, str(folder / "model.safetensors"))


@pytest.fixture
def trained(tmp_path: Path) -> Trained:
    return Trained(tmp_path / "run")


def test_weights_and_moments_come_back(trained: Trained, tmp_path: Path) -> None:
    trained.step(1)
    folder = trained.step(2)
    assert sorted(path.name for path in folder.iterdir()) == [
        "model.safetensors", "optimizer.safetensors", "state.json",
    ]  # fmt: skip
    expected = trained.step(3)
    other = Trained(tmp_path / "other")
    state = load_checkpoint(folder, other.model, other.optimizer, other.load)
    assert (state.step, state.targets, state.best_loss, state.best_step, state.last_loss) == (2, 14, 1.5, 1, 2.5)
    again = other.step(3)
    for name in ("model.safetensors", "optimizer.safetensors"):
        assert (again / name).read_bytes() == (expected / name).read_bytes()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
def test_damage_is_found_and_passed_over(trained: Trained, name: str, damage: Callable[[Path], None]) -> None:
    good, bad = trained.step(1), trained.step(2)
    if (name, damage) == ("state.json", flip):
        (bad / name).write_text('{"files": {"model.safetensors": 3}}')
    else:
        damage(bad / name)
    assert newest_whole(trained.run) == (good, [bad])
    with pytest.raises(CheckpointError, match=r"delete that folder"):
        load_checkpoint(bad, trained.model, trained.optimizer, trained.load)


def test_a_state_of_another_version_is_damage(trained: Trained) -> None:
    good, bad = trained.step(1), trained.step(2)
    values = json.loads((bad / "state.json").read_text())
    del values["worse"]
    write_json(bad / "state.json", values)
    assert newest_whole(trained.run) == (good, [bad])


def test_exchanged_weights_are_refused(trained: Trained) -> None:
    old, new = trained.step(1), trained.step(2)
    (new / "model.safetensors").write_bytes((old / "model.safetensors").read_bytes())
    values = json.loads((new / "state.json").read_text())
    values["files"]["model.safetensors"]["sha256"] = file_sha256(new / "model.safetensors")
    write_json(new / "state.json", values)
    with pytest.raises(CheckpointError, match="not those that were saved"):
        load_checkpoint(new, trained.model, trained.optimizer, trained.load)


def test_weights_that_were_not_loaded_are_noticed(trained: Trained) -> None:
    folder = trained.step(1)
    trained.step(2)
    with pytest.raises(CheckpointError, match="not those that were saved"):
        load_checkpoint(folder, trained.model, trained.optimizer, lambda _: None)


def test_moments_of_another_model_are_refused(trained: Trained) -> None:
    folder = trained.step(1)
    frozen = Trained(trained.run.folder.parent / "other")
    frozen.model[0].requires_grad_(False)
    with pytest.raises(CheckpointError):
        load_checkpoint(folder, frozen.model, build_optimizer(frozen.model, TrainRecipe()), frozen.load)


def test_rotation_keeps_the_newest_and_the_best(trained: Trained) -> None:
    folders = [trained.step(number) for number in range(1, 7)]
    trained.run.point("best", folders[1], step=2)
    rotate(trained.run, 2)
    assert sorted(trained.run.checkpoints.iterdir()) == [folders[1], folders[4], folders[5]]


def test_the_newest_is_so_by_number(trained: Trained) -> None:
    trained.step(999_999)
    newest = trained.step(1_000_000)
    assert newest_whole(trained.run) == (newest, [])
    rotate(trained.run, 1)
    assert list(trained.run.checkpoints.iterdir()) == [newest]


def test_no_checkpoint_yet(trained: Trained) -> None:
    assert newest_whole(trained.run) == (None, [])


def test_a_failure_while_saving_leaves_nothing_half(trained: Trained) -> None:
    first = trained.step(1)

    def full(part: Path) -> None:
        (part / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        save_checkpoint(trained.run, State(step=2), trained.model, trained.optimizer, full)
    assert list(trained.run.checkpoints.iterdir()) == [first]


def test_what_killed_processes_left_is_cleared(trained: Trained) -> None:
    first = trained.step(1)
    (trained.run.checkpoints / ".step-000002.77.part").mkdir()
    clear_leftovers(trained.run)
    assert list(trained.run.checkpoints.iterdir()) == [first]
