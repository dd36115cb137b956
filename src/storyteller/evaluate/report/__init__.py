"""Reports of an evaluation of stories: what a writer reads on the first page, and a reviewer on the last.

`reading` holds the rules of what may be claimed, `sentences` makes the first page's sentences by them, `english` and
`chinese` are the words; `markdown` and `html` lay the same content out, with `plots` as inline SVG.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from storyteller.evaluate.findings import Findings
from storyteller.evaluate.report.html import render_html
from storyteller.evaluate.report.markdown import render_markdown
from storyteller.evaluate.report.view import ReportLanguage
from storyteller.runs.files import write_atomic, write_json

__all__ = ["ReportLanguage", "render_html", "render_markdown", "write_reports"]


def write_reports(findings: Sequence[Findings], out: Path, language: ReportLanguage = "en") -> None:
    """Write `report.json`, `report.md` and `report.html` to the folder `out`, each all or nothing.

    `findings` has one member for each language that was evaluated; `language` is that of the report's own words.
    `read_findings` reads `report.json` again.
    """
    write_json(out / "report.json", [one.to_json() for one in findings])
    write_atomic(out / "report.md", render_markdown(findings, language))
    write_atomic(out / "report.html", render_html(findings, language))
