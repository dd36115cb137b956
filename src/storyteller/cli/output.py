"""How results are printed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

__all__ = ["print_dry_run"]


def print_dry_run(plan: Mapping[str, Any], *, as_json: bool) -> None:
    """The plan of a run: resolved recipe, data report and cost, as YAML or as one JSON object."""
    if as_json:
        print(json.dumps(plan, ensure_ascii=False))
        return
    for part in ("recipe", "data"):
        print(yaml.safe_dump({part: plan[part]}, sort_keys=False, allow_unicode=True))
    print(plan["summary"])
