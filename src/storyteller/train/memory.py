"""How much memory this process has needed, and what to do when there was not enough."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import torch

from storyteller.errors import TrainingError

__all__ = ["advising_on_memory", "peak_memory"]


def peak_memory(device: torch.device) -> int:
    """Peak bytes so far: allocated on the GPU where there is one, else resident in this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kilobytes on Linux, bytes on macOS


_RELIEF = (
    "train.rows=1 with a larger train.accumulate (the same result), train.gradient_checkpointing=true (slower), "
    "data.context=256 (shorter passages)"
)


@contextlib.contextmanager
def advising_on_memory(relief: str = _RELIEF) -> Iterator[None]:
    """Turn an allocator's failure into a `TrainingError` that names the settings that help, the mildest first."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise TrainingError(
            f"there is not enough memory for this recipe; the last checkpoint is kept. What helps, the mildest first: {relief}."
        ) from error
