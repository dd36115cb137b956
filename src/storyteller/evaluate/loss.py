"""Loss, perplexity and bits per byte of a model on whole stories, by a sliding window."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from storyteller.corpus.story import Story
from storyteller.ensemble.likelihood import MixtureModel
from storyteller.errors import DataError
from storyteller.evaluate.bootstrap import Interval, ratio_interval, work_of
from storyteller.runs.console import progress
from storyteller.tokens import Request, StoryTokenizer, Template
from storyteller.train.objectives import linear_cross_entropy
from storyteller.train.own_logits import has_plain_head

__all__ = ["LossTable", "StoryLoss", "measure_losses", "same_beginnings", "summarise"]


@dataclass(frozen=True)
class StoryLoss:
    """What one story cost a model: `nats` over `tokens`, which stand for `bytes` of UTF-8 text."""

    id: str
    work: str
    form: str
    language: str
    nats: float
    tokens: int
    bytes: int


@dataclass(frozen=True)
class LossTable:
    """One row of the report: a group of stories with its loss a token, perplexity and bits a byte."""

    group: str
    stories: int
    tokens: int
    loss: float
    perplexity: float
    bits_per_byte: Interval

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON object."""
        return asdict(self)


def measure_losses(
    model: nn.Module,
    tokenizer: StoryTokenizer,
    stories: Sequence[Story],
    *,
    context: int = 1024,
    max_tokens: int | None = None,
    template: Template | None = None,
) -> list[StoryLoss]:
    """The loss of every story under `model`, in nats, each token predicted from at least half a context of what precedes it.

    Without a `template` a story stands alone after the beginning-of-text token: what a language model is measured by. With
    one it follows the request that names its form, title and length: what the storyteller is used with. Only the story's
    own tokens count, in either case. `max_tokens` measures only the beginning of longer stories (the bytes then are those
    of the beginning, too).
    """
    if not stories:
        raise DataError("there is no story to measure; check the split and the filters.")
    longest = getattr(model.config, "max_position_embeddings", None) or context
    if context > longest:
        raise DataError(f"a window of {context} tokens is too long: the model reads {longest} tokens at most.")
    device = next(model.parameters()).device
    model.eval()
    plain = not isinstance(model, MixtureModel) and has_plain_head(model)
    results = []
    with torch.inference_mode(), progress(len(stories), "measuring") as advance:
        for story in stories:
            ids = tokenizer.encode(story.text)[:max_tokens]
            text_bytes = _bytes(tokenizer, story, ids, max_tokens)
            prefix = _prefix(tokenizer, template, story)
            sequence = torch.tensor(prefix + ids, device=device)
            nats = sum(
                _window_nats(model, plain, sequence, *window)
                for window in _windows(len(prefix), len(sequence), context)
            )
            results.append(StoryLoss(story.id, work_of(story), story.form, story.language, nats, len(ids), text_bytes))
            advance()
    return results


def same_beginnings(
    stories: Sequence[Story], tokenizers: Sequence[StoryTokenizer], max_tokens: int
) -> tuple[Sequence[Story], int | None]:
    """The stories to measure, and their `max_tokens`, so that all `tokenizers` read the same text of each.

    As they are where all cut them at the same places; else cut to the shortest of the beginnings, and then without a
    bound, since the bytes have to agree and not the tokens. Raises `DataError` where no whole character is left.
    """
    sizes = [
        [_bytes(tokenizer, story, tokenizer.encode(story.text)[:max_tokens], max_tokens) for tokenizer in tokenizers]
        for story in stories
    ]
    if all(min(each) == max(each) for each in sizes):
        return stories, max_tokens
    texts = [
        story.text.encode("utf-8")[: min(each)].decode("utf-8", errors="ignore")
        for story, each in zip(stories, sizes, strict=True)
    ]
    if not all(texts):
        raise DataError(f"{max_tokens} tokens are less than a character in some of the models; raise --max-tokens.")
    return [replace(story, text=text) for story, text in zip(stories, texts, strict=True)], None


def summarise(losses: Iterable[StoryLoss]) -> list[LossTable]:
    """A row for all stories, and one for each language and form among them."""
    rows = list(losses)
    groups: dict[str, list[StoryLoss]] = {"all": rows}
    for row in sorted(rows, key=lambda row: (row.language, row.form)):
        groups.setdefault(row.language, []).append(row)
        groups.setdefault(f"{row.language} {row.form}", []).append(row)
    return [_table(name, members) for name, members in groups.items()]


def _table(name: str, rows: list[StoryLoss]) -> LossTable:
    nats, tokens = sum(row.nats for row in rows), sum(row.tokens for row in rows)
    bits = [row.nats / math.log(2) for row in rows]
    interval = ratio_interval(bits, [row.bytes for row in rows], [row.work for row in rows])
    return LossTable(name, len(rows), tokens, nats / tokens, math.exp(nats / tokens), interval)


def _prefix(tokenizer: StoryTokenizer, template: Template | None, story: Story) -> list[int]:
    if template is not None:
        request = Request(language=story.language, form=story.form, title=story.title, words=story.words)
        return template.prompt(request)
    # In pretraining a document begins after the end of another one; after BOS where the model has no such token.
    candidates = (tokenizer.id_of("<|endoftext|>"), tokenizer.bos_id, *tokenizer.stop_ids, 0)
    return [next(token for token in candidates if token is not None)]


def _windows(first: int, length: int, context: int) -> Iterator[tuple[int, int, int]]:
    """(start, end, first target) of windows that make every position from `first` on a target exactly once."""
    target = first
    while target < length:
        start = max(0, target - context // 2) if target > first else max(0, first - context // 2)
        end = min(length, start + context)
        yield start, end, target
        target = end


def _window_nats(model: Any, plain: bool, sequence: torch.Tensor, start: int, end: int, target: int) -> float:
    if isinstance(model, MixtureModel):
        return -sum(model.log_probabilities(sequence[start:end], target - start))
    # The last token of the window is only predicted, so it need not be read.
    read = {"input_ids": sequence[None, start : end - 1], "use_cache": False}
    if not plain:
        logits = model(**read, logits_to_keep=end - target).logits[0].float()
        return float(cross_entropy(logits, sequence[target:end], reduction="sum"))
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    body = getattr(causal, causal.base_model_prefix)
    hidden = body(**read).last_hidden_state[0]
    wanted = hidden[target - 1 - start :]
    return float(linear_cross_entropy(wanted, causal.get_output_embeddings().weight, sequence[target:end]))


def _bytes(tokenizer: StoryTokenizer, story: Story, ids: Sequence[int], max_tokens: int | None) -> int:
    """The bytes of UTF-8 that `ids` stand for, the beginning of a story or all of it."""
    if max_tokens is None or len(ids) < max_tokens:
        return len(story.text.encode("utf-8"))
    return sum(len(tokenizer.token_bytes(token)) for token in ids)
