"""Checkpoints: a folder that is whole or not there, in safetensors and JSON only.

    checkpoints/step-000500/
      adapter_model.safetensors | model.safetensors   as PEFT or transformers write them, with config and tokenizer
      optimizer.safetensors                           moments by parameter name
      state.json                                      step, counters, and the size and SHA-256 of every other file

Random state is not saved because there is none to save: the batch, the learning rate and the dropout seed are functions of
the step.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from storyteller.errors import CheckpointError
from storyteller.runs import Run, file_sha256, read_json, replacing_folder, write_json
from storyteller.runs.console import say
from storyteller.train.optim import trainable

__all__ = [
    "State",
    "clear_leftovers",
    "load_checkpoint",
    "moments",
    "newest_whole",
    "restore_moments",
    "rotate",
    "save_checkpoint",
    "set_aside",
]

SaveModel = Callable[[Path], None]
LoadModel = Callable[[Path], None]


@dataclass(slots=True)
class State:
    """Where a run stands: everything that the loop carries from one step to the next, besides weights and moments."""

    step: int = 0
    targets: int = 0
    best_loss: float | None = None
    best_step: int = 0
    worse: int = 0
    last_loss: float | None = None
    smoothed: float | None = None
    lowest: float | None = None
    tensors: str = ""

    def to_json(self) -> dict[str, Any]:
        """The state as a JSON object."""
        return dataclasses.asdict(self)


def save_checkpoint(
    run: Run, state: State, model: nn.Module, optimizer: torch.optim.Optimizer, save_model: SaveModel
) -> Path:
    """Write a checkpoint of this step and return its folder; a kill leaves it whole or absent."""
    from safetensors.torch import save_file

    folder = run.checkpoints / f"step-{state.step:06d}"
    with replacing_folder(folder) as part:
        save_model(part)
        save_file(moments(model, optimizer), part / "optimizer.safetensors")
        files = {
            path.relative_to(part).as_posix(): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
            for path in sorted(part.rglob("*"))
            if path.is_file()
        }
        state.tensors = _fingerprint(model)
        write_json(part / "state.json", {**state.to_json(), "files": files})
    return folder


def load_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, load_model: LoadModel) -> State:
    """Fill `model` and `optimizer` from `folder` and return the state that was saved with them.

    Raises `CheckpointError` when the loaded weights are not those that were saved: a resume that silently starts over
    is the worst kind of success.
    """
    from safetensors.torch import load_file

    state = _verified(folder)
    load_model(folder)
    if _fingerprint(model) != state.tensors:
        raise CheckpointError(f"the weights loaded from {folder} are not those that were saved; was a file exchanged?")
    restore_moments(model, optimizer, load_file(folder / "optimizer.safetensors"), folder)
    return state


def newest_whole(run: Run) -> tuple[Path | None, list[Path]]:
    """The newest checkpoint that passes its hashes, and the damaged ones that are newer than it."""
    damaged = []
    for folder in reversed(_by_step(run)):
        try:
            _verified(folder)
        except CheckpointError:
            damaged.append(folder)
        else:
            return folder, damaged
    return None, damaged


def set_aside(run: Run, damaged: Sequence[Path]) -> None:
    """Say which checkpoints are damaged, and rename them: as the newest they would push out what is saved from now on."""
    for folder in damaged:
        other = folder.with_name(f"damaged-{folder.name}")
        shutil.rmtree(other, ignore_errors=True)
        folder.replace(other)
        say(f"{folder} is damaged and is passed over; it is kept as {other.name}")
        run.event(f"damaged checkpoint passed over: {folder.name}, kept as {other.name}")


def rotate(run: Run, keep: int) -> None:
    """Delete all checkpoints but the newest `keep` and the best."""
    best = run.pointed("best")
    for folder in _by_step(run)[:-keep]:
        if best is None or folder != best[0]:
            shutil.rmtree(folder, ignore_errors=True)


def clear_leftovers(run: Run) -> None:
    """Delete the unfinished folders that killed processes left among the checkpoints."""
    for folder in run.checkpoints.glob(".step-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _by_step(run: Run) -> list[Path]:
    # A millionth step has a longer name.
    return sorted(run.checkpoints.glob("step-*"), key=lambda folder: (len(folder.name), folder.name))


def _verified(folder: Path) -> State:
    """The saved state, after every file that was saved with it has been checked."""
    advice = "delete that folder to go on from an earlier checkpoint"
    try:
        values = read_json(folder / "state.json")
        later = {"smoothed": None, "lowest": None}  # checkpoints of the first version have no such fields
        state = State(**{field.name: (later | values)[field.name] for field in dataclasses.fields(State)})
        files = {folder / name: (noted["bytes"], noted["sha256"]) for name, noted in values["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder / 'state.json'} cannot be read ({error!r}); {advice}.") from None
    for path, (size, sha256) in files.items():
        if not path.is_file() or path.stat().st_size != size or file_sha256(path) != sha256:
            raise CheckpointError(f"{path} is damaged or missing; {advice}.")
    return state


def moments(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimizer's state by parameter name, on the CPU."""
    return {
        f"{name}/{key}": value.detach().cpu().contiguous()
        for name, parameter in trainable(model).items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_moments(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor], folder: Path | str
) -> None:
    """Put what `moments` gave back; `CheckpointError` when `folder`'s state is of a parameter that is not trained."""
    parameters = trainable(model)
    for key, value in tensors.items():
        name, _, moment = key.rpartition("/")
        if name not in parameters:
            raise CheckpointError(f"{folder} holds optimizer state for {name}, which this model does not train.")
        parameter = parameters[name]
        device = torch.device("cpu") if moment == "step" else parameter.device
        optimizer.state.setdefault(parameter, {})[moment] = value.to(device)


def _fingerprint(model: nn.Module) -> str:
    """A digest of the names and bytes of the trained weights."""
    digest = hashlib.blake2b(digest_size=8)
    for name, parameter in trainable(model).items():
        digest.update(name.encode())
        digest.update(parameter.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
