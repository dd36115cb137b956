"""`storyteller label CORPUS`: which stories a person should label next, and the labels that can be had without one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from storyteller.errors import DataError

if TYPE_CHECKING:
    from storyteller.corpus import Form, Language, Story
    from storyteller.train.labels import ScoreFunction

__all__ = ["label"]


def label(
    corpus: Annotated[Path, typer.Argument(help="A folder written by `storyteller prepare`.")],
    out: Annotated[Path, typer.Option(help="The file to write: one story a line, the most helpful first.")],
    count: Annotated[int, typer.Option(min=1, help="How many stories.")] = 20,
    critic: Annotated[
        Path | None, typer.Option(help="A refinement whose critic is asked; default: the coherence scorer.")
    ] = None,
    labelled: Annotated[Path | None, typer.Option(help="An earlier such file: its stories are known already.")] = None,
    accept: Annotated[
        bool,
        typer.Option("--accept", help="Label what is sure, checked on --labelled, where people put labels of 0 or 1."),
    ] = False,
    threshold: Annotated[float, typer.Option(help="With --accept: the least chance of a label.")] = 0.95,
    at_random: Annotated[
        bool, typer.Option("--random", help="Draw stories at random: a sample for people, to check --accept on.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="Consider so many stories, drawn from the whole corpus.")] = 500,
    lang: Annotated[str, typer.Option(help="The language of the stories: en, or zh with --critic.")] = "en",
) -> None:
    """Propose the stories whose labels would teach a scorer most, or label those that it is sure of."""
    from storyteller.corpus import LANGUAGES, read_split

    language = next((known for known in LANGUAGES if known == lang), None)
    if language is None:
        raise DataError(f"--lang is en or zh, not {lang!r}.")
    if language != "en" and critic is None:
        raise DataError(
            f"the coherence scorer reads English only; for stories in {lang} name a refinement with --critic."
        )
    if accept and labelled is None:
        raise DataError(
            "--accept checks its labels on those of people; name the file that they are in with --labelled."
        )
    if accept and at_random:
        raise DataError(
            "--random draws stories for people to label, and --accept labels without them: give one of them."
        )
    known = _records(labelled) if labelled is not None else []
    stories = _drawn((story for story in read_split(corpus, "train") if story.language == language), limit)
    if not stories:
        raise DataError(f"{corpus} has no training story in {lang}.")
    if at_random:
        ids = {record["id"] for record in known}
        sample = [story for story in stories if story.id not in ids][:count]
        _write(out, [story.to_json() | {"drawn": "random"} for story in sample], len(stories), "drawn at random")
        return
    forms = {record["text"]: record.get("form", "story") for record in known}
    score = _scorer(critic, language, forms | {story.text: story.form for story in stories})
    if accept:
        lines, told = _accepted(stories, known, score, threshold)
    else:
        lines, told = _proposed(stories, known, score, count, language)
    _write(out, lines, len(stories), told)


def _write(out: Path, lines: Sequence[Mapping[str, Any]], considered: int, told: str) -> None:
    from storyteller.runs.files import write_atomic

    write_atomic(out, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    typer.echo(f"{len(lines)} of {considered} stories, {told}, written to {out}")


def _proposed(
    stories: Sequence[Story], known: Sequence[Mapping[str, Any]], score: ScoreFunction, count: int, language: Language
) -> tuple[list[dict[str, Any]], str]:
    """The stories that a person should label."""
    import math

    from storyteller.evaluate.embedding import embed_sentences, story_embeddings
    from storyteller.train.labels import propose

    texts, ids = [story.text for story in stories], {record["id"] for record in known}
    chances = score(texts)
    places = [place for place, story in enumerate(stories) if story.id in ids]
    chosen = propose(story_embeddings(embed_sentences(texts, language)), chances, count, places)
    lines = [
        stories[i].to_json() | {"chance": None if math.isnan(chances[i]) else round(chances[i], 4)} for i in chosen
    ]
    return lines, "the most helpful first"


def _accepted(
    stories: Sequence[Story], known: Sequence[Mapping[str, Any]], score: ScoreFunction, threshold: float
) -> tuple[list[dict[str, Any]], str]:
    """The stories that the scorer is sure of, with their labels; `DataError` when these are not to be trusted."""
    from storyteller.train.labels import pseudo_labels

    ids = {record["id"] for record in known}
    given = [record for record in known if record.get("label") in (0, 1)]
    # Proposed are the stories that the scorer is least sure of: on those it can be seen neither right where it is sure, nor
    # what share of all stories has which label.
    drawn = [record for record in given if record.get("drawn") == "random"]
    if given and not drawn and all("chance" in record for record in given):
        raise DataError(
            "the labelled stories are those that were proposed, of which the scorer is least sure: nothing can be checked on "
            "them. Label a sample drawn at random (storyteller label ... --random --count 60) and name that with --labelled."
        )
    people = [(record["text"], int(record["label"])) for record in drawn or given]
    rest = [story for story in stories if story.id not in ids]
    made = pseudo_labels([story.text for story in rest], score, people, threshold=threshold)
    if made.drift.reasons:
        raise DataError("these labels are not to be trusted, so none is written:\n  " + "\n  ".join(made.drift.reasons))
    lines = [rest[i].to_json() | {"label": label, "confidence": round(sure, 4)} for i, label, sure in made.accepted]
    return lines, f"labelled by a scorer that is right on {made.drift.right:.0%} of what people labelled"


def _scorer(critic: Path | None, language: Language, forms: Mapping[str, Form]) -> ScoreFunction:
    """From texts to the chance that each is a person's (a critic), or hangs together (the coherence scorer)."""
    import math

    if critic is None:
        from storyteller.evaluate.scorer.scorer import CoherenceScorer

        scorer = CoherenceScorer.load()
        return lambda texts: [math.nan if s.value is None else s.value for s in scorer.score(texts, language)]
    from storyteller.adversarial.using import StoryCritic
    from storyteller.tokens import Request

    judge = StoryCritic.load(critic)

    def chances(texts: Sequence[str]) -> list[float]:
        logits = [judge.judge(Request("write", language, forms[text]), [text])[0].realism for text in texts]
        return [1 / (1 + math.exp(-min(50.0, max(-50.0, logit)))) for logit in logits]

    return chances


def _drawn(stories: Iterable[Story], limit: int) -> list[Story]:
    """`limit` stories from all over a corpus, the same ones each time."""
    import heapq
    from hashlib import sha256

    # A corpus lies in the order of its sources: the first stories are one author's.
    return heapq.nsmallest(limit, stories, key=lambda story: sha256(story.id.encode()).digest())


def _records(path: Path) -> list[dict[str, Any]]:
    """The stories of an earlier list; `DataError` for a file that is none."""
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        try:
            record = json.loads(line) if line.strip() else None
            records += [] if record is None else [record | {"id": str(record["id"]), "text": str(record["text"])}]
        except (ValueError, KeyError, TypeError):
            raise DataError(
                f"{path}, line {number}: no story with id and text; --labelled takes a file that `storyteller label` wrote."
            ) from None
    return records
