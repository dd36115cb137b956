"""Several runs: each is a command of its own in a process of its own, and leaves a normal folder.

`sweep` runs one recipe many times with other settings and looks for the best; `space` says what a trial may draw, `study`
keeps what was tried, `trial` looks after one child process, `sweep_report` tells what was found. `pipeline` runs the stages
of a recipe one after the other. Neither imports torch: whoever waits for a training should not hold memory that it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storyteller.lazy import late

if TYPE_CHECKING:
    from storyteller.stages.pipeline import run_pipeline
    from storyteller.stages.sweep import sweep_recipe

__all__ = ["run_pipeline", "sweep_recipe"]

__getattr__ = late(__name__, {"run_pipeline": "pipeline", "sweep_recipe": "sweep"})
