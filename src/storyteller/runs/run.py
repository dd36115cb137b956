"""A run: one folder that holds all of what one stage did, and that the next stage reads."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import time
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from storyteller.errors import CheckpointError
from storyteller.recipe import Recipe
from storyteller.recipe.load import dump_recipe, load_recipe
from storyteller.runs.files import read_json, write_atomic, write_json

__all__ = ["Run", "environment"]

_PACKAGES = ("storyteller", "torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "numpy")
_FINISHED = re.compile(r"\S+ \S+ finished\b")


class Run:
    """One run's folder.

    recipe.yaml  asked.yaml  environment.json  data.json  metrics.jsonl  events.log
    samples/step-000500.md
    checkpoints/step-000500/
    best.json  last.json
    final/
    evaluation/
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path, recipe: Recipe, *, asked: Recipe, data: Mapping[str, Any], processes: int = 1) -> Run:
        """Make the folder; `CheckpointError` if a run stands there already.

        `recipe` is the resolved one, ready to be run again; what was `asked` for is kept beside it, so that a resume can
        tell a changed recipe. `data` is the data report; of `processes` a step takes its rows.
        """
        run = cls(folder)
        if run.recipe_path.exists():
            raise CheckpointError(
                f"{folder} already holds a run; go on with it by `--resume`, or name another folder with --out."
            )
        if folder.exists() and not (folder.is_dir() and all(_begun(path) for path in folder.iterdir())):
            raise CheckpointError(f"{folder} is not an empty folder and not a run; name another folder with --out.")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "environment.json", {**environment(), "processes": processes})
        write_json(folder / "data.json", data)
        write_atomic(run.asked_path, dump_recipe(asked))
        # The last one: with it, the folder is a run.
        write_atomic(run.recipe_path, dump_recipe(recipe))
        return run

    @classmethod
    def open(cls, folder: Path) -> Run:
        """The run in `folder`; `CheckpointError` if there is none."""
        run = cls(folder)
        if not run.recipe_path.is_file():
            raise CheckpointError(f"{folder} holds no run (recipe.yaml is missing); check the path.")
        return run

    @property
    def recipe_path(self) -> Path:
        """The resolved recipe, ready to be run again."""
        return self.folder / "recipe.yaml"

    @property
    def asked_path(self) -> Path:
        """The recipe as it was asked for, before any of its numbers was resolved."""
        return self.folder / "asked.yaml"

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints, one sub-folder a step."""
        return self.folder / "checkpoints"

    @property
    def final(self) -> Path:
        """What came out of the run: a transformers or PEFT folder that loads as it is."""
        return self.folder / "final"

    def recipe(self) -> Recipe:
        """The recipe that the run was made with."""
        return load_recipe(self.recipe_path)

    @property
    def finished(self) -> bool:
        """Whether it has come to its end, so that what came out of it can be used."""
        events = self.folder / "events.log"
        if not events.is_file() or not self.final.is_dir():
            return False
        last = events.read_text("utf-8", "replace").rstrip().rpartition("\n")[2]
        return _FINISHED.match(last) is not None

    def metrics(self) -> Iterator[dict[str, Any]]:
        """Every line of `metrics.jsonl`; what a kill or a bad disk has left of a line is left out."""
        path = self.folder / "metrics.jsonl"
        if not path.exists():
            return
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    values = json.loads(line)
                except json.JSONDecodeError:
                    continue
                if isinstance(values, dict) and isinstance(values.get("step"), int) and "split" in values:
                    yield values

    def point(self, which: str, checkpoint: Path, **values: Any) -> None:
        """Let `best.json` or `last.json` (`which` = "best" or "last") point to `checkpoint`."""
        write_json(self.folder / f"{which}.json", {"checkpoint": checkpoint.name, **values})

    def pointed(self, which: str) -> tuple[Path, dict[str, Any]] | None:
        """The checkpoint that "best" or "last" points to and what was noted with it; None if there is none."""
        path = self.folder / f"{which}.json"
        if not path.exists():
            return None
        try:
            noted = read_json(path)
            return self.checkpoints / str(noted["checkpoint"]), noted
        except (json.JSONDecodeError, KeyError, TypeError):
            raise CheckpointError(f"{path} is damaged; delete it to go on without a {which} checkpoint.") from None

    def event(self, message: str) -> None:
        """Append one line with the time to `events.log`."""
        with (self.folder / "events.log").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}\n")

    def open_metrics(self, upto_step: int | None = None) -> IO[str]:
        """`metrics.jsonl` for appending; what a resumed run will write again (steps after `upto_step`) is cut off first."""
        path = self.folder / "metrics.jsonl"
        if upto_step is not None and path.exists():
            kept = [line for line in self.metrics() if line.get("step", 0) <= upto_step]
            write_atomic(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept))
        return path.open("a", encoding="utf-8", buffering=1)


def _begun(path: Path) -> bool:
    """Whether a file is what a `create` that was killed has left."""
    return path.name in ("environment.json", "data.json", "asked.yaml") or path.suffix == ".part"


def environment() -> Mapping[str, Any]:
    """Versions, machine and command of this process; no user name, no host name, no environment variables."""
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "versions": versions,
    }
