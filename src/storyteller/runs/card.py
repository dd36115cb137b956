"""The model card: what a model is, what it was made of and how it was measured, in the form that model hubs read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from storyteller.recipe import Recipe
from storyteller.recipe.load import dump_recipe
from storyteller.runs.files import write_atomic

__all__ = ["write_card"]


def write_card(
    folder: Path,
    recipe: Recipe,
    *,
    languages: Sequence[str],
    licences: Mapping[str, int],
    figures: Mapping[str, Any],
    data: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> None:
    """Write `README.md` to a model's folder.

    `licences` counts training stories by licence, `figures` are measurements by name, `data` says what identifies the
    training data (paths' names, counts, hashes), `notes` are sentences that a user must know.
    """
    adapter = recipe.model.method != "full" and recipe.pretrain is None
    bottleneck = recipe.model.method == "bottleneck" and recipe.pretrain is None
    masked = recipe.pretrain is not None and recipe.pretrain.objective == "masked"
    front = {
        **({"base_model": recipe.model.base} if recipe.pretrain is None else {}),
        "library_name": "storyteller" if bottleneck else "peft" if adapter else "transformers",
        "pipeline_tag": "fill-mask" if masked else "text-generation",
        "language": list(languages),
        "tags": ["storytelling", "storyteller", "pretrained" if recipe.pretrain is not None else recipe.model.method],
    }
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip(),
        "---",
        "",
        f"# {recipe.name}",
        "",
    ]
    kind = "An adapter for" if adapter else "A fine-tuned"
    if recipe.pretrain is None:
        lines += [f"{kind} `{recipe.model.base}`, made by Storyteller to write stories.", ""]
    else:
        lines += [f"A {recipe.pretrain.objective} model, trained from nothing by Storyteller on stories.", ""]
    if bottleneck:  # the one kind that PEFT does not have
        lines += ["Storyteller reads it (`storyteller write --model FOLDER`); PEFT has no bottleneck adapters.", ""]
    lines += [note + "\n" for note in notes]
    lines += _table("Figures", figures)
    lines += _table("Training data", data)
    if licences:
        lines += _table("Licences of the training stories", licences)
    lines += ["## Recipe", "", "```yaml", dump_recipe(recipe).strip(), "```", ""]
    write_atomic(folder / "README.md", "\n".join(lines))


def _table(title: str, values: Mapping[str, Any]) -> list[str]:
    def cell(value: Any) -> str:
        return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|").replace("\n", " ")

    rows = [f"| {cell(key)} | {cell(value)} |" for key, value in values.items()]
    return [f"## {title}", "", "| what | value |", "|---|---|", *rows, ""]
