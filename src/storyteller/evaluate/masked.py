"""How well a masked model knows stories: the words it would put back, and its pseudo-likelihood of whole texts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from storyteller.corpus.story import Story
from storyteller.errors import DataError
from storyteller.evaluate.bootstrap import Interval, ratio_interval, work_of
from storyteller.evaluate.loss_report import choose_stories
from storyteller.models import locate
from storyteller.models.masked import load_masked, logits_at
from storyteller.runs import write_json
from storyteller.runs.console import progress, say
from storyteller.tokens import StoryTokenizer
from storyteller.tokens.controls import mask_id_of
from storyteller.tokens.words import token_starts

__all__ = ["MaskedCost", "evaluate_masked", "pseudo_costs", "render_masked"]

_ROW_TOKENS = 8192


@dataclass(frozen=True, slots=True)
class MaskedCost:
    """What one text costs: `nats` over `tokens`, `right` of which were the likeliest, for `bytes` of UTF-8 text."""

    nats: float
    tokens: int
    right: int
    bytes: int


def pseudo_costs(
    model: Any, tokenizer: StoryTokenizer, texts: Sequence[str], *, max_tokens: int | None = None
) -> list[MaskedCost]:
    """The pseudo-likelihood of each text: every token predicted from all the others (Salazar et al. 2020, ACL).

    The rest of a token's own word is hidden, too, or the ends of words would give their beginnings away (Kauf and
    Ivanova 2023, ACL). A text longer than the context is read in windows that do not overlap. One pass a token.
    """
    room = model.config.max_position_embeddings - 2
    costs = []
    with torch.inference_mode(), progress(len(texts), "measuring") as advance:
        for text in texts:
            ((ids, places),) = tokenizer.encode_places([text])
            ids, places = ids[:max_tokens], places[:max_tokens]
            starts = token_starts(text, places)
            nats, right = 0.0, 0
            for first in range(0, len(ids), room):
                window = slice(first, first + room)
                more = _window(model, tokenizer, ids[window], starts[window])
                nats, right = nats + more[0], right + more[1]
            size = sum(len(tokenizer.token_bytes(index)) for index in ids)
            costs.append(MaskedCost(nats, len(ids), right, size))
            advance()
    return costs


def _window(model: Any, tokenizer: StoryTokenizer, ids: Sequence[int], starts: Any) -> tuple[float, int]:
    """The nats and the right guesses of one window."""
    end, mask = tokenizer.stop_ids[0], mask_id_of(tokenizer)
    row = torch.tensor([end, *ids, end])
    words = np.cumsum(starts)
    ends = np.searchsorted(words, words, side="right")  # the end of each token's word
    nats, right = 0.0, 0
    for batch in _split(len(ids), max(1, _ROW_TOKENS // len(row))):
        rows = row.repeat(len(batch), 1)
        for place, token in enumerate(batch):
            rows[place, 1 + token : 1 + int(ends[token])] = mask
        logits = logits_at(model, rows, torch.tensor(batch) + 1)
        wanted = row[torch.tensor(batch) + 1]
        nats -= float(logits.log_softmax(-1).gather(1, wanted[:, None]).sum())
        right += int((logits.argmax(-1) == wanted).sum())
    return nats, right


def _split(count: int, size: int) -> Iterator[list[int]]:
    for first in range(0, count, size):
        yield list(range(first, min(first + size, count)))


def evaluate_masked(
    names: Sequence[str],
    data: Path,
    *,
    split: str = "test",
    limit: int | None = None,
    max_tokens: int | None = None,
    language: str | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """Measure masked models on the same held-out stories of a prepared corpus.

    Writes `masked.json` to `out` when it is given. Raises `DataError` for a corpus, `ModelError` for a model.
    """
    stories = choose_stories(data, split, limit, language)
    report: dict[str, Any] = {"data": {"split": split, "stories": len(stories)}, "settings": {"max_tokens": max_tokens}}
    report["models"] = {}
    for name in names:
        located = locate(name)
        model, tokenizer = load_masked(located), StoryTokenizer.load(located.folder)
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        say(f"measuring {name} on {len(stories)} stories, one pass for each token")
        costs = pseudo_costs(model, tokenizer, [story.text for story in stories], max_tokens=max_tokens)
        report["models"][name] = _row(costs, stories)
    if out is not None:
        write_json(out / "masked.json", report)
    return report


def _row(costs: Sequence[MaskedCost], stories: Sequence[Story]) -> dict[str, Any]:
    works = [work_of(story) for story in stories]
    tokens = [cost.tokens for cost in costs]
    if not sum(tokens):
        raise DataError("the stories to be measured have no token.")
    bits = [cost.nats / math.log(2) for cost in costs]
    return {
        "tokens": sum(tokens),
        "pseudo_perplexity": math.exp(sum(cost.nats for cost in costs) / sum(tokens)),
        "pseudo_bits_per_byte": asdict(ratio_interval(bits, [cost.bytes for cost in costs], works)),
        "accuracy": asdict(ratio_interval([cost.right for cost in costs], tokens, works)),
    }


def render_masked(report: dict[str, Any]) -> str:
    """The report as a Markdown table."""
    data = report["data"]
    lines = [
        f"{data['stories']} stories, {data['split']} split; each token from all others, the rest of its word hidden. "
        "Intervals: 95 %, bootstrap over works.",
        "",
        "| model | tokens | accuracy | pseudo-perplexity | pseudo bits per byte |",
        "|---|---|---|---|---|",
    ]
    for name, row in report["models"].items():
        accuracy, bits = Interval(**row["accuracy"]), Interval(**row["pseudo_bits_per_byte"])
        lines.append(f"| {name} | {row['tokens']:,} | {accuracy} | {row['pseudo_perplexity']:.2f} | {bits} |")
    return "\n".join(lines) + "\n"
