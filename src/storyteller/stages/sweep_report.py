"""What a sweep has found: `report.json`, `report.md` and `report.zh.md`, two plots, and `best.yaml`, ready to be run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from storyteller.recipe.load import change_values, recipe_of
from storyteller.recipe.several import SweepRecipe
from storyteller.runs.figures import new_figure, save_figure
from storyteller.runs.files import write_atomic, write_json
from storyteller.stages.space import drawn, without_several
from storyteller.stages.study import counts, folder_of
from storyteller.stages.sweep_words import WORDS, Language, Words

if TYPE_CHECKING:
    from optuna.study import Study

__all__ = ["report_path", "write_report"]

_LEAST = 4  # complete trials under which an importance is made of noise
_STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


def write_report(study: Study, asked: Mapping[str, Any], sweep: SweepRecipe, folder: Path) -> dict[str, Any]:
    """Write all of it to the sweep's folder and return the report."""
    rows = _rows(study, sweep, folder)
    complete = sorted((row for row in rows if row["state"] == "complete"), key=lambda row: row["value"])
    name = recipe_of(without_several(asked)).name
    report: dict[str, Any] = {
        "name": name,
        "objective": f"lowest dev {sweep.objective}",
        "counts": counts(study),
        "best": complete[0] if complete else None,
        "base": next((row for row in rows if row["base"]), None),
        "importance": _importance(study) if len(complete) >= _LEAST else None,
        "trials": rows,
    }
    if complete:
        values = change_values(without_several(asked), complete[0]["settings"])
        best = {"name": f"{name}-best", **{key: value for key, value in values.items() if key != "name"}}
        first = complete[0]
        told = (
            f"# The best of {len(rows)} trials: dev {sweep.objective} {first['value']:.4f} (trial {first['number']})\n"
        )
        write_atomic(folder / "best.yaml", told + yaml.safe_dump(best, sort_keys=False, allow_unicode=True))
        _plot_trials(rows, sweep, name, folder / "trials.svg")
    if report["importance"]:
        _plot_importance(report["importance"], name, folder / "importance.svg")
    write_json(folder / "report.json", report)
    for language, words in WORDS.items():
        write_atomic(report_path(folder, language), _markdown(report, sweep, folder, words))
    return report


def report_path(folder: Path, language: Language) -> Path:
    """Where the report in a language lies."""
    return folder / ("report.md" if language == "en" else f"report.{language}.md")


def _rows(study: Study, sweep: SweepRecipe, folder: Path) -> list[dict[str, Any]]:
    rows = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state.name not in _STATES:
            continue
        seen = list(trial.intermediate_values.values())
        run = folder_of(folder, trial.number)
        rows.append(
            {
                "number": trial.number,
                "state": _STATES[trial.state.name],
                "value": trial.value if trial.state.name == "COMPLETE" else min(seen, default=None),
                "settings": drawn(trial.params, sweep.space),
                "base": bool(trial.user_attrs.get("base")),
                "evaluations": len(seen),
                "seconds": round(trial.duration.total_seconds(), 1) if trial.duration else None,
                "run": str(run) if run.is_dir() else None,
                "why": trial.user_attrs.get("why"),
            }
        )
    return rows


def _importance(study: Study) -> dict[str, float] | None:
    """Which share of the variation each key explains (functional ANOVA on a forest, Hutter et al. 2014), or None."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=1))
    except (RuntimeError, ValueError):  # all trials had the same values, or the same result
        return None
    return {key: round(float(share), 4) for key, share in found.items()}


def _markdown(report: Mapping[str, Any], sweep: SweepRecipe, folder: Path, words: Words) -> str:
    best, base = report["best"], report["base"]
    lines = [words.title.format(name=report["name"]), ""]
    lines += [words.counts.format(objective=sweep.objective, **report["counts"]), ""]
    if best is not None:
        lines += [words.best.format(number=best["number"], value=best["value"], settings=_settings(best["settings"]))]
        if base is not None and base["state"] == "complete" and base["number"] != best["number"]:
            lines += [words.given.format(**base)]
        again = f"storyteller {sweep.stage} {folder / 'best.yaml'} train.seed=2"
        lines += [words.chosen, "", "```bash", again, "```", ""]
    if report["importance"]:
        lines += [words.importance, "|---|---|"]
        lines += [f"| {key} | {share:.0%} |" for key, share in report["importance"].items()] + [""]
    elif best is not None:
        lines += [words.too_little.format(least=_LEAST), ""]
    lines += [words.trials, "|---|---|---|---|---|"]
    order = {"complete": 0, "pruned": 1, "running": 2, "failed": 3}
    for row in sorted(report["trials"], key=lambda row: (order[row["state"]], row["value"] or 0.0, row["number"])):
        value = "" if row["value"] is None else f"{row['value']:.4f}"
        cells = (row["number"], words.states[row["state"]], value, row["evaluations"], _settings(row["settings"]))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    failures = [row for row in report["trials"] if row["state"] == "failed"]
    if failures:
        lines += ["", words.failures, ""]
        lines += [words.failure.format(number=row["number"], why=" ".join(str(row["why"]).split())) for row in failures]
    return "\n".join(lines) + "\n"


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(
        f"`{key}={value:.4g}`" if isinstance(value, float) else f"`{key}={value}`" for key, value in settings.items()
    )


def _plot_trials(rows: Sequence[Mapping[str, Any]], sweep: SweepRecipe, name: str, path: Path) -> None:
    """Each trial's value over its number, those that were cut short apart, and the best so far as a line."""
    figure, axes = new_figure(7, 4)
    for state, marker in (("complete", "o"), ("pruned", "x")):
        shown = [row for row in rows if row["state"] == state and row["value"] is not None]
        axes.plot([row["number"] for row in shown], [row["value"] for row in shown], marker, label=state)
    best: list[tuple[int, float]] = []
    for row in rows:
        if row["state"] == "complete":
            best.append((row["number"], min(row["value"], best[-1][1] if best else row["value"])))
    axes.step([number for number, _ in best], [value for _, value in best], where="post", label="best so far")
    axes.set_xlabel("trial")
    axes.set_ylabel(f"dev {sweep.objective.replace('_', ' ')}")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_title(name)
    axes.legend(frameon=False)
    save_figure(figure, path)


def _plot_importance(importance: Mapping[str, float], name: str, path: Path) -> None:
    figure, axes = new_figure(7, 1 + 0.4 * len(importance))
    keys = list(importance)[::-1]
    bars = axes.barh(keys, [importance[key] for key in keys])
    axes.bar_label(bars, fmt="{:.2f}", padding=3)
    axes.set_xlim(0, 1.1)
    axes.set_xlabel("share of the variation that it explains")
    axes.set_title(name)
    save_figure(figure, path)
