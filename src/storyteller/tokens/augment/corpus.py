"""A prepared folder with variants among its training stories, and a manifest that says which they are."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from storyteller.corpus import read_split
from storyteller.corpus.read import MANIFEST, is_prepared
from storyteller.errors import DataError
from storyteller.recipe.robustness import AugmentRecipe
from storyteller.runs.console import progress
from storyteller.runs.files import file_sha256, is_free, read_json, replacing_folder, write_json
from storyteller.tokens.augment.paraphrase import Paraphraser
from storyteller.tokens.augment.variants import variants

__all__ = ["augment_corpus"]


def augment_corpus(
    folder: Path,
    out: Path,
    recipe: AugmentRecipe | None = None,
    paraphraser: Paraphraser | None = None,
    *,
    seed: int = 1,
) -> dict[str, Any]:
    """Copy the prepared `folder` to `out` with variants behind the training stories, and return what was made.

    Dev and test are copied as they are. Each variant is marked in its record (`augmented`), and `manifest.json` gains
    `augmented`: settings, source, counts by kind. Raises `DataError` when `folder` was not prepared, has variants
    already, or when `out` exists and was not written by us; `out` is then what it was.
    """
    if not (is_free(out) or is_prepared(out)):
        raise DataError(f"{out} exists and is no prepared folder. Name another one with --out.")
    stories = read_split(folder, "train")
    manifest = read_json(folder / MANIFEST)
    if "augmented" in manifest:
        raise DataError(
            f"{folder} has variants already; variants of variants teach mistakes. Augment what it came from."
        )
    counts: Counter[str] = Counter()
    words, licences = 0, Counter[str]()  # of the variants
    total = int(manifest.get("stories", {}).get("train", 0))
    with replacing_folder(out) as part, progress(total, "making variants") as advance:
        with (part / "train.jsonl").open("w", encoding="utf-8") as file:
            for story in stories:
                made = [story, *(variants(story, recipe, seed) if recipe else ())]
                if paraphraser is not None and (told := paraphraser.variant(story, seed)) is not None:
                    made.append(told)
                words += sum(one.words for one in made[1:])
                licences.update(one.licence or "" for one in made[1:])
                for one in made:
                    counts[one.augmented or "as it was"] += 1
                    file.write(json.dumps(one.to_json(), ensure_ascii=False) + "\n")
                advance()
        for name in ("dev.jsonl", "test.jsonl", "report.json", "report.md"):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, part / name)
        told_of = {
            "from": str(folder),
            "seed": seed,
            "settings": recipe.model_dump(mode="json") if recipe else None,
            "paraphrase": None if paraphraser is None else {"how": paraphraser.how, "share": paraphraser.share},
            "sentences": dict(paraphraser.counts) if paraphraser else {},
            "stories": dict(counts),
        }
        manifest["augmented"] = told_of
        manifest["stories"] = {**manifest.get("stories", {}), "train": counts.total()}
        manifest["words"] = manifest.get("words", 0) + words
        manifest["licences"] = dict(Counter(manifest.get("licences", {})) + licences)
        manifest["sha256"] = {f"{name}.jsonl": file_sha256(part / f"{name}.jsonl") for name in ("train", "dev", "test")}
        write_json(part / MANIFEST, manifest)
    return told_of
