"""`storyteller label CORPUS`: which stories a person should label next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["label"]


def label(
    corpus: Annotated[Path, typer.Argument(help="A folder written by `storyteller prepare`.")],
    out: Annotated[Path, typer.Option(help="The file to write: one story a line, the most helpful first.")],
    count: Annotated[int, typer.Option(min=1, help="How many stories.")] = 20,
    critic: Annotated[
        Path | None, typer.Option(help="A refinement whose critic is asked; default: the coherence scorer.")
    ] = None,
    labelled: Annotated[Path | None, typer.Option(help="An earlier such file: its stories are known already.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Read at most so many stories.")] = 500,
    lang: Annotated[str, typer.Option(help="The language of the stories: en, or zh with --critic.")] = "en",
) -> None:
    """Propose the stories whose labels would teach a scorer most: doubtful ones, unlike each other."""
    import itertools
    import math

    from storyteller.corpus import LANGUAGES, read_split
    from storyteller.errors import DataError
    from storyteller.evaluate.embedding import embed_sentences, story_embeddings
    from storyteller.runs.files import write_atomic
    from storyteller.tokens import Request
    from storyteller.train.labels import propose

    ids = _ids(labelled) if labelled is not None else set()
    language = next((known for known in LANGUAGES if known == lang), None)
    if language is None:
        raise DataError(f"--lang is en or zh, not {lang!r}.")
    stories = list(itertools.islice((s for s in read_split(corpus, "train") if s.language == language), limit))
    if not stories:
        raise DataError(f"{corpus} has no training story in {lang}.")
    texts = [story.text for story in stories]
    if critic is not None:
        from storyteller.adversarial.using import StoryCritic

        judge = StoryCritic.load(critic)
        found = [judge.judge(Request("write", story.language, story.form), [story.text])[0] for story in stories]
        chances = [1 / (1 + math.exp(-min(50.0, max(-50.0, one.realism)))) for one in found]
    else:
        from storyteller.evaluate.scorer.scorer import CoherenceScorer

        scores = CoherenceScorer.load().score(texts, language)
        chances = [math.nan if score.value is None else score.value for score in scores]
    known = [place for place, story in enumerate(stories) if story.id in ids]
    chosen = propose(story_embeddings(embed_sentences(texts, language)), chances, count, known)
    lines = [
        stories[i].to_json() | {"chance": None if math.isnan(chances[i]) else round(chances[i], 4)} for i in chosen
    ]
    write_atomic(out, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    typer.echo(f"{len(lines)} of {len(stories)} stories, the most helpful first, written to {out}")


def _ids(path: Path) -> set[str]:
    """The stories of an earlier list; `DataError` for a file that is none."""
    from storyteller.errors import DataError

    ids: set[str] = set()
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        try:
            ids.update({str(json.loads(line)["id"])} if line.strip() else ())
        except (ValueError, KeyError, TypeError):
            raise DataError(
                f"{path}, line {number}: not a story with its id; --labelled takes a file that `storyteller label` wrote."
            ) from None
    return ids
