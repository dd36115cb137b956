"""What a model is, as plain values for a table, a sheet or JSON, from headers and settings alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from storyteller.models.adapters.own import adapter_kind
from storyteller.models.convert import converted_folder
from storyteller.models.entries import Entry, find_entry, shipped_adapter
from storyteller.models.location import Located, locate

__all__ = ["describe", "describe_entry", "sheet", "table"]


def describe(name: str) -> dict[str, Any]:
    """Everything known about the model called `name`; `ModelError` if there is none.

    A model of the catalogue is described whether it is in the cache or not; any other one is located first.
    """
    entry = find_entry(name)
    if entry is None:
        return _describe_located(locate(name))
    return describe_entry(entry) | {
        "about": entry.about,
        "architecture": entry.architecture,
        "context": entry.context,
        "base": entry.base,
        "adapter": str(shipped_adapter() or "") or None if entry.base else None,
        "sha256": entry.sha256 or None,
        "terms": f"{entry.terms.name}: {entry.terms.address} {entry.terms.summary}" if entry.terms else None,
        "place": str(entry.place) if entry.installed else None,
        "folder": str(folder) if (folder := converted_folder(entry.sha256)).is_dir() else None,
        "package": ", ".join(f"{part.package}=={part.version}" for part in entry.parts) or None,
    }


def describe_entry(entry: Entry) -> dict[str, Any]:
    """One row of the list of models: sizes in bytes, of what is fetched and of all that lies on this disk."""
    adapter = shipped_adapter() if entry.base else None
    places = [adapter] if entry.base else [entry.place.parent, converted_folder(entry.sha256)]
    files = [file for place in places if place for file in place.rglob("*") if file.is_file()]
    return {
        "name": entry.name,
        "languages": list(entry.languages),
        "parameters": entry.parameters,
        "download": entry.download,
        "on_disk": sum(file.stat().st_size for file in files),
        "licence": entry.licence,
        "in_cache": entry.installed,
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `describe_entry` as aligned text."""
    head = ("NAME", "LANGUAGES", "PARAMETERS", "DOWNLOAD", "ON DISK", "LICENCE", "IN CACHE")
    cells = [
        (
            row["name"],
            ", ".join(row["languages"]),
            f"{row['parameters'] / 1e6:.0f}M",
            *(f"{row[size] / 1e6:.0f} MB" if row[size] else "-" for size in ("download", "on_disk")),
            row["licence"],
            "yes" if row["in_cache"] else "no",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in (head, *cells)) for column in range(len(head))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (head, *cells))
    return "\n".join(line.rstrip() for line in lines)


def sheet(described: Mapping[str, Any]) -> str:
    """A description as one `key: value` line each, without what is not known."""
    shown = {key.replace("_", " "): value for key, value in described.items() if value not in (None, [], "")}
    width = max(map(len, shown)) + 1
    return "\n".join(f"{key + ':':<{width}} {_readable(value)}" for key, value in shown.items())


def _readable(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(f"{item:.3g}" if isinstance(item, float) else str(item) for item in value)
    return str(value)


def _describe_located(located: Located) -> dict[str, Any]:
    members = located.members or (located,)
    configs = [json.loads((member.folder / "config.json").read_text(encoding="utf-8")) for member in members]
    contexts = [config.get("max_position_embeddings", config.get("n_positions")) for config in configs]
    files = sorted({file for member in members for file in _files(member)})  # a base of several members counts once
    described = {
        "name": located.name,
        "languages": list(located.languages),
        "parameters": sum(_count(file) for file in files),
        "on_disk": sum(file.stat().st_size for file in files),
        "in_cache": True,
        "architecture": ", ".join(dict.fromkeys(filter(None, (config.get("model_type") for config in configs))))
        or None,
        "context": min(filter(None, contexts), default=None),
    }
    if located.ensemble is not None:
        return described | {
            "rule": located.ensemble.rule,
            "gate": located.ensemble.gate.model_dump(exclude_none=True) or None,
            "members": [str(member.adapter or member.folder) for member in members],
            "weights": list(located.ensemble.weights),
            "sha256": located.sha256,
        }
    return described | {
        "base": located.base if located.adapter else None,
        "adapter": str(located.adapter) if located.adapter else None,
        "adapter_kind": adapter_kind(located.adapter) if located.adapter else None,
        "sha256": located.sha256,
        "place": str(located.gguf) if located.gguf else None,
        "folder": str(located.folder),
    }


def _files(located: Located) -> list[Path]:
    """The files of a model's weights, and of its adapter's."""
    adapter = [located.adapter / "adapter_model.safetensors"] if located.adapter else []
    return [*located.folder.glob("model*.safetensors"), *adapter]


def _count(file: Path) -> int:
    """The number of values in a safetensors file, from its header alone."""
    with file.open("rb") as opened:
        header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
