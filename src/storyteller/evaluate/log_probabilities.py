"""Log-probabilities of continuations under a causal model, many at once; a context is read once for all that follow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from storyteller.errors import DataError
from storyteller.generate.torch_batch import apart, layer_masks
from storyteller.models import load_model, locate
from storyteller.models.precision import resolve_precision
from storyteller.runs.console import progress
from storyteller.tokens import StoryTokenizer

__all__ = ["LogProbabilities", "Score"]

#: Positions of one pass, padding included, and rows of logits alive at once (49,152 float32 each).
PASS, CHUNK = 4096, 512


@dataclass(frozen=True, slots=True)
class Score:
    """The log-probability of a continuation in nats, its tokens, and whether greedy decoding would have written it."""

    total: float
    tokens: int
    greedy: bool


@dataclass(frozen=True)
class _Row:
    """One row of a pass: a context and the continuations behind it, none of which sees another."""

    context: list[int]
    continuations: list[list[int]]

    @property
    def length(self) -> int:
        # The last id of a continuation is only predicted, so it need not be read.
        return len(self.context) + sum(len(ids) - 1 for ids in self.continuations)


class LogProbabilities:
    """A causal model and its tokenizer, asked how likely texts are."""

    def __init__(self, model: Any, tokenizer: StoryTokenizer) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self._causal = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._body = getattr(self._causal, self._causal.base_model_prefix)
        #: What stands before a text that has no context: in pretraining a document begins after the end of another one.
        known = (tokenizer.id_of("<|endoftext|>"), tokenizer.bos_id, *tokenizer.stop_ids, 0)
        self.start: int = next(token for token in known if token is not None)
        longest = getattr(self._causal.config.get_text_config(), "max_position_embeddings", None)
        self.longest: int = longest or 1 << 20

    @classmethod
    def load(cls, name: str, precision: Literal["auto", "float32", "bfloat16"] = "auto") -> LogProbabilities:
        """Load a model by name; `auto` takes bfloat16 where the processor or the GPU is faster in it."""
        located = locate(name)
        dtype, _ = resolve_precision(precision)
        model = load_model(located, dtype=dtype, merge=located.adapter is not None)
        if torch.cuda.is_available():
            model = model.to("cuda")
        return cls(model, StoryTokenizer.load(located.folder))

    def score(self, items: Sequence[tuple[str, Sequence[str]]]) -> list[list[Score]]:
        """The scores of each item's continuations after its context; an empty context is the beginning of a document.

        Context and continuation are encoded each for itself, so a continuation begins with its own white space.
        """
        encode = self.tokenizer.encode
        return self.score_ids(
            [([self.start, *encode(context)], [encode(text) for text in options]) for context, options in items]
        )

    @torch.inference_mode()
    def score_ids(self, items: Sequence[tuple[Sequence[int], Sequence[Sequence[int]]]]) -> list[list[Score]]:
        """The scores of each item's continuations (ids) after its context (ids, at least one).

        A context that is too long for the model is cut from its beginning. Raises `DataError` for an empty context or
        continuation, and for continuations that are too long together with one id of context.
        """
        rows = [self._row(context, continuations) for context, continuations in items]
        scores: list[list[Score]] = [[] for _ in rows]
        order = sorted(range(len(rows)), key=lambda index: -rows[index].length)
        with progress(len(rows), "reading") as advance:
            while order:
                several = max(1, PASS // rows[order[0]].length)
                indices, order = order[:several], order[several:]
                for index, found in zip(indices, self._pass([rows[index] for index in indices]), strict=True):
                    scores[index] = found
                    advance()
        return scores

    def _row(self, context: Sequence[int], continuations: Sequence[Sequence[int]]) -> _Row:
        if not context or not continuations or not all(continuations):
            raise DataError("a context or a continuation has no ids; give each a text.")
        room = self.longest - max(len(ids) for ids in continuations) + 1
        if room < 1:
            raise DataError(f"a continuation is longer than the {self.longest} ids that the model reads.")
        return _Row(list(context)[-room:], [list(ids) for ids in continuations])

    def _pass(self, rows: Sequence[_Row]) -> list[list[Score]]:
        """One forward pass: [rows, longest] ids under a mask in which a continuation sees its context and itself."""
        device, width = self.model.device, rows[0].length
        ids = torch.zeros(len(rows), width, dtype=torch.long)
        at = torch.zeros(len(rows), width, dtype=torch.long)
        branch = torch.full((len(rows), width), -1)  # 0 the context, 1, 2, ... the continuations, -1 padding
        asked: list[tuple[int, int, int]] = []  # (row, place whose hidden state predicts, predicted id)
        for number, row in enumerate(rows):
            place = len(row.context)
            ids[number, :place], at[number, :place] = torch.tensor(row.context), torch.arange(place)
            branch[number, :place] = 0
            for index, continuation in enumerate(row.continuations, 1):
                end = place + len(continuation) - 1
                ids[number, place:end] = torch.tensor(continuation[:-1], dtype=torch.long)
                at[number, place:end] = len(row.context) + torch.arange(end - place)
                branch[number, place:end] = index
                places = [len(row.context) - 1, *range(place, end)]
                asked += [(number, where, token) for where, token in zip(places, continuation, strict=True)]
                place = end
        ids, at, branch = ids.to(device), at.to(device), branch.to(device)
        own = (branch[:, :, None] == branch[:, None, :]) | (branch[:, None, :] == 0) & (branch[:, :, None] > 0)
        mask = layer_masks(self._causal.config, own.tril()[:, None], apart(at))
        hidden = self._body(input_ids=ids, position_ids=at, attention_mask=mask, use_cache=False).last_hidden_state
        numbers, places_, tokens = (torch.tensor(column, device=device) for column in zip(*asked, strict=True))
        found = iter(self._token_scores(hidden[numbers, places_], tokens))
        return [[_summed([next(found) for _ in continuation]) for continuation in row.continuations] for row in rows]

    def _token_scores(self, hidden: torch.Tensor, tokens: torch.Tensor) -> list[tuple[float, bool]]:
        """The log-probability of each token after its hidden state [n, width], and whether it is the likeliest."""
        head = self._causal.get_output_embeddings()
        # In float32 always: logits of twenty in bfloat16 are off by a sixteenth.
        weight, bias = head.weight.float(), None if head.bias is None else head.bias.float()
        scores: list[tuple[float, bool]] = []
        for start in range(0, len(tokens), CHUNK):
            wanted = tokens[start : start + CHUNK]
            logits = torch.nn.functional.linear(hidden[start : start + CHUNK].float(), weight, bias)
            chosen = logits.gather(1, wanted[:, None])[:, 0] - logits.logsumexp(1)
            scores += zip(chosen.tolist(), (logits.argmax(1) == wanted).tolist(), strict=True)
        return scores


def _summed(tokens: Sequence[tuple[float, bool]]) -> Score:
    return Score(sum(value for value, _ in tokens), len(tokens), all(likeliest for _, likeliest in tokens))
