"""Looking after jobs: start what is queued, follow what runs, take over what a dead server left, say how it ended.

Each round looks at the row, at the child process and at the folders, and does the one next thing; a new server's first
round is like any other. So there is nothing to recover, and a kill -9 of anything at any moment costs a few steps.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable

from storyteller.errors import StorytellerError
from storyteller.runs.children import Child, find_child, start_child
from storyteller.runs.console import say
from storyteller.studio.jobs.queue import Job, Queue
from storyteller.studio.jobs.training import Training

__all__ = ["Supervisor", "threads"]

_ROUND = 0.5  # seconds
_ATTEMPTS = 3  # times that a child may vanish before somebody is asked
_DISK = 1 << 30  # bytes that a training takes: checkpoints with their optimizer, and the final model


class Supervisor:
    """One thread that looks after this machine's jobs; `training_of` says where a job's folders are."""

    def __init__(self, queue: Queue, training_of: Callable[[Job], Training]) -> None:
        self._queue, self._training_of = queue, training_of
        self._stopped = threading.Event()
        self._asked: dict[str, float] = {}  # when a child was asked to stop
        self._thread = threading.Thread(target=self._watch, name="jobs", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop looking; the children go on, and the next server finds them."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    def round(self) -> None:
        """Do the next thing for every job of this server, and take the next job when none runs."""
        looked_after = self._queue.mine()
        if (claimed := self._queue.claim()) is not None:
            looked_after.append(claimed)
        for job in looked_after:
            try:
                self._look_after(job, self._training_of(job))
            except (StorytellerError, OSError, ValueError, KeyError) as error:
                self._end(job, "failed", f"{error}", "Look at the files that it names, then resume.")

    def _watch(self) -> None:
        while not self._stopped.wait(_ROUND):
            try:
                self.round()
            except Exception as error:  # a database that is away comes back; the thread must not be gone by then
                say(f"jobs: {error}")
                self._stopped.wait(5 * _ROUND)

    def _look_after(self, job: Job, training: Training) -> None:
        child = self._child_of(job, training)
        if child is not None and child.alive:
            self._follow(job, training, child)
        elif training.finished:
            self._done(job, training)
        elif job.cancel:
            self._cancelled(job, training)
        elif child is not None and (ending := training.ending(job.attempts)).how == "failed":
            self._end(job, "failed", ending.why, _advice(ending.why))
        elif child is not None and job.attempts >= _ATTEMPTS and not self._stage_done(job, training):
            told = f"The training was ended {job.attempts} times by something else than the studio"
            next_step = "Most likely memory ran out: close other programs, then resume. Nothing that was saved is lost."
            self._end(job, "interrupted", f"{told}, the last time at step {training.saved_step() or 0}.", next_step)
        else:
            self._begin(job, training)

    def _child_of(self, job: Job, training: Training) -> Child | None:
        """The job's process; one that a server started and did not live to write down is found by its arguments."""
        if job.child is not None or not job.attempts:
            return job.child
        return find_child(str(training.corpus)) or find_child(str(training.run)) or Child(0, 0.0)

    def _stage_done(self, job: Job, training: Training) -> bool:
        """Whether the child that ended did what it was started for, so that the next command comes."""
        return job.stage == "report" and training.prepared

    def _begin(self, job: Job, training: Training) -> None:
        """Start the next command. The attempt is written down first: should the server die now, it looks for the child."""
        free = shutil.disk_usage(job.folder).free
        if free < _DISK:
            told = f"The disk has {free >> 20} MB left, and a training takes up to {_DISK >> 20}."
            self._end(job, "failed", told, "Free some space, then resume.")
            return
        attempt = 1 if self._stage_done(job, training) else job.attempts + 1
        stage = "report" if not training.prepared else "training" if training.saved_step() is not None else "estimate"
        self._queue.change(job.id, stage=stage, attempts=attempt, child=None, message="")
        log = training.log(attempt)
        log.unlink(missing_ok=True)
        child = start_child(training.arguments(), log, threads=threads())
        self._queue.change(job.id, child=child)

    def _follow(self, job: Job, training: Training, child: Child) -> None:
        if job.child != child:
            self._queue.change(job.id, child=child)
        if job.cancel and time.monotonic() - self._asked.get(job.id, -1e9) > 120:
            self._asked[job.id] = time.monotonic()  # a second time means: at once
            child.interrupt()
        # A command that has written its result is still the one that runs: `report` ends when the process does.
        stage = job.stage if job.stage == "report" else training.stage
        pace = training.pace()
        progress = pace["step"] / pace["steps"] if pace["steps"] else 0.0
        if (stage, progress) != (job.stage, job.progress) and stage != "done":
            self._queue.change(job.id, stage=stage, progress=progress)

    def _done(self, job: Job, training: Training) -> None:
        figures = training.figures()
        told = "The model is ready."
        if figures and figures["best"] < figures["base"]:
            told = (
                f"Ready: {figures['base']:.3f} -> {figures['best']:.3f} bits per byte on stories that it did not see."
            )
        elif figures:
            told = "Ready, but it predicts stories that it did not see no better than before."
        self._end(job, "done", told, "Choose it under Model and write with it.", stage="done", progress=1.0)

    def _cancelled(self, job: Job, training: Training) -> None:
        step = training.saved_step()
        kept = f"Stopped; step {step} is saved." if step else "Stopped before the first step was saved."
        self._end(job, "cancelled", kept, "Resume goes on from there." if step else "Resume begins anew.")

    def _end(self, job: Job, state: str, message: str, next_step: str, **values: object) -> None:
        self._asked.pop(job.id, None)
        with contextlib.suppress(OSError):
            log = self._training_of(job).log(job.attempts)
            if state == "failed" and log.is_file():
                shutil.copyfile(log, job.folder / "failed.txt")
        self._queue.change(
            job.id,
            state=state,
            message=message,
            next=next_step,
            ended=time.time(),
            child=None,
            cancel=False,
            **values,
        )


def threads() -> int:
    """The threads of a training: one core is left to who writes, but not the second of two.

    There, low priority is enough: a story's first token came after 0.12 s and its words at 16 a second with and without
    a training of two threads beside it.
    """
    cores = os.cpu_count() or 1
    return cores if cores <= 2 else cores - 1


def _advice(why: str) -> str:
    """What to do next, where the error's own words do not say it."""
    text = why.lower()
    if "memory" in text:
        return "Close other programs, or resume with train.rows=1."
    if "no story" in text or "story left" in text:
        return "Paste or drop stories of thirty words or more, in English or Chinese."
    if "model" in text and ("fetch" in text or "had" in text or "reach" in text):
        return "Fetch the base model under Model, then resume."
    return "Mend what the message names, then resume."
