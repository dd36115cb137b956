"""The model card of a merged model: what it was made of, how, and under which licences."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from storyteller.models import Located
from storyteller.models.entries import find_entry
from storyteller.runs import write_atomic

__all__ = ["licences_of", "write_merge_card"]

_LICENCES = re.compile(r"^## Licences.*?\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| *(.+?) *\| *([^|]+?) *\|$", re.MULTILINE)


def write_merge_card(folder: Path, name: str, members: Sequence[Located], report: Mapping[str, Any]) -> None:
    """Write `README.md`, and `ATTRIBUTION.md` with what the members' files of that name ask to be passed on."""
    adapter = report["kind"] == "adapter"
    front = {
        "base_model": report["base"],
        "library_name": "peft" if adapter else "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["storytelling", "storyteller", "merge", report["method"]],
    }
    lines = ["---", yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip(), "---", "", f"# {name}", ""]
    kind = f"An adapter for `{report['base']}`" if adapter else "A model"
    lines += [f"{kind}, merged by Storyteller ({report['method']}).", "", "## Made of", ""]
    lines += ["| model | weight | SHA-256 |", "|---|---|---|"]
    lines += [f"| {s['model']} | {s['weight']:g} | {s['sha256'][:16]} |" for s in report["sources"]]
    settings = {
        key: report[key] for key in ("density", "scale", "seed", "rank", "energy_lost") if report.get(key) is not None
    }
    lines += ["", "## Method", "", "| what | value |", "|---|---|", f"| method | {report['method']} |"]
    lines += [f"| {key.replace('_', ' ')} | {value:g} |" for key, value in settings.items()]
    licences = licences_of(members)
    lines += ["", "## Licences of all that it was made of", "", "| what | members |", "|---|---|"]
    lines += [f"| {licence} | {', '.join(names)} |" for licence, names in licences.items()] + [""]
    write_atomic(folder / "README.md", "\n".join(lines))
    notes = [note for member in members if (note := _read(member, "ATTRIBUTION.md"))]
    if notes:
        write_atomic(folder / "ATTRIBUTION.md", "\n".join(dict.fromkeys(notes)))


def licences_of(members: Sequence[Located]) -> dict[str, list[str]]:
    """Every licence that the members' cards and bases name, with the members that it comes from."""
    found: dict[str, list[str]] = {}
    for member in members:
        base = find_entry(member.base)
        stated = [f"{base.licence} (the base {base.name})"] if base else []
        table = _LICENCES.search(_read(member, "README.md"))
        rows = [licence for licence, _ in _ROW.findall(table[1])] if table else []
        stated += [row for row in rows if row != "what" and set(row) != {"-"}]
        for licence in stated or ["not stated"]:
            found.setdefault(licence, []).append(member.name)
    return found


def _read(member: Located, file: str) -> str:
    path = (member.adapter or member.folder) / file
    return path.read_text(encoding="utf-8") if path.is_file() else ""
