"""`storyteller prepare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from storyteller.corpus.settings import PrepareSettings
from storyteller.corpus.story import FORMS, LANGUAGES

__all__ = ["prepare"]


def prepare(
    paths: Annotated[list[Path], typer.Argument(help="Folders and files: txt, md, jsonl, EPUB, DOCX, HTML, Fountain.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    language: Annotated[list[str], typer.Option("--lang", help="Languages to keep.")] = list(LANGUAGES),  # noqa: B006
    form: Annotated[list[str], typer.Option(help="Forms to keep.")] = list(FORMS),  # noqa: B006
    min_words: Annotated[int, typer.Option(help="Shortest story, in words or 字.")] = 30,
    max_words: Annotated[int | None, typer.Option(help="Longest story, in words or 字.")] = 60_000,
    duplicates: Annotated[bool, typer.Option("--duplicates", help="Keep exact and near duplicates.")] = False,
    threshold: Annotated[float, typer.Option(help="Similarity from which a story is a near duplicate.")] = 0.8,
    dev: Annotated[float, typer.Option(help="Share of the stories for development.")] = 0.05,
    test: Annotated[float, typer.Option(help="Share of the stories for the test.")] = 0.05,
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 1,
    young_readers: Annotated[bool, typer.Option("--young-readers", help="Leave out adult words and slurs.")] = False,
    licences: Annotated[str | None, typer.Option(help="Keep only licences that match this pattern.")] = None,
    exclude_licences: Annotated[str | None, typer.Option(help="Leave out licences that match this pattern.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object.")] = False,
) -> None:
    """Turn files of stories into a clean, deduplicated corpus with train, dev and test splits."""
    from storyteller.corpus import preparation

    settings = PrepareSettings(
        languages=tuple(language),  # type: ignore[arg-type]  # the settings refuse an unknown name
        forms=tuple(form),  # type: ignore[arg-type]
        min_words=min_words,
        max_words=max_words,
        deduplicate=not duplicates,
        threshold=threshold,
        dev=dev,
        test=test,
        seed=seed,
        young_readers=young_readers,
        licences=licences,
        exclude_licences=exclude_licences,
    )
    report = preparation.prepare(paths, out, settings=settings)
    print(json.dumps(report.to_json(), ensure_ascii=False) if as_json else f"{report.summary()}\nWritten to {out}")
