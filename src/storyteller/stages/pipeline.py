"""A recipe's stages one after the other, each a command of its own that leaves a folder of its own.

    OUT/pipeline.json        each stage with its settings, written when the stage is complete
    OUT/pipeline.yaml        the recipe: under another name than a run's, for this folder is none
    OUT/1-prepare/           OUT/2-finetune/        OUT/3-evaluate/       OUT/2-finetune.log ...

A stage that is complete is skipped, one that was stopped goes on from its own checkpoint: the same command, given again,
does what is left.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from storyteller.errors import CheckpointError, RecipeError, TrainingError
from storyteller.recipe import Recipe
from storyteller.recipe.load import as_refinement, change_values, differences, recipe_of, without_lessons
from storyteller.recipe.several import StageRecipe
from storyteller.runs.children import Child, find_child, read_ending, start_child
from storyteller.runs.console import say
from storyteller.runs.files import read_json, write_atomic, write_json
from storyteller.runs.run import Run
from storyteller.stages.space import without_several
from storyteller.stages.stopping import stoppable

__all__ = ["Stage", "plan_pipeline", "run_pipeline"]

_ROUND = 0.3  # seconds between two looks at a child and its log


@dataclass(frozen=True)
class Stage:
    """One stage: its place among `total`, its `folder`, and the command that makes it.

    `values` is the recipe of a training, None for the others; `product` a file that stands when the stage is complete.
    """

    number: int
    total: int
    name: str
    folder: Path
    arguments: tuple[str, ...]
    values: dict[str, Any] | None
    product: Path

    def __str__(self) -> str:
        return f"stage {self.number} of {self.total} ({self.name})"

    @property
    def settings(self) -> dict[str, Any]:
        """What makes the stage this one and no other: compared before it is skipped."""
        return {"stage": self.name, "arguments": list(self.arguments), "recipe": self.values}

    @property
    def log(self) -> Path:
        """What its command says."""
        return self.folder.with_name(f"{self.folder.name}.log")

    def ready(self) -> bool:
        """Whether what it makes is there."""
        return self.product.is_file() if self.values is None else Run(self.folder).finished


def plan_pipeline(values: Mapping[str, Any], folder: Path) -> list[Stage]:
    """The stages of the recipe `values` with their folders and commands; `RecipeError` when one cannot be.

    A training reads the stories of the last `prepare` and goes on from the model of the training before it; `evaluate`
    compares the last model with the first training's base, on the same stories. A stage's own settings win.
    """
    recipe = recipe_of(values)
    if recipe.pipeline is None:
        raise RecipeError(
            f"the recipe {recipe.name!r} has no pipeline; add one, for example\n"
            "pipeline:\n  - {stage: prepare, paths: [stories]}\n  - {stage: finetune}\n  - {stage: evaluate}"
        )
    stages: list[Stage] = []
    # A child that outlived its pipeline is found by its folder, which must mean the same folder everywhere.
    folder = folder.resolve()
    for number, asked in enumerate(recipe.pipeline, 1):
        place = folder / f"{number}-{asked.stage}"
        make = {"prepare": _prepare, "evaluate": _evaluate}.get(asked.stage, _training)
        arguments, own, product = make(asked, values, recipe, stages, place)
        stages.append(Stage(number, len(recipe.pipeline), asked.stage, place, tuple(arguments), own, product))
    return stages


def run_pipeline(values: Mapping[str, Any], folder: Path) -> list[Stage]:
    """Run what is left of the pipeline in `folder`, and return its stages.

    Raises `TrainingError` that names the stage that failed and why, `CheckpointError` when a stage that is there was made
    with other settings, `KeyboardInterrupt` after Ctrl-C when the running stage has saved.
    """
    stages = plan_pipeline(values, folder)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(folder / ".pipeline.lock").acquire(blocking=False)
    except Timeout:
        raise CheckpointError(
            f"another process runs the pipeline in {folder}; wait for it, or name another --out."
        ) from None
    with stoppable(), lock:
        done = _done(folder)
        for stage in stages:
            _same_settings(stage, done.get(stage.folder.name), folder)
        write_atomic(folder / "pipeline.yaml", yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))
        for stage in stages:
            noted = done.get(stage.folder.name)
            if noted is not None and noted.get("complete") and stage.ready():
                say(f"{stage}: complete, skipped")
                continue
            done[stage.folder.name] = {**stage.settings, "complete": False}
            write_json(folder / "pipeline.json", done)
            began = time.monotonic()
            _run(stage)
            done[stage.folder.name] |= {"complete": True, "seconds": round(time.monotonic() - began, 1)}
            write_json(folder / "pipeline.json", done)
    return stages


def _prepare(
    asked: StageRecipe, values: Mapping[str, Any], recipe: Recipe, before: list[Stage], place: Path
) -> tuple[list[str], None, Path]:
    if missing := [str(path) for path in asked.paths if not path.exists()]:
        raise RecipeError(f"pipeline, prepare: there is no {missing[0]}.")
    words = ["prepare", *map(str, asked.paths), "--out", str(place)]
    return [*words, *_options(asked.options)], None, place / "manifest.json"


def _training(
    asked: StageRecipe, values: Mapping[str, Any], recipe: Recipe, before: list[Stage], place: Path
) -> tuple[list[str], dict[str, Any], Path]:
    made: dict[str, Any] = {"name": f"{recipe.name}-{asked.stage}"}
    if stories := _last(before, lambda stage: stage.name == "prepare"):
        made["data.path"] = str(stories.folder)
    if model := _last(before, lambda stage: stage.values is not None):
        made["model.base"] = str(model.folder)
    others = {"pretrain", "refine"} - {asked.stage}  # what the other stages are told
    own = {key: value for key, value in without_several(values).items() if key not in others}
    own = without_lessons(own) if asked.stage == "refine" else own
    if asked.stage == "pretrain":
        made["model.method"] = "full"  # a method is for the stages after it
    if new := _last(before, lambda stage: stage.name == "pretrain"):
        # What comes after goes on with the new model: it makes none, and reads no more than it.
        made |= {"model.size": None, "model.shape": None, "data.context": recipe_of(new.values or {}).data.context}
    own = change_values(change_values(own, made), asked.change)
    try:
        whole = recipe_of(own)
        if whole.pretrain is not None and asked.stage != "pretrain":
            raise RecipeError(
                "the recipe makes a new model (model.size, model.shape): put `stage: pretrain` before it."
            )
        if asked.stage == "refine":
            as_refinement(whole)
    except RecipeError as error:
        only = f" For this stage alone a key is set back by `change:`, beside `stage: {asked.stage}`."
        raise RecipeError(f"pipeline, {asked.stage}: {error}{only}") from None
    return [asked.stage, str(place.with_name(f"{place.name}.yaml")), "--out", str(place)], own, place / "recipe.yaml"


def _evaluate(
    asked: StageRecipe, values: Mapping[str, Any], recipe: Recipe, before: list[Stage], place: Path
) -> tuple[list[str], None, Path]:
    trained = [stage for stage in before if stage.values is not None]
    stories = _last(before, lambda stage: stage.name == "prepare")
    if not trained:
        raise RecipeError("pipeline, evaluate: there is no training before it, so nothing to measure.")
    first = recipe_of(trained[0].values or {})
    # What comes from nothing has no base to be compared with.
    baseline = [] if trained[0].name == "pretrain" else [first.model.base]
    data = str(stories.folder if stories else first.data.path)
    words = ["evaluate", *baseline, *(str(stage.folder) for stage in trained), "--data", data, "--out", str(place)]
    return (
        [*words, *_options(asked.options)],
        None,
        place / _REPORTS.get(str(asked.options.get("suite")), "report.json"),
    )


_REPORTS = {"likelihood": "likelihood.json", "masked": "masked.json", "lm-eval": "tasks.json"}
"""What a suite writes last, where it is not report.json."""


def _options(options: Mapping[str, Any]) -> Iterator[str]:
    """The command's options: `min_words: 50` is --min-words 50, `prompted: true` is --prompted."""
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if value is not False:
            yield from (option,) if value is True else (option, str(value))


def _last(stages: list[Stage], wanted: Callable[[Stage], bool]) -> Stage | None:
    return next((stage for stage in reversed(stages) if wanted(stage)), None)


def _run(stage: Stage) -> None:
    """Run one stage to its end, its command's words also on the console."""
    child = find_child(str(stage.folder))
    if child is None:
        arguments = list(stage.arguments)
        if stage.values is not None:
            write_atomic(Path(arguments[1]), yaml.safe_dump(stage.values, sort_keys=False, allow_unicode=True))
            if (stage.folder / "recipe.yaml").is_file():
                arguments = [stage.name, "--resume", str(stage.folder)]
        say(f"{stage}: storyteller {' '.join(arguments)}")
        stage.log.unlink(missing_ok=True)
        child = start_child(arguments, stage.log, polite=False)
    else:
        say(f"{stage}: still running from before")
    try:
        _follow(child, stage.log)
    except KeyboardInterrupt:
        child.stop()
        raise KeyboardInterrupt(
            f"stopped in {stage}; what is done is kept. The same command goes on with it."
        ) from None
    if not stage.ready():
        ending = read_ending(stage.log)
        why = (
            ending.why
            if ending.how == "failed"
            else f"it was ended from outside; it last said: {ending.why or 'nothing'}"
        )
        raise TrainingError(
            f"{stage} failed: {why}\nThe stages before it are complete. Mend it and give the same command again. All that it "
            f"said: {stage.log}"
        )


def _follow(child: Child, log: Path) -> None:
    shown, alive = 0, True
    while alive:
        time.sleep(_ROUND)
        alive = child.alive
        if log.is_file() and log.stat().st_size > shown:
            with log.open("rb") as file:
                file.seek(shown)
                new = file.read()
            whole = len(new) if not alive else new.rfind(b"\n") + 1
            shown += whole
            for line in new[:whole].decode("utf-8", "replace").splitlines():
                say(f"  {line}")


def _done(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / "pipeline.json"
    try:
        found = read_json(path) if path.is_file() else {}
        return {str(name): dict(noted) for name, noted in found.items()}
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError, ValueError):
        raise CheckpointError(
            f"{path} is damaged; delete it to check all stages anew, or name another --out."
        ) from None


def _same_settings(stage: Stage, noted: Mapping[str, Any] | None, folder: Path) -> None:
    """Refuse to mix: a folder that was made with other settings is neither used nor written over."""
    if noted is None:
        if stage.folder.exists() and any(stage.folder.iterdir()):
            raise CheckpointError(
                f"{stage.folder} is there, but not from this pipeline; name another folder with --out."
            )
        return
    old = {key: noted.get(key) for key in stage.settings}
    if old != stage.settings and stage.folder.exists():
        changed = differences(_comparable(old), _comparable(stage.settings))
        told = "\n".join(f"  {key.removeprefix('recipe.')}: {a}  ->  {b}" for key, (a, b) in changed.items())
        raise CheckpointError(
            f"{stage} in {folder} was made with other settings:\n{told}\n"
            f"Delete {stage.folder} and what comes after it, or name another folder with --out."
        )


def _comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {**settings, "arguments": " ".join(settings.get("arguments") or ())}
