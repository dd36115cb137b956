"""Evaluation: figures about models on stories, each with an interval and the texts that it came from.

`loss` measures how well a model predicts unseen stories, `bootstrap` gives intervals over works, `loss_report` compares models
on the same stories and writes it down, `doctor` looks at the machine.
"""

from __future__ import annotations

from storyteller.evaluate.bootstrap import Interval, ratio_interval
from storyteller.evaluate.loss import StoryLoss, measure_losses, summarise
from storyteller.evaluate.loss_report import compare, evaluate_models, render_report

__all__ = [
    "Interval",
    "StoryLoss",
    "compare",
    "evaluate_models",
    "measure_losses",
    "ratio_interval",
    "render_report",
    "summarise",
]
