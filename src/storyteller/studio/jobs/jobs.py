"""Training from the studio: what a writer asks for, what they see of it, and the buttons they have."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storyteller.recipe.load import bundled_recipes, find_recipe, load_recipe
from storyteller.runs.home import home
from storyteller.studio.errors import StudioError
from storyteller.studio.jobs.intake import save_files, save_text
from storyteller.studio.jobs.queue import Job, Queue
from storyteller.studio.jobs.supervisor import Supervisor
from storyteller.studio.jobs.training import DEFAULT_MINUTES, Training, Wish
from storyteller.studio.store.database import new_id

if TYPE_CHECKING:
    from storyteller.studio.store import Store

__all__ = ["Jobs"]

_ENDED = ("done", "failed", "cancelled", "interrupted")
_LONGEST = 7 * 24 * 60  # minutes
_NOT_IN_NAMES = re.compile(r"[^\w-]+")


class Jobs:
    """The jobs of a studio: `store` is where they are kept, `runs` the folder in which the runs lie.

    Everything is a dict that becomes JSON as it is. `owner` is the writer, "" where there are no accounts.
    """

    def __init__(self, store: Store, runs: Path, *, folder: Path | None = None, supervise: bool = True) -> None:
        """Look after the jobs from now on, those of a server that died first.

        `folder` keeps what was handed over and prepared; without one it is in the studio's home.
        """
        self._runs = runs.absolute()
        self._folder = (folder or home() / "studio" / "jobs").absolute()
        self._queue = Queue(store.database)
        self._supervisor = Supervisor(self._queue, _training_of)
        if supervise:
            self._supervisor.start()

    def close(self) -> None:
        """Stop looking after them; a training that runs goes on, and the next server finds it."""
        self._supervisor.stop()

    def start(
        self,
        name: str,
        *,
        text: str | None = None,
        files: Sequence[tuple[str, bytes]] = (),
        paths: Sequence[Path] = (),
        recipe: str = "own-stories",
        minutes: float = DEFAULT_MINUTES,
        base: str = "default",
        overrides: Sequence[str] = (),
        owner: str = "",
    ) -> dict[str, Any]:
        """Save what was handed over and put a training into the queue.

        `text` is pasted stories, `files` (name, content) pairs, `paths` files and folders of this machine, which are read
        where they lie. `minutes` is the time that all of it should take. Raises `StudioError` for nothing to train on,
        `RecipeError` for a recipe or an override that is wrong.
        """
        if not 0.05 <= minutes <= _LONGEST:
            raise StudioError(f"{minutes:g} minutes cannot be kept to: give from 1 minute to {_LONGEST:,}.")
        if recipe not in bundled_recipes():
            find_recipe(recipe)  # a file of this machine, or an error with the nearest name
        load_recipe(recipe, overrides)
        if missing := [path for path in paths if not path.expanduser().exists()]:
            raise StudioError(f"{missing[0]} does not exist on this machine. Name a folder or a file of stories.")
        job = new_id()
        folder = self._folder / job
        sources = [str(path.expanduser().absolute()) for path in paths]
        given = folder / "sources"
        try:
            if save_files(files, given) + (save_text(text, given) if text and text.strip() else 0):
                sources.append(str(given))
            if not sources:
                raise StudioError("there is nothing to train on yet: paste stories, or drop files or a folder.")
            wish = Wish(tuple(sources), recipe, minutes, base, tuple(overrides))
            asked = dataclasses.asdict(wish) | {"run": str(self._reserve(name))}
            folder.mkdir(parents=True, exist_ok=True)
            return self._view(self._queue.add(job, "train", name.strip() or "own stories", asked, folder, owner))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def jobs(self, owner: str = "") -> list[dict[str, Any]]:
        """Every job, the newest first, without curves and samples."""
        return [self._view(job, whole=False) for job in self._queue.all(owner)]

    def job(self, job: str, owner: str = "") -> dict[str, Any]:
        """One job as it stands, with its report, its curve and its samples."""
        return self._view(self._queue.get(job, owner))

    def events(self, job: str, owner: str = "", stopped: threading.Event | None = None) -> Iterator[dict[str, Any]]:
        """The job as it stands and again whenever something has changed, until it has ended (or `stopped` is set)."""
        stopped = stopped or threading.Event()
        before: dict[str, Any] | None = None
        while True:
            now = self.job(job, owner)
            if now != before:
                yield now
                before = now
            if now["state"] in _ENDED or stopped.wait(0.5):
                return

    def cancel(self, job: str, owner: str = "") -> dict[str, Any]:
        """Stop a job as Ctrl-C does: the step is finished and saved, and `resume` goes on from there."""
        own = self._queue.get(job, owner)
        if own.state == "queued":
            told = {"message": "Stopped before it began.", "next": "Resume puts it into the queue again."}
            self._queue.change(job, state="cancelled", ended=time.time(), **told)
        elif own.state == "running":
            self._queue.change(job, cancel=True, message="Stopping: the step is finished and saved first.")
        return self.job(job, owner)

    def resume(self, job: str, owner: str = "") -> dict[str, Any]:
        """Put a job that was stopped, or that failed, into the queue again; it goes on from its last checkpoint."""
        own = self._queue.get(job, owner)
        if own.state in ("cancelled", "failed", "interrupted"):
            self._queue.change(
                job, state="queued", cancel=False, attempts=0, child=None, message="", next="", ended=None
            )
        elif own.state == "running" and own.cancel:
            raise StudioError("it is still stopping, so that nothing is lost; resume it in a moment.")
        return self.job(job, owner)

    def delete(self, job: str, owner: str = "") -> None:
        """Forget a job and what was handed over for it. The run, with the model, stays: it is a folder like any other."""
        own = self._queue.get(job, owner)
        if own.state == "running":
            raise StudioError("it is running; stop it first.")
        self._queue.remove(job)
        shutil.rmtree(own.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            _training_of(own).run.rmdir()  # of a run that never began only the name was kept

    def _reserve(self, name: str) -> Path:
        """A new empty folder for a run, named after it."""
        slug = _NOT_IN_NAMES.sub("-", name.strip().lower())[:48].strip("-_") or "own-stories"
        self._runs.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            path = self._runs / (slug if number == 1 else f"{slug}-{number}")
            try:
                path.mkdir()
            except FileExistsError:
                number += 1
            else:
                return path

    def _view(self, job: Job, *, whole: bool = True) -> dict[str, Any]:
        training = _training_of(job)
        pace = training.pace()
        if job.state != "running":
            pace["eta_seconds"] = None
        shown = {
            "id": job.id,
            "kind": job.kind,
            "name": job.name,
            "state": job.state,
            "stage": job.stage,
            "progress": job.progress,
            "message": job.message,
            "next": job.next,
            "created": job.created,
            "ended": job.ended,
            "run": str(training.run),
            "model": str(training.run) if job.state == "done" else None,
            "minutes": training.wish.minutes,
            "base": training.wish.base,
            "recipe": training.wish.recipe,
            **pace,
        }
        if whole:
            shown |= {
                "report": training.report(),
                "estimate": training.estimate(),
                "curve": training.curve(),
                "samples": training.samples(),
                "figures": training.figures(),
            }
        return shown


def _training_of(job: Job) -> Training:
    asked = dict(job.asked)
    run = Path(asked.pop("run"))
    return Training(job.name, Wish.of(asked), job.folder, run)
