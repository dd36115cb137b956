"""The first report: how well models predict stories that they have not seen, with intervals and differences."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from storyteller.corpus import read_split
from storyteller.corpus.story import Story
from storyteller.ensemble.likelihood import MixtureModel
from storyteller.errors import DataError, ModelError
from storyteller.evaluate.bootstrap import Interval, ratio_interval
from storyteller.evaluate.loss import StoryLoss, measure_losses, same_beginnings, summarise
from storyteller.models import Located, load_model, locate
from storyteller.models.load import on_gpu, positions_of
from storyteller.runs import write_atomic, write_json
from storyteller.runs.console import say
from storyteller.tokens import StoryTokenizer, Template

__all__ = ["choose_stories", "compare", "evaluate_models", "render_report", "widest_window"]


def evaluate_models(
    names: Sequence[str],
    data: Path,
    *,
    split: str = "test",
    limit: int | None = None,
    max_tokens: int | None = None,
    context: int | None = None,
    prompted: bool = False,
    language: str | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """Measure each model on the same stories of a prepared corpus; the first one named is the baseline of the others.

    `context` is the window in tokens; None: 1,024, or fewer where one of the models reads no more. With `max_tokens` all
    read the same beginnings, also where they cut text into other tokens. Writes `report.json`,
    `report.md` and `losses.jsonl` (one line a story and model) to `out` when it is given. Raises `DataError` for a corpus
    that cannot be read, `ModelError` for a model.
    """
    stories = choose_stories(data, split, limit, language)
    models = [locate(name) for name in names]
    for located in models:  # before hours are spent on the others
        _refuse_contrast(located)
    context = context or widest_window(models)
    tokenizers = [StoryTokenizer.load(located.folder) for located in models]
    read, most = (stories, None) if max_tokens is None else same_beginnings(stories, tokenizers, max_tokens)
    losses: dict[str, list[StoryLoss]] = {}
    for name, located, tokenizer in zip(names, models, tokenizers, strict=True):
        say(f"measuring {name} on {len(stories)} stories")
        template = Template.load(located.template_folder, tokenizer) if prompted else None
        whole = located.ensemble is None
        model = (
            on_gpu(load_model(located, dtype="float32", merge=located.adapter is not None))
            if whole
            else MixtureModel(located)
        )
        losses[name] = measure_losses(model, tokenizer, read, context=context, max_tokens=most, template=template)
    report = {
        "data": {"split": split, "stories": len(stories), "works": len({row.work for row in losses[names[0]]})},
        "settings": {"context": context, "max_tokens": max_tokens, "prompted": prompted},
        "models": {name: [row.to_json() for row in summarise(rows)] for name, rows in losses.items()},
        "differences": {name: vars(compare(losses[names[0]], losses[name])) for name in names[1:]},
    }
    if out is not None:
        write_json(out / "report.json", report)
        write_atomic(out / "report.md", render_report(report))
        lines = (json.dumps({"model": name, **vars(row)}, ensure_ascii=False) for name in names for row in losses[name])
        write_atomic(out / "losses.jsonl", "".join(line + "\n" for line in lines))
    return report


def widest_window(models: Iterable[Located]) -> int:
    """1,024 tokens, or as many as that model reads that reads fewest; of an ensemble every member counts."""
    members = (member for model in models for member in model.members or (model,))
    return min([1024, *filter(None, (positions_of(member.folder) for member in members))])


def choose_stories(data: Path, split: str, limit: int | None, language: str | None) -> list[Story]:
    """The stories of a split, or `limit` of them: always the same ones, spread over the corpus by a hash of their ids."""
    if split not in ("train", "dev", "test"):
        raise DataError(f"there is no split {split!r}; it is train, dev or test.")
    found = [story for story in read_split(data, split) if language in (None, story.language)]
    if not found:
        raise DataError(
            f"{data} has no {language + ' ' if language else ''}story in its {split} split; prepare a larger corpus."
        )
    ordered = sorted(found, key=lambda story: hashlib.sha256(story.id.encode()).digest())
    return list(itertools.islice(ordered, limit))


def compare(baseline: Sequence[StoryLoss], other: Sequence[StoryLoss]) -> Interval:
    """Bits a byte of `other` minus those of `baseline` on the same stories, paired, with a bootstrap over works."""
    pairs = list(zip(baseline, other, strict=True))
    if any(a.id != b.id or a.bytes != b.bytes for a, b in pairs):
        raise DataError("the two models were measured on different texts, so they cannot be compared.")
    differences = [(b.nats - a.nats) / math.log(2) for a, b in pairs]
    return ratio_interval(differences, [a.bytes for a, _ in pairs], [a.work for a, _ in pairs])


def render_report(report: dict[str, Any]) -> str:
    """The report as Markdown: a table a model, then the paired differences from the first."""
    data, settings = report["data"], report["settings"]
    how = "after the request that names form, title and length" if settings["prompted"] else "as plain text"
    lines = [
        "# Held-out stories",
        "",
        f"{data['stories']} stories of {data['works']} works, {data['split']} split, read {how}; sliding window of "
        f"{settings['context']} tokens"
        + (f", the first {settings['max_tokens']} tokens of each or fewer" if settings["max_tokens"] else "")
        + ". Intervals: 95 %, bootstrap over works.",
        "",
    ]
    for name, rows in report["models"].items():
        lines += [
            f"## {name}",
            "",
            "| stories | n | tokens | loss | perplexity | bits per byte |",
            "|---|---|---|---|---|---|",
        ]
        for row in rows:
            bits = Interval(**row["bits_per_byte"])
            counts = f"{row['stories']} | {row['tokens']:,}"
            lines.append(f"| {row['group']} | {counts} | {row['loss']:.4f} | {row['perplexity']:.2f} | {bits} |")
        lines.append("")
    for name, values in report["differences"].items():
        first = next(iter(report["models"]))
        lines.append(f"{name} against {first}: {Interval(**values)} bits per byte (negative is better).")
    return "\n".join(lines) + "\n"


def _refuse_contrast(located: Located) -> None:
    if located.ensemble is not None and located.ensemble.rule == "contrastive":
        raise ModelError(
            f"{located.name} is contrastive: it gives no chance to tokens that its expert finds implausible, so it cannot "
            "say how well it predicts people's text. Compare what it writes: storyteller evaluate --suite stories"
        )
