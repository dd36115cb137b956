"""Evaluation: figures about models on stories, each with an interval and the texts that it came from.

Two suites. `losses`: how well a model predicts unseen stories (`loss`, `loss_report`). `stories`: what it writes when it
is asked (`prompts` -> `collect` -> texts.jsonl -> `suite` -> `findings` -> `report`), beside people and beside people's texts
with a known fault. The metrics are pure functions on lists of texts, a file for each family: `judges`, `distances`,
`diversity`, `degeneration`, `slop`, `copying`, `people`, `readability`, `scorer`. `statistics` and `bootstrap` give them
intervals over works. `blind` lets people compare, `judge_model` another model; `doctor` looks at the machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storyteller.lazy import late

if TYPE_CHECKING:
    from storyteller.evaluate.bootstrap import Interval, ratio_interval
    from storyteller.evaluate.findings import Findings, read_findings
    from storyteller.evaluate.loss import StoryLoss, measure_losses, summarise
    from storyteller.evaluate.loss_report import compare, evaluate_models, render_report
    from storyteller.evaluate.report import render_html, render_markdown, write_reports
    from storyteller.evaluate.stories import evaluate_stories
    from storyteller.evaluate.suite import measure_stories
    from storyteller.evaluate.texts import Text, read_texts, write_texts

__all__ = [
    "Findings",
    "Interval",
    "StoryLoss",
    "Text",
    "compare",
    "evaluate_models",
    "evaluate_stories",
    "measure_losses",
    "measure_stories",
    "ratio_interval",
    "read_findings",
    "read_texts",
    "render_html",
    "render_markdown",
    "render_report",
    "summarise",
    "write_reports",
    "write_texts",
]

__getattr__ = late(
    __name__,
    {
        "Findings": "findings",
        "Interval": "bootstrap",
        "StoryLoss": "loss",
        "Text": "texts",
        "compare": "loss_report",
        "evaluate_models": "loss_report",
        "evaluate_stories": "stories",
        "measure_losses": "loss",
        "measure_stories": "suite",
        "ratio_interval": "bootstrap",
        "read_findings": "findings",
        "read_texts": "texts",
        "render_html": "report",
        "render_markdown": "report",
        "render_report": "loss_report",
        "summarise": "loss",
        "write_reports": "report",
        "write_texts": "texts",
    },
)
