"""Any task of lm-eval, the usual ones and local ones, on any of our models.

A local task is a YAML file beside its data (https://github.com/EleutherAI/lm-evaluation-harness/blob/main/docs/new_task_guide.md);
nothing of it needs the network. lm-eval's own tasks fetch their data from the Hugging Face hub when they are first used.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.metadata
import importlib.util
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from storyteller.errors import DataError
from storyteller.evaluate.log_probabilities import LogProbabilities
from storyteller.runs import write_atomic, write_json
from storyteller.runs.console import say

__all__ = ["evaluate_tasks", "render_tasks"]


def evaluate_tasks(
    names: Sequence[str],
    tasks: Sequence[str],
    *,
    task_folder: Path | None = None,
    limit: int | None = None,
    shots: int | None = None,
    precision: Literal["auto", "float32", "bfloat16"] = "float32",
    out: Path | None = None,
) -> dict[str, Any]:
    """Run lm-eval's tasks, named or in `task_folder`, on each model: its figures with its own standard errors.

    `limit` takes the first documents of each task, `shots` sets the number of examples before each question. Writes
    `tasks.json` and `tasks.md` to `out` when it is given. Raises `DataError` when lm-eval is not installed, a task is not
    known, or its data cannot be had.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise DataError('lm-eval is not installed. Run: pip install "storyteller[lm-eval]"')
    if not tasks:
        raise DataError("name a task: --tasks hellaswag, or --tasks NAME --task-folder DIR for one of your own.")
    if task_folder is not None and not task_folder.is_dir():
        raise DataError(f"{task_folder} is no folder; give the one that holds the tasks' YAML files.")
    with _quiet():
        manager = _manager(tasks, task_folder)
        results = {}
        for name in names:
            say(f"{name}: {', '.join(tasks)}")
            results[name] = _evaluate(name, tasks, manager, limit, shots, precision)
    report = {
        "lm_eval": importlib.metadata.version("lm-eval"),
        "settings": {"limit": limit, "shots": shots, "precision": precision},
        "models": results,
    }
    if out is not None:
        write_json(out / "tasks.json", report)
        write_atomic(out / "tasks.md", render_tasks(report))
    return report


def render_tasks(report: dict[str, Any]) -> str:
    """The report as Markdown: a row a task and figure, a column a model."""
    names = list(report["models"])
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for name, tasks in report["models"].items():
        for task, found in tasks.items():
            for metric, figure in found["figures"].items():
                error = "" if figure["stderr"] is None else f" ± {figure['stderr']:.4f}"
                rows.setdefault((task, metric), {})[name] = f"{figure['value']:.4f}{error}"
    head = f"| task | figure | {' | '.join(names)} |\n|---|---|{'---:|' * len(names)}\n"
    lines = (
        f"| {task} | {metric} | {' | '.join(row.get(name, '') for name in names)} |\n"
        for (task, metric), row in rows.items()
    )
    return f"{head}{''.join(lines)}\nlm-eval {report['lm_eval']}; ± is its standard error.\n"


def _manager(tasks: Sequence[str], folder: Path | None) -> Any:
    """lm-eval's index of tasks: that of the folder alone where it has them all, which saves reading 15,000 files."""
    from lm_eval.tasks import TaskManager

    path = None if folder is None else str(folder)
    manager = TaskManager(include_path=path, include_defaults=False) if path else None
    if manager is None or not manager.match_tasks(list(tasks)):
        manager = TaskManager(include_path=path)
    for task in tasks:
        if not manager.match_tasks([task]):
            near = difflib.get_close_matches(task, manager.all_tasks, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise DataError(f"lm-eval knows no task {task!r}{hint} For one of your own give --task-folder.")
    return manager


def _evaluate(
    name: str, tasks: Sequence[str], manager: Any, limit: int | None, shots: int | None, precision: Any
) -> dict[str, Any]:
    from lm_eval import simple_evaluate

    from storyteller.evaluate.harness_model import HarnessModel

    model = HarnessModel(LogProbabilities.load(name, precision))
    try:
        found = simple_evaluate(
            model=model, tasks=list(tasks), task_manager=manager, limit=limit, num_fewshot=shots, log_samples=False
        )
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"the tasks {', '.join(tasks)} cannot be run ({type(error).__name__}: {error}).") from error
    return {
        task: {
            "n": found.get("n-samples", {}).get(task, {}).get("effective"),
            "version": found.get("versions", {}).get(task),
            "figures": _figures(figures),
        }
        for task, figures in found["results"].items()
    }


def _figures(found: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    """lm-eval's flat keys `acc,none` and `acc_stderr,none` as `acc`: {value, stderr}; a filter's name goes behind it."""
    figures: dict[str, dict[str, float | None]] = {}
    for key, value in found.items():
        metric, _, kind = key.partition(",")
        if metric.endswith("_stderr") or not isinstance(value, int | float) or not kind:
            continue
        error = found.get(f"{metric}_stderr,{kind}")
        shown = metric if kind == "none" else f"{metric} ({kind})"
        figures[shown] = {"value": float(value), "stderr": float(error) if isinstance(error, int | float) else None}
    return figures


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without lm-eval's log, progress bars of its own and the hub's telemetry, for as long as this lasts."""
    wanted = {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "TQDM_DISABLE": "1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
