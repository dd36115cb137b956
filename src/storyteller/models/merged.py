"""A model with its adapter merged in, as a folder of its own: for what takes whole models only, or no such adapter."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from storyteller.errors import ModelError
from storyteller.models.adapters.own import MERGEABLE, adapter_kind
from storyteller.models.entries import find_entry
from storyteller.models.load import load_model
from storyteller.models.location import Located, locate
from storyteller.models.save import save_model
from storyteller.runs.files import is_free, replacing_folder, write_atomic

__all__ = ["merge_adapter"]

_COPIED = ("storyteller_template.json", "ATTRIBUTION.md")


def merge_adapter(name: str, out: Path) -> None:
    """Write the model `name`, its adapter merged into its base, to the new folder `out`; reloaded, it is proved the same.

    Raises `ModelError` for a model without an adapter, with one whose effect no weights of the base can have, and when
    something is at `out` already.
    """
    located = locate(name)
    if located.adapter is None:
        raise ModelError(f"{name} has no adapter of its own that could be merged into a base.")
    if (kind := adapter_kind(located.adapter)) not in MERGEABLE:
        raise ModelError(
            f"the adapter of {name} is of the kind {kind}, which adds what no weights of the base can be; use it as it is."
        )
    if not is_free(out):
        raise ModelError(f"{out} is there already; name a new folder with --out.")
    model = load_model(located, merge=True)
    with replacing_folder(out) as part:
        save_model(model, part, tokenizer_from=located.folder)
        for file in _COPIED:
            if (located.adapter / file).is_file():
                shutil.copyfile(located.adapter / file, part / file)
        write_atomic(part / "README.md", _card(located, located.adapter, out.name))


def _card(located: Located, adapter: Path, title: str) -> str:
    """The adapter's card, which knows what was learned and under which licences, under a head of its own."""
    front = {"base_model": located.base, "library_name": "transformers", "pipeline_tag": "text-generation",
             "tags": ["storytelling", "storyteller", "merge"]}  # fmt: skip
    base = find_entry(located.base)
    licence = f" ({base.licence})" if base else ""
    lines = ["---", yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip(), "---", "", f"# {title}", ""]
    lines += [f"`{located.base}`{licence} with the adapter {located.name} merged into it by Storyteller.", ""]
    card = adapter / "README.md"
    if card.is_file():
        told = card.read_text(encoding="utf-8")
        body = told.split("\n---\n", 1)[-1] if told.startswith("---\n") else told
        lines += ["What follows is the adapter's own card.", "", body.strip(), ""]
    return "\n".join(lines)
