"""One trial: a command of its own that leaves a normal run's folder, watched through its `metrics.jsonl`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from storyteller.recipe.several import SweepRecipe
from storyteller.runs.children import Child, find_child, read_ending, start_child
from storyteller.runs.files import write_atomic
from storyteller.runs.run import Run

__all__ = ["Outcome", "held_out", "run_trial"]

_ROUND = 0.5  # seconds between two looks
_ATTEMPTS = 3  # times that a child may vanish without a word before the trial counts as failed
_SHARE = 20  # reading a long metrics.jsonl shall not cost more than one part in so many of a core


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a trial ended: with its `value`, cut short, or failed and why."""

    state: Literal["complete", "pruned", "failed"]
    value: float | None = None
    why: str = ""


def run_trial(
    run: Path, values: Mapping[str, Any], sweep: SweepRecipe, is_hopeless: Callable[[int, float], bool]
) -> Outcome:
    """Run the recipe `values` in the folder `run` to its end, or go on with what an earlier worker has left there.

    `is_hopeless(evaluation, value)` is told each held-out value once, and may end the trial. On `KeyboardInterrupt` the
    child saves and ends before it is raised again, so that the trial can be gone on with.
    """
    log = run.with_name(f"{run.name}.log")
    recipe = run.with_name(f"{run.name}.yaml")
    write_atomic(recipe, yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))
    # A worker that was killed leaves its child, which trains on by itself.
    child = find_child(str(run))
    told: set[int] = set()
    for _ in range(_ATTEMPTS):
        if child is None and not Run(run).finished:
            go_on = ["--resume", str(run)] if (run / "recipe.yaml").is_file() else [str(recipe), "--out", str(run)]
            log.unlink(missing_ok=True)
            child = start_child([sweep.stage, *go_on], log, polite=False)
        if child is not None and _watch(child, run, sweep, told, is_hopeless):
            return Outcome("pruned", min(value for _, value in held_out(run, sweep.objective)))
        if Run(run).finished:
            measured = [value for _, value in held_out(run, sweep.objective)]
            if measured:
                return Outcome("complete", min(measured))
            return Outcome("failed", why="nothing was measured on dev; a sweep needs a corpus with a dev split")
        if (ending := read_ending(log)).how == "failed":
            return Outcome("failed", why=ending.why)
        child = None
    return Outcome("failed", why=f"its process was ended {_ATTEMPTS} times from outside; most likely memory ran out")


def held_out(run: Path, objective: str) -> list[tuple[int, float]]:
    """The (step, value) of each evaluation on dev after step 0, which is the base's and no setting's merit."""
    values = {
        line["step"]: float(line[objective])
        for line in Run(run).metrics()
        if line["split"] == "dev" and line["step"] > 0 and isinstance(line.get(objective), int | float)
    }
    return sorted(values.items())


def _watch(
    child: Child, run: Path, sweep: SweepRecipe, told: set[int], is_hopeless: Callable[[int, float], bool]
) -> bool:
    """Follow a child to its end; True when it was found hopeless and has been stopped."""
    metrics, size, pause = run / "metrics.jsonl", -1, _ROUND
    try:
        alive = True
        while alive:
            time.sleep(pause)
            alive = child.alive
            now = metrics.stat().st_size if metrics.is_file() else -1
            if now == size:
                continue
            size, began = now, time.thread_time()
            for number, (step, value) in enumerate(held_out(run, sweep.objective), 1):
                if step in told:
                    continue
                told.add(step)
                if is_hopeless(number, value) and alive:
                    child.stop()
                    return not Run(run).finished
            pause = max(_ROUND, _SHARE * (time.thread_time() - began))
    except KeyboardInterrupt:
        child.stop()
        raise
    return False
