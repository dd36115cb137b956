"""Whole models read and written one tensor at a time, so that memory holds a tensor of each and not the models."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from storyteller.errors import ModelError

__all__ = ["Weights", "check_alike", "check_finite", "write_stream"]

_NAMES = {"torch.float32": "F32", "torch.bfloat16": "BF16", "torch.float16": "F16", "torch.float64": "F64",
          "torch.int64": "I64", "torch.int32": "I32", "torch.uint8": "U8", "torch.bool": "BOOL"}  # fmt: skip
_BYTES = {"F32": 4, "BF16": 2, "F16": 2, "F64": 8, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1}


class Weights:
    """The tensors of a transformers folder by name, in one file or in several; read when they are asked for."""

    def __init__(self, folder: Path) -> None:
        from safetensors import SafetensorError, safe_open

        self.folder = folder
        self._stack = ExitStack()
        self._files: dict[str, Any] = {}
        for path in sorted(folder.glob("model*.safetensors")):
            try:
                opened = self._stack.enter_context(safe_open(path, framework="pt"))
            except (OSError, SafetensorError) as error:
                raise ModelError(f"{path} cannot be read ({str(error).splitlines()[0]}); fetch it again.") from None
            self._files |= dict.fromkeys(opened.keys(), opened)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def names(self) -> list[str]:
        """All names, in alphabetical order."""
        return sorted(self._files)

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, from the header alone."""
        return tuple(self._files[name].get_slice(name).get_shape())

    def kind(self, name: str) -> str:
        """A tensor's element type as safetensors calls it, such as F32."""
        return str(self._files[name].get_slice(name).get_dtype())

    def read(self, name: str) -> Tensor:
        """The tensor."""
        tensor: Tensor = self._files[name].get_tensor(name)
        return tensor


def write_stream(path: Path, like: Weights, tensor: Callable[[str], Tensor]) -> None:
    """Write a safetensors file with the names, shapes and types of `like`, each tensor made and written in turn.

    The header comes first and holds every place, which shapes and types tell beforehand.
    """
    from safetensors.torch import save

    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name in like.names:
        size = _BYTES[like.kind(name)]
        for length in like.shape(name):
            size *= length
        header[name] = {"dtype": like.kind(name), "shape": like.shape(name), "data_offsets": [place, place + size]}
        place += size
    start = json.dumps(header).encode()
    start += b" " * (-len(start) % 8)
    with path.open("wb") as file:
        file.write(len(start).to_bytes(8, "little") + start)
        for name in like.names:
            made = tensor(name)
            if tuple(made.shape) != like.shape(name) or _NAMES[str(made.dtype)] != like.kind(name):
                raise ModelError(f"{name} was merged to {tuple(made.shape)} {made.dtype}: report this.")
            saved = save({name: made.contiguous()})  # after its own header, the bytes as they lie in memory
            file.write(memoryview(saved)[8 + int.from_bytes(saved[:8], "little") :])
        file.flush()
        os.fsync(file.fileno())


def check_alike(first: Weights, other: Weights, names: tuple[str, str]) -> None:
    """Raise `ModelError` unless two models have the same tensors in the same shapes."""
    mine, theirs = _shapes(first), _shapes(other)
    wrong = sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
    if wrong:
        raise ModelError(
            f"{names[0]} and {names[1]} are not of one architecture: {len(wrong)} tensors differ, the first is "
            f"{wrong[0]} ({mine.get(wrong[0], 'missing')} and {theirs.get(wrong[0], 'missing')})."
        )


def check_finite(tensor: Tensor, name: str, folder: Path) -> None:
    """Raise `ModelError` for a NaN or an infinity: even with a weight of 0 it would spoil what the tensor is merged into."""
    # The smallest and the largest value tell of both, and take no memory.
    if not all(math.isfinite(value) for value in tensor.aminmax()):
        raise ModelError(
            f"{name} in {folder} holds numbers that are not finite: the weights are damaged. Leave this model out, or "
            "fetch or train it again."
        )


def _shapes(weights: Weights) -> Mapping[str, tuple[int, ...]]:
    return {name: weights.shape(name) for name in weights.names}
