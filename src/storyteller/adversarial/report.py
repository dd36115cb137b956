"""One page about a refinement: the verdict, the figures before and after, alarms, curves and what it was measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storyteller.adversarial.final import Decision
from storyteller.runs import Run, write_atomic, write_json

if TYPE_CHECKING:
    from storyteller.adversarial.refinement import Refinement

__all__ = ["plot_refinement", "write_report"]

_NAMES = {
    "judge_auc": "AUC of the independent judges (0.5 is human)",
    "critic_auc": "AUC of the critic",
    "kl": "divergence from the reference, nats per token",
    "entropy": "entropy, nats per token",
    "human_nll": "loss on human stories, nats per token",
    "distinct_2": "distinct-2",
    "self_bleu": "self-BLEU-4",
    "rep_4": "repeated 4-grams",
    "length": "length, tokens",
    "endings": "share that ends a sentence",
    "copying": "share of 12-token spans copied from training stories",
}
#: Panels of the plot: title, and (split, key) of each curve.
_PANELS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("AUC", (("dev", "judge_auc"), ("dev", "critic_auc"))),
    ("critic's accuracy", (("train", "critic_accuracy"),)),
    ("divergence, nats per token", (("train", "kl"), ("dev", "kl"))),
    ("entropy, nats per token", (("train", "entropy"), ("dev", "entropy"))),
    ("reward", (("train", "reward"), ("train", "reward_std"))),
    ("distinct-2", (("dev", "distinct_2"),)),
    ("loss on human stories", (("train", "human_loss"), ("dev", "human_nll"))),
    ("J", (("dev", "gain"),)),
)
_STEP = ("seconds_rollout", "seconds_reading", "seconds_update", "seconds_critic")


def write_report(run: Run, stage: Refinement, decision: Decision) -> Path:
    """Write `report.md` with its figures `refinement.json` and curves `refinement.svg`; the path of the page."""
    lines = list(run.metrics())
    parts = [
        f"# {run.recipe().name}: {'refined' if decision.passed else 'no gain, the model is unchanged'}",
        "",
        _verdict(decision),
        "",
        *_table("Before and after, on the gate's prompts", decision.reference, decision.gate),
        *_frontier(decision),
        *_tried(decision),
        *_course(stage, lines),
        *_alarms(lines),
    ]
    if plot_refinement(run, lines) is not None:
        parts += ["## Curves", "", "![Curves of the run](refinement.svg)", ""]
    parts += _measured_on(stage)
    write_json(run.folder / "refinement.json", _figures(decision))
    path = run.folder / "report.md"
    write_atomic(path, "\n".join(parts))
    return path


def _verdict(decision: Decision) -> str:
    if decision.passed:
        return (
            f"The adapter ({decision.weights} weights, scale {decision.scale:g}) passed its gate: {decision.why}. This is "
            "the run's own gate on few prompts; whether refinement works is for `scripts/compare_refined.py` to say, on the "
            "test prompts, over several seeds."
        )
    return f"Refinement brought no gain, and `final/` holds the model as it was before: {decision.why}."


def _table(title: str, before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    if not after:
        return []
    rows = [
        f"| {_NAMES.get(key, key)} | {before[key]:.4f} | {after[key]:.4f} | {after[key] - before[key]:+.4f} |"
        for key in [*_NAMES, *sorted(after.keys() - _NAMES.keys())]
        if key in before and key in after
    ]
    return [f"## {title}", "", "| figure | before | after | difference |", "|---|---|---|---|", *rows, ""]


def _frontier(decision: Decision) -> list[str]:
    """Before and after at each temperature: a gain in AUC counts at equal distinct-2, since a cooler draw buys it with that."""
    if not decision.frontier:
        return []
    rows = [
        f"| {temperature:g} | {before['distinct_2']:.4f} | {before['judge_auc']:.4f} | {after['distinct_2']:.4f} | "
        f"{after['judge_auc']:.4f} |"
        for temperature, before, after in decision.frontier
    ]
    head = [
        "| temperature | distinct-2 before | judge AUC before | distinct-2 after | judge AUC after |",
        "|---|---|---|---|---|",
    ]
    gain = decision.matched_gain
    told = (
        [f"At the distinct-2 that it has after, the AUC before is higher by {gain:.4f}.", ""]
        if gain is not None
        else []
    )
    return ["## Quality and diversity, on the gate's prompts", "", *head, *rows, "", *told]


def _tried(decision: Decision) -> list[str]:
    rows = [
        f"| {one.weights} | {one.scale:g} | {one.figures['judge_auc']:.4f} | {one.figures['kl']:.4f} | {one.gain:+.4f} | "
        f"{', '.join(alarm.monitor for alarm in one.alarms) or '-'} |"
        for one in decision.tried
    ]
    head = ["| weights | scale | judge AUC | KL | J | guardrails broken |", "|---|---|---|---|---|---|"]
    return ["## Scales tried on the dev prompts", "", *head, *rows, ""]


def _course(stage: Refinement, lines: Sequence[Mapping[str, Any]]) -> list[str]:
    steps = [line for line in lines if line["split"] == "train"]
    parts = ", ".join(
        f"{name.removeprefix('seconds_')} {sum(values) / len(values):.2f} s"
        for name in _STEP
        if (values := [line[name] for line in steps if line.get(name) is not None])
    )
    text = (
        f"Trainer `{stage.trainer}`, {stage.at} of {stage.steps} steps, {stage.state.targets:,} tokens drawn, best at step "
        f"{stage.state.best_step}. A step on average: {parts or 'none taken'}."
    )
    if why := stage.why_ended():
        text += f" It ended early: {why}."
    return ["## The run", "", text, ""]


def _alarms(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    told = [f"- step {line['step']}: {line['reason']}" for line in lines if line["split"] == "alarm"]
    return ["## Alarms", "", *(told or ["No monitor tripped."]), ""]


def _measured_on(stage: Refinement) -> list[str]:
    rows = [f"| {name} | {count['prompts']} | {count['works']} |" for name, count in stage.prompts.counts().items()]
    return [
        "## Measured on", "", "| set | prompts | works |", "|---|---|---|", *rows, "",
        "No work stands in two sets, and the corpus's test split was not opened. Stories over time are in `samples/`.", "",
        *([stage.prompts.unjudged, ""] if stage.prompts.unjudged else []),
    ]  # fmt: skip


def _figures(decision: Decision) -> dict[str, Any]:
    return {
        "passed": decision.passed,
        "scale": decision.scale,
        "weights": decision.weights,
        "why": decision.why,
        "gate": decision.gate,
        "gate_reference": decision.reference,
        "gate_gain": decision.gate_gain,
        "matched_gain": decision.matched_gain,
        "frontier": [
            {"temperature": temperature, "before": before, "after": after}
            for temperature, before, after in decision.frontier
        ],
        "tried": [
            {
                "weights": one.weights,
                "scale": one.scale,
                "gain": one.gain,
                "figures": one.figures,
                "alarms": list(map(str, one.alarms)),
            }
            for one in decision.tried
        ],
    }


def plot_refinement(run: Run, lines: Sequence[Mapping[str, Any]]) -> Path | None:
    """Draw the run's curves to `refinement.svg`, alarms as dashed lines; None when nothing was measured."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown = [(title, [(key, _curve(lines, *key)) for key in keys]) for title, keys in _PANELS]
    shown = [(title, [(key, curve) for key, curve in curves if curve[0]]) for title, curves in shown]
    shown = [(title, curves) for title, curves in shown if curves]
    if not shown:
        return None
    alarms = [line["step"] for line in lines if line["split"] == "alarm"]
    pyplot.rcParams["svg.fonttype"] = "none"
    rows = -(-len(shown) // 2)
    figure, grid = pyplot.subplots(rows, 2, figsize=(9, 2.4 * rows), squeeze=False)
    for axes, (title, curves) in zip(grid.flat, shown, strict=False):
        for (split, key), (steps, values) in curves:
            axes.plot(steps, values, label=f"{key} ({split})", marker="o" if split == "dev" else None, markersize=3)
        for step in alarms:
            axes.axvline(step, linestyle="--", color="grey", linewidth=0.8)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=7)
    for axes in list(grid.flat)[len(shown) :]:
        axes.set_visible(False)
    figure.tight_layout()
    path = run.folder / "refinement.svg"
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    return path


def _curve(lines: Sequence[Mapping[str, Any]], split: str, key: str) -> tuple[list[int], list[float]]:
    points = [(line["step"], line[key]) for line in lines if line["split"] == split and line.get(key) is not None]
    return [step for step, _ in points], [value for _, value in points]
