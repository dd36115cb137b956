"""What was tried, kept by Optuna (Akiba et al. 2019) in a database: SQLite in the sweep's folder, or a shared one by URL."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from filelock import FileLock, Timeout

from storyteller.errors import CheckpointError, RecipeError
from storyteller.recipe.load import differences, override_values
from storyteller.recipe.several import SweepRecipe
from storyteller.runs.files import read_json, write_json
from storyteller.stages.space import distributions, starting_point

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import RDBStorage
    from optuna.study import Study
    from optuna.trial import Trial

__all__ = ["counts", "folder_of", "next_trial", "open_study", "pruner", "renew", "trial_lock"]

_MAY_CHANGE = ("sweep.trials", "sweep.minutes", "sweep.failures", "sweep.keep")


@contextmanager
def open_study(
    folder: Path, *, values: Mapping[str, Any] | None, name: str | None, database: str | None, join: bool
) -> Iterator[Study]:
    """The study of the sweep in `folder`; a new one unless there is one. Its connections end with the block.

    `values` is the recipe as it was given (None: that of the study), `name` the study's name, `database` the URL of a shared
    database; without `join` a study of that name that another folder has begun is refused. Raises `CheckpointError` when
    there is nothing to go on with, or when the recipe is another one.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mine = _place(folder, name)
    local = f"sqlite:///{(folder / 'study.db').resolve()}"
    try:
        # A trial may take hours, in which a server may drop its connection.
        engine = {"pool_pre_ping": True} if database else {"connect_args": {"timeout": 60}}
        storage = optuna.storages.RDBStorage(database or local, engine_kwargs=engine)
        known = optuna.get_all_study_names(storage)
    except Exception as error:  # whatever the driver of the database raises
        raise CheckpointError(f"the sweep's database cannot be opened: {_without_password(error, database)}") from None
    try:
        yield _study(storage, known, folder, mine, values, name, join)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _study(
    storage: RDBStorage, known: Sequence[str], folder: Path, mine: Mapping[str, Any], values: Mapping[str, Any] | None,
    name: str | None, join: bool,
) -> Study:  # fmt: skip
    import optuna

    wanted = mine["study"] or name or (known[0] if len(known) == 1 else None)
    if wanted is None:
        told = f"it holds {', '.join(known)}; choose with --study" if known else "it holds none; start one first"
        raise CheckpointError(f"which sweep of the database? {told}.")
    if wanted in known:
        study = optuna.load_study(study_name=wanted, storage=storage)
        _same_sweep(study, mine, values, join)
    elif join or values is None:
        raise CheckpointError(f"there is no sweep {wanted!r} to join or to go on with; start it first.")
    else:
        study = optuna.create_study(study_name=wanted, storage=storage, direction="minimize")
        study.set_user_attr("recipe", yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))
        study.set_user_attr("places", [mine["place"]])
        if point := starting_point(values, SweepRecipe.model_validate(values["sweep"]).space):
            study.enqueue_trial(point, user_attrs={"base": True})
    write_json(folder / "sweep.json", {**mine, "study": wanted})
    return study


def renew(study: Study, overrides: Sequence[str]) -> dict[str, Any]:
    """The recipe of the study as it was given, made longer by `overrides`; `CheckpointError` if they change more."""
    values = override_values(_asked(study), overrides)
    _same_recipe(study, values)
    return values


def _asked(study: Study) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(study.user_attrs["recipe"])
    return values


def counts(study: Study) -> dict[str, int]:
    """How many trials are complete, pruned, failed and running."""
    names = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}
    found = dict.fromkeys(names.values(), 0)
    for trial in study.get_trials(deepcopy=False):
        if trial.state.name in names:
            found[names[trial.state.name]] += 1
    return found


def folder_of(folder: Path, number: int) -> Path:
    """The run's folder of a trial; its recipe, its log and its lock have the same name with an ending."""
    return folder / "trials" / f"{number:04d}"


@contextmanager
def trial_lock(run: Path) -> Iterator[bool]:
    """Hold a trial; yields False when another living worker does. A lock dies with its process, so nothing stays locked."""
    run.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run.with_name(f"{run.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def next_trial(study: Study, sweep: SweepRecipe, folder: Path) -> Trial | None:
    """The trial to work on: one of this folder that its worker has left, else a new one, else None.

    The caller holds a lock of the folder, so that two workers do not take the same one.
    """
    from optuna.trial import Trial, TrialState

    place = read_json(folder / "sweep.json")["place"]
    for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if left.user_attrs.get("place") == place:
            with trial_lock(folder_of(folder, left.number)) as free:
                if free:
                    return Trial(study, left._trial_id)
    begun = [one for one in study.get_trials(deepcopy=False) if one.state != TrialState.WAITING]
    if len(begun) >= sweep.trials:
        return None
    # What is drawn depends on the seed and on what was tried, not on who asks or how often a sweep was stopped.
    study.sampler = _sampler(sweep, sweep.seed + 7919 * len(begun))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its experimental parts, which say nothing to a user
        trial = study.ask(distributions(sweep.space))
    trial.set_user_attr("place", place)
    return trial


def pruner(sweep: SweepRecipe) -> BasePruner:
    """Which trials are cut short; steps are evaluations, so that runs of other lengths can be compared."""
    from optuna import pruners

    if sweep.pruner == "median":
        return pruners.MedianPruner(n_startup_trials=sweep.startup, n_warmup_steps=sweep.patience + 1)
    if sweep.pruner == "halving":
        return pruners.SuccessiveHalvingPruner(min_resource=sweep.patience + 1, reduction_factor=3)
    return pruners.NopPruner()


def _sampler(sweep: SweepRecipe, seed: int) -> BaseSampler:
    from optuna import samplers

    if sweep.sampler == "random":
        return samplers.RandomSampler(seed=seed)
    return samplers.TPESampler(n_startup_trials=sweep.startup, seed=seed)


def _place(folder: Path, name: str | None) -> dict[str, Any]:
    path = folder / "sweep.json"
    if path.is_file():
        try:
            found: dict[str, Any] = read_json(path)
            return {"place": str(found["place"]), "study": found["study"]}
        except (ValueError, KeyError, TypeError):
            raise CheckpointError(f"{path} is damaged; put it back, or start another sweep with --out.") from None
    folder.mkdir(parents=True, exist_ok=True)
    return {"place": uuid.uuid4().hex, "study": name}


def _same_sweep(study: Study, mine: Mapping[str, Any], values: Mapping[str, Any] | None, join: bool) -> None:
    places = list(study.user_attrs.get("places", []))
    if mine["place"] not in places:
        if not join:
            raise CheckpointError(
                f"the database already holds a sweep {study.study_name!r} of another folder; join it with --worker, or give "
                "this one another name with name=..."
            )
        study.set_user_attr("places", [*places, mine["place"]])
    if values is not None:
        _same_recipe(study, values)


def _same_recipe(study: Study, values: Mapping[str, Any]) -> None:
    """Keep a recipe that makes the sweep longer, and refuse one that makes it another."""
    found = differences(_asked(study), values)
    changed = {key: pair for key, pair in found.items() if key not in _MAY_CHANGE}
    if changed:
        told = "\n".join(f"  {key}: {old}  ->  {new}" for key, (old, new) in changed.items())
        raise CheckpointError(
            f"the sweep {study.study_name!r} was started with another recipe, and a sweep has one recipe:\n{told}\n"
            "Go on without naming a recipe, or start a new sweep with --out."
        )
    if found:
        study.set_user_attr("recipe", yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))


def _without_password(error: Exception, database: str | None) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if database and "@" in database:
        secret = database.rpartition("@")[0].rpartition(":")[2]
        text = text.replace(secret, "***") if secret else text
    if isinstance(error, ModuleNotFoundError):
        raise RecipeError(f"{text}. For PostgreSQL: pip install 'storyteller[postgresql]'.") from None
    return text
