"""Figures as SVG whose text stays text: whoever looks at one has the letters, of whatever script a run's name is."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

__all__ = ["new_figure", "save_figure"]


def new_figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure of so many inches and its axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams["svg.fonttype"] = "none"
    figure, axes = pyplot.subplots(figsize=(width, height))
    axes.grid(alpha=0.3)
    return figure, axes


def save_figure(figure: Any, path: Path) -> None:
    """Write it to `path` as SVG whatever the name ends with, the same bytes for the same figure, and forget it."""
    from matplotlib import pyplot

    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # Letters that matplotlib's own font lacks are measured wrongly, and drawn by the font of whoever looks.
        warnings.filterwarnings("ignore", message=".*Glyph", category=UserWarning)
        figure.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
