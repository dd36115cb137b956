"""The search: draw settings, train with them, learn from what came out, and write down the best.

Everything that a sweep knows is in its database and in the folders of its trials, so it may end at any moment: a trial that
was running goes on from its own checkpoint, by whoever works on the sweep next.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from storyteller.errors import RecipeError, TrainingError
from storyteller.recipe import Recipe
from storyteller.recipe.load import change_values, recipe_of
from storyteller.recipe.several import SweepRecipe
from storyteller.runs.console import say
from storyteller.stages.space import check_space, drawn, starting_point, without_several
from storyteller.stages.stopping import stoppable
from storyteller.stages.study import counts, folder_of, next_trial, open_study, pruner, renew, trial_lock
from storyteller.stages.trial import Outcome, run_trial

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import Trial

__all__ = ["plan_sweep", "sweep_recipe"]


def sweep_recipe(
    folder: Path,
    values: Mapping[str, Any] | None = None,
    *,
    overrides: Sequence[str] = (),
    database: str | None = None,
    name: str | None = None,
    join: bool = False,
) -> dict[str, Any]:
    """Search as the recipe `values` says (None: as the sweep in `folder` says), and return the report.

    `overrides` (`sweep.trials=40`) are for a sweep that is gone on with, and may make it longer but not another one.
    `database` is the URL of a database that workers on several machines share; with `join` this is one more worker of a
    sweep that exists. Raises `TrainingError` when all trials fail, with the first failure; `KeyboardInterrupt` after
    Ctrl-C, when the running trial is saved.
    """
    from storyteller.stages.sweep_report import write_report

    if values is not None:
        recipe = recipe_of(values)
        check_space(values, _sweep_of(recipe))
        name = name or recipe.name
    elif not (folder / "sweep.json").is_file() and database is None:
        raise RecipeError(f"{folder} holds no sweep; name a recipe with a sweep block, or check the path.")
    with stoppable(), open_study(folder, values=values, name=name, database=database, join=join) as study:
        asked = renew(study, overrides)
        sweep = _sweep_of(recipe_of(asked))
        study.pruner = pruner(sweep)
        _warn(sweep)
        try:
            _work(study, sweep, asked, folder)
        except KeyboardInterrupt:
            write_report(study, asked, sweep, folder)
            raise KeyboardInterrupt(
                f"stopped; the running trial is saved. Go on with: storyteller sweep --resume {folder}"
            ) from None
        found = counts(study)
        report = write_report(study, asked, sweep, folder)
        if not found["complete"] and (found["failed"] or found["pruned"]):
            raise TrainingError(_nothing_found(study, sweep, folder, found))
    return report


def plan_sweep(values: Mapping[str, Any]) -> dict[str, Any]:
    """What would be searched, checked and without doing it."""
    recipe = recipe_of(values)
    sweep = _sweep_of(recipe)
    check_space(values, sweep)
    return {
        "stage": sweep.stage,
        "objective": f"lowest dev {sweep.objective}",
        "trials": sweep.trials,
        "space": {
            key: allowed if isinstance(allowed, list) else allowed.model_dump(mode="json", exclude_none=True)
            for key, allowed in sweep.space.items()
        },
        "first": starting_point(values, sweep.space),
    }


def _sweep_of(recipe: Recipe) -> SweepRecipe:
    if recipe.sweep is None or not recipe.sweep.space:
        raise RecipeError(
            f"the recipe {recipe.name!r} has no sweep block that names at least one key to search; add one, for example\n"
            "sweep:\n  trials: 12\n  space:\n    train.lr: {log_uniform: [5.0e-5, 2.0e-3]}"
        )
    return recipe.sweep


def _work(study: Study, sweep: SweepRecipe, asked: Mapping[str, Any], folder: Path) -> None:
    """One trial after the other, until there are enough, time is over, or nothing but failure is seen."""
    until = time.monotonic() + 60 * sweep.minutes if sweep.minutes is not None else None
    failed = 0
    while until is None or time.monotonic() < until:
        with contextlib.ExitStack() as held:
            with FileLock(folder / "sweep.lock"):
                trial = next_trial(study, sweep, folder)
                if trial is None:
                    return
                run = folder_of(folder, trial.number).resolve()
                held.enter_context(trial_lock(run))
            settings = drawn(trial.params, sweep.space)
            say(f"trial {trial.number} of {sweep.trials}: {_told(settings)}")
            outcome = run_trial(run, _values_of(asked, settings, trial.number), sweep, _judge(trial))
            _tell(study, trial, outcome, sweep, run)
        failed += outcome.state == "failed"
        if failed >= sweep.failures and not counts(study)["complete"]:
            return


def _values_of(asked: Mapping[str, Any], settings: Mapping[str, Any], number: int) -> dict[str, Any]:
    values = change_values(without_several(asked), settings)
    return {"name": f"{recipe_of(without_several(asked)).name}-{number:04d}", **_but_name(values)}


def _but_name(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key != "name"}


def _judge(trial: Trial) -> Any:
    def is_hopeless(evaluation: int, value: float) -> bool:
        known = trial.storage.get_trial(trial._trial_id).intermediate_values
        if evaluation not in known:
            trial.report(value, evaluation)
        return bool(trial.should_prune())

    return is_hopeless


def _tell(study: Study, trial: Trial, outcome: Outcome, sweep: SweepRecipe, run: Path) -> None:
    from optuna.trial import TrialState

    if outcome.why:
        trial.set_user_attr("why", outcome.why)
    if outcome.state == "complete":
        study.tell(trial, outcome.value)
        best = study.best_trial
        mark = "  (best so far)" if best.number == trial.number else f"  (best: trial {best.number}, {best.value:.4f})"
        say(f"trial {trial.number}: dev {sweep.objective} {outcome.value:.4f}{mark}")
    elif outcome.state == "pruned":
        study.tell(trial, state=TrialState.PRUNED)
        say(f"trial {trial.number}: cut short at dev {sweep.objective} {outcome.value:.4f}")
    else:
        study.tell(trial, state=TrialState.FAIL)
        say(f"trial {trial.number}: failed: {outcome.why}")
    if outcome.state != "failed" and sweep.keep == "final":
        _forget_checkpoints(run)


def _forget_checkpoints(run: Path) -> None:
    import shutil

    shutil.rmtree(run / "checkpoints", ignore_errors=True)
    for pointer in ("best.json", "last.json"):
        (run / pointer).unlink(missing_ok=True)


def _warn(sweep: SweepRecipe) -> None:
    changed = [key for key in sweep.space if key.startswith("data.")]
    if changed:
        say(
            f"{', '.join(changed)}: what is measured on dev changes with it, so trials are not quite comparable; decide "
            "among the best with `storyteller evaluate`"
        )


def _nothing_found(study: Study, sweep: SweepRecipe, folder: Path, found: Mapping[str, int]) -> str:
    from optuna.trial import TrialState

    failed = study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    if not failed:
        return (
            f"none of the {found['pruned']} trials in {folder} came to its end; allow more, or set sweep.pruner=none."
        )
    first = failed[0]
    rest = f"all {len(failed)} trials" if not found["pruned"] else f"{len(failed)} trials"
    return (
        f"{rest} in {folder} failed, and none ended well. The first, trial {first.number} "
        f"({_told(drawn(first.params, sweep.space))}): {first.user_attrs.get('why', 'unknown')}\n"
        f"Its log: {folder_of(folder, first.number)}.log. Mend the recipe and start a new sweep with --out, or, if the reason "
        f"lay outside, go on with more: storyteller sweep --resume {folder} sweep.trials={sweep.trials + len(failed)}"
    )


def _told(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={_short(value)}" for key, value in settings.items())


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
