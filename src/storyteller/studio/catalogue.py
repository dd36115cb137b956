"""The models that a writer can choose from, with what is known and measured about each."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from storyteller.errors import StorytellerError
from storyteller.models.describe import describe_entry
from storyteller.models.ensemble_file import ENSEMBLE_FILE, read_ensemble
from storyteller.models.entries import catalogue, entry_named, find_entry
from storyteller.runs.files import read_json
from storyteller.runs.home import models_home

__all__ = ["describe_model", "figures_of", "holds_model", "list_models"]


def list_models(
    runs: Path,
    *,
    loaded: Collection[str] = (),
    connections: Iterable[dict[str, Any]] = (),
    hidden: Collection[str] = (),
) -> list[dict[str, Any]]:
    """What can write: the catalogue, what was trained here, files that were put beside the models, and servers.

    A folder's name is its absolute path, a server's `remote:` with the id of its connection. `hidden` are folders that
    are another writer's. Nothing is loaded or converted for it.
    """
    found = [*_catalogue(), *_runs(runs, hidden), *_files(models_home()), *_remote(connections)]
    return [model | {"loaded": model["name"] in loaded} for model in found]


def describe_model(name: str) -> dict[str, Any]:
    """What is known of one model, whatever it is."""
    entry = find_entry(name)
    if entry is not None:
        return next(model for model in _catalogue() if model["name"] == name)
    folder = Path(name)
    return next(_folder(folder), None) or _model(
        name, "remote" if name.startswith("remote:") else "model", title=folder.name
    )


def holds_model(name: str) -> bool:
    """Whether a name is the path of a folder or of a GGUF file that a model can be loaded from."""
    path = Path(name)
    try:
        return bool(name) and (next(_folder(path), None) is not None or (path.suffix == ".gguf" and path.is_file()))
    except (OSError, ValueError):  # a name too long for a file's, or with a null character
        return False


def figures_of(name: str) -> list[dict[str, Any]]:
    """What was measured of a model of the catalogue, from docs/results.md; of others nothing is known."""
    figures: list[dict[str, Any]] = _figures().get(name, {}).get("figures", [])
    return figures


@cache
def _figures() -> dict[str, Any]:
    values: dict[str, Any] = json.loads((files("storyteller.studio") / "figures.json").read_text(encoding="utf-8"))
    return values


def _catalogue() -> Iterator[dict[str, Any]]:
    for entry in catalogue():
        if entry.writes:
            row = describe_entry(entry)
            weights = entry_named(entry.base).size if entry.base else entry.size
            yield _model(
                entry.name,
                "adapter" if entry.base else "model",
                languages=list(entry.languages),
                parameters=entry.parameters,
                bytes=weights + (row["on_disk"] if entry.base else 0),
                download=entry.download,
                fetched=entry.installed,
                licence=entry.licence,
                note=entry.about,
                figures=figures_of(entry.name),
                terms=f"{entry.terms.name}: {entry.terms.address}\n{entry.terms.summary}" if entry.terms else None,
            )


def _runs(runs: Path, hidden: Collection[str]) -> Iterator[dict[str, Any]]:
    for folder in sorted(runs.absolute().glob("*")) if runs.is_dir() else ():
        name = str(folder)
        if name not in hidden and not folder.name.startswith("."):
            yield from _folder(folder)


def _folder(folder: Path) -> Iterator[dict[str, Any]]:
    """The model in a folder, if there is one that can be loaded."""
    if (folder / ENSEMBLE_FILE).is_file():
        yield from _ensemble(folder)
    elif weights := _weights_of(folder):
        base = _base_of(weights.parent)
        entry = find_entry(base) if base else None
        yield _model(
            str(folder),
            "run",
            title=folder.name,
            languages=list(entry.languages) if entry else ["en", "zh"],
            parameters=entry.parameters if entry else None,
            bytes=weights.stat().st_size,
            note=f"adapter on {base}" if base else "",
        )


def _ensemble(folder: Path) -> Iterator[dict[str, Any]]:
    try:
        ensemble = read_ensemble(folder)
    except StorytellerError:
        return  # who made it is told when it is asked for by name
    members = dict(zip(ensemble.names, ensemble.weights, strict=True))
    yield _model(str(folder), "ensemble", title=folder.name, members=members, rule=ensemble.rule, note=ensemble.rule)


def _files(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.gguf")) if folder.is_dir() else ():
        yield _model(str(path), "model", title=path.stem, bytes=path.stat().st_size)


def _remote(connections: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for connection in connections:
        title = connection["name"] or connection["model"]
        note = f"{connection['model']} @ {connection['url']}"
        yield _model(f"remote:{connection['id']}", "remote", title=title, note=note)


def _model(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "title": name,
        "kind": kind,
        "languages": ["en", "zh"],
        "parameters": None,
        "bytes": None,
        "download": None,
        "fetched": True,
        "licence": "",
        "note": "",
        "figures": [],
        "members": None,
        "rule": None,
        "terms": None,
    } | more


def _weights_of(folder: Path) -> Path | None:
    """The weights that a run, a model's folder or an adapter's would be loaded from."""
    places = [folder / "final", folder]
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        places.insert(1, folder / "checkpoints" / str(read_json(folder / "best.json")["checkpoint"]))
    for place in places:
        for name in ("adapter_model.safetensors", "model.safetensors"):
            if (place / name).is_file():
                return place / name
    return None


def _base_of(folder: Path) -> str | None:
    try:
        return str(read_json(folder / "adapter_config.json")["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
