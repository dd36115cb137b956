"""Several processes as one run: how they find each other, and what happens when one of them is gone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta

from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs

from storyteller.errors import TrainingError
from storyteller.models.precision import Precision

__all__ = ["open_accelerator", "telling_lost_processes"]

#: How long a process waits for the others before it gives up: tokenizing a large corpus is done by one while all wait.
_TIMEOUT = timedelta(minutes=30)

_LOST = (
    "connection closed by peer",
    "connection reset by peer",
    "broken pipe",
    "timed out",
    "socket",
    "remote process",
)


def open_accelerator(precision: Precision) -> Accelerator:
    """The processes of this run, computing in a precision."""
    # Accelerate holds one precision a process; an earlier run's must not bind this one.
    AcceleratorState._reset_state()
    return Accelerator(
        mixed_precision={"float32": "no", "bfloat16": "bf16", "float16": "fp16"}[precision],
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_TIMEOUT)],
    )


@contextlib.contextmanager
def telling_lost_processes(processes: int) -> Iterator[None]:
    """Turn the failure of a collective operation into a `TrainingError` that says what to do.

    A process that is killed closes its connections, so the others notice at once; one that hangs is noticed after `_TIMEOUT`.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if processes == 1 or not (_distributed(error) or any(word in text.lower() for word in _LOST)):
            raise
        raise TrainingError(
            f"one of the {processes} processes of this run is gone or no longer answers ({text.splitlines()[0][:200]}). The "
            "last checkpoint is kept; go on with the same command and --resume FOLDER. Why it ended stands above, or in the "
            "log of its machine; most often memory ran out."
        ) from error


def _distributed(error: RuntimeError) -> bool:
    from torch import distributed

    return isinstance(error, distributed.DistError)
