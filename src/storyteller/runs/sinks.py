"""Where metrics go: always one JSON object a line in the run's folder, and to other places by name."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from storyteller.errors import TrainingError
from storyteller.runs.home import home
from storyteller.runs.run import Run

__all__ = ["Metrics", "require_sinks"]

Sink = Callable[[int, str, Mapping[str, float]], None]


class Metrics:
    """The writer of `metrics.jsonl` and of the sinks named in the recipe; it closes them all."""

    def __init__(self, run: Run, sinks: Sequence[str] = (), upto_step: int | None = None) -> None:
        self._started = time.monotonic()
        self._file = run.open_metrics(upto_step)
        self._closers: list[Callable[[], None]] = [self._file.close]
        self._sinks: list[Sink] = []
        for name in sinks:
            begin = {"tensorboard": self._tensorboard, "wandb": self._wandb, "trackio": self._trackio}[name]
            self._sinks.append(begin(run, upto_step if upto_step is not None and upto_step >= 0 else None))

    def write(self, step: int, split: str, values: Mapping[str, Any]) -> None:
        """One line: step, split ("train", "dev", ...), seconds since the start, and the values (NaN is written null).

        The sinks draw curves, so they get the numbers only; the reason of an alarm is for the file.
        """
        line: dict[str, Any] = {"step": step, "split": split, "seconds": round(time.monotonic() - self._started, 3)}
        line |= {key: _readable(value) for key, value in values.items()}
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        numbers = {key: value for key, value in values.items() if isinstance(value, int | float)}
        for sink in self._sinks:
            sink(step, split, numbers)

    def close(self) -> None:
        """Flush and close everything."""
        for close in reversed(self._closers):
            close()

    def _tensorboard(self, run: Run, resumed_at: int | None) -> Sink:
        from torch.utils.tensorboard import SummaryWriter

        # What a killed session had logged beyond the checkpoint is drawn once, as in metrics.jsonl.
        again = None if resumed_at is None else resumed_at + 1
        writer = SummaryWriter(str(run.folder / "tensorboard"), purge_step=again)
        self._closers.append(writer.close)

        def sink(step: int, split: str, values: Mapping[str, float]) -> None:
            for key, value in values.items():
                writer.add_scalar(f"{split}/{key}", value, step)

        return sink

    def _wandb(self, run: Run, resumed_at: int | None) -> Sink:
        # Its error reports go to a third party as soon as it is imported; off unless the user has asked for them.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        recipe = run.recipe()
        # Nothing leaves the machine unless the user has chosen a mode: offline runs are sent by `wandb sync` later.
        mode = os.environ.get("WANDB_MODE", "offline")
        session = wandb.init(
            project="storyteller",
            name=recipe.name,
            id=_identity(run),
            resume="allow",
            dir=str(run.folder),
            config=recipe.model_dump(mode="json"),
            mode=mode,
        )
        self._closers.append(session.finish)

        def sink(step: int, split: str, values: Mapping[str, float]) -> None:
            session.log({f"{split}/{key}": value for key, value in values.items()}, step=step)

        return sink

    def _trackio(self, run: Run, resumed_at: int | None) -> Sink:
        # One database for all runs, so that its page (`trackio show`) compares them; it is read when trackio is imported.
        os.environ.setdefault("TRACKIO_DIR", str(home() / "trackio"))
        import trackio

        recipe = run.recipe()
        # A file on this machine, unless the user has named a server or a Space by trackio's own variables.
        # It talks on standard output, which is for results.
        with contextlib.redirect_stdout(sys.stderr):
            session = trackio.init(
                project="storyteller",
                # It knows a run by its name alone, and a recipe may be run twice.
                name=f"{recipe.name}-{_identity(run)[:6]}",
                config=recipe.model_dump(mode="json"),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

        def finish() -> None:
            with contextlib.redirect_stdout(sys.stderr):
                session.finish()

        self._closers.append(finish)

        def sink(step: int, split: str, values: Mapping[str, float]) -> None:
            session.log({f"{split}/{key}": value for key, value in values.items()}, step=step)

        return sink


def _identity(run: Run) -> str:
    """What a sink knows a run by, the same after a resume: a hash of where, when and by which command it began."""
    began = (run.folder / "environment.json").read_bytes()
    return hashlib.sha256(run.folder.resolve().name.encode() + began).hexdigest()[:16]


def require_sinks(names: Sequence[str]) -> None:
    """Raise `TrainingError` when the package of a sink is missing: better before a run is made than in it."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise TrainingError(f"train.sinks names {name}: pip install 'storyteller[{name}]'.")


def _readable(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
