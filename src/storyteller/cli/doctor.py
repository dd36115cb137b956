"""`storyteller doctor`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

__all__ = ["doctor"]


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False) -> None:
    """Say what this machine has, what Storyteller will use of it, and what is missing."""
    from storyteller.evaluate.doctor import examine

    findings = examine()
    if as_json:
        print(json.dumps(findings, ensure_ascii=False))
        return
    for key, value in findings.items():
        print(f"{key:12} {value}")
