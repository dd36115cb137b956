"""The loss curve of a run, drawn from `metrics.jsonl` alone, and that of a range test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from storyteller.runs.figures import new_figure, save_figure
from storyteller.runs.run import Run

__all__ = ["plot_losses", "plot_rates"]


def plot_losses(run: Run) -> Path | None:
    """Draw bits per byte over optimizer steps, training and dev, to `loss.svg`; None when nothing was measured yet."""
    curves: dict[str, tuple[list[float], list[float]]] = {}
    for line in run.metrics():
        if line.get("bits_per_byte") is not None:
            steps, values = curves.setdefault(line["split"], ([], []))
            steps.append(line["step"])
            values.append(line["bits_per_byte"])
    if not curves:
        return None
    figure, axes = new_figure(7, 4)
    for split, (steps, values) in sorted(curves.items()):
        axes.plot(steps, values, label=split, marker="o" if split == "dev" else None, linewidth=1.5, markersize=4)
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("bits per byte of target text")
    axes.set_title(run.recipe().name)
    axes.legend(frameon=False)
    path = run.folder / "loss.svg"
    save_figure(figure, path)
    return path


def plot_rates(
    path: Path, rates: Sequence[float], changes: Sequence[float], smoothed: Sequence[float], suggested: float | None
) -> None:
    """Draw what each learning rate did to the loss, in nats a token, over the rates of a range test."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams["svg.fonttype"] = "none"
    figure, axes = pyplot.subplots(figsize=(7, 4))
    axes.plot(rates, changes, color="0.7", marker=".", linewidth=0.8, label="each step")
    axes.plot(rates, smoothed, linewidth=1.8, label="smoothed")
    axes.axhline(0, color="0.5", linewidth=0.8)
    if suggested is not None:
        axes.axvline(suggested, linestyle="--", color="C2", label=f"suggested: {suggested:.1e}")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss against the untouched model, nats a token")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
