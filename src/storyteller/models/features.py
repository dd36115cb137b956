"""What a frozen model says of a text in one pass: hidden states of chosen layers, and each token's likelihood.

The pass is causal, so the hidden state at the end of a sentence represents the story up to there: one pass over a story
gives all of its prefixes. Scorers and critics put small heads on these states; the model itself is never trained. A masked
model can be read with as well: its states see the whole passage, and it gives no likelihoods.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from storyteller.errors import DataError
from storyteller.models.load import is_masked, load_model
from storyteller.models.masked import load_masked
from storyteller.models.precision import resolve_precision

if TYPE_CHECKING:
    from storyteller.models.location import Located
    from storyteller.tokens import StoryTokenizer

__all__ = ["Passage", "Reader", "Reading", "sentence_passage"]

ROW_TOKENS = 2048
"""Tokens of one padded batch on a processor; larger batches were not faster on two cores. A GPU takes eight times more."""
LOGIT_ROWS = 128
"""Rows of logits alive at once: 128 x 49,152 float32 are 25 MB."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Ids to be read: `prefix` is context that gets no likelihood of its own, `ends` the index past each sentence.

    `ends` counts in `ids`, rises, and its last entry is `len(ids)`.
    """

    ids: Sequence[int]
    ends: Sequence[int]
    prefix: Sequence[int]


@dataclass(frozen=True, slots=True)
class Reading:
    """What the model made of a passage, on the CPU.

    `hidden` [layers, tokens, width] in the model's precision: the state after each token of the passage.
    `log_likelihoods` [tokens] float32, in nats: of each token given all that stands before it. `ends` as in the passage.
    `unread` tokens at the end did not fit.
    """

    ids: list[int]
    ends: list[int]
    hidden: Tensor
    log_likelihoods: Tensor
    unread: int = 0


def sentence_passage(tokenizer: StoryTokenizer, sentences: Sequence[str], prefix: Sequence[int] = ()) -> Passage:
    """The passage of a text given as its sentences, each with the white space after it (as `split_sentences` cuts).

    That white space goes to the next sentence, where the tokenizers put it in running text. Without a `prefix` the
    text follows an end-of-text token, as a document of pretraining does. Raises `DataError` for a text without a token.
    """
    ids: list[int] = []
    ends = []
    space = ""
    for sentence in sentences:
        body = sentence.rstrip()
        ids += tokenizer.encode(space + body)
        ends.append(len(ids))
        space = sentence[len(body) :]
    if not ids:
        raise DataError("There is nothing to read: the text is empty.")
    return Passage(ids, ends, list(prefix) or [_before_text(tokenizer)])


class Reader:
    """Reads passages with a frozen causal or masked model of transformers.

    `layers` are numbered as transformers numbers hidden states: 0 is the embedding, the last one stands after the
    final norm. With `likelihoods=False` the output layer (a fifth of a 135M model's work) is left out, and the
    likelihoods of a reading are empty; a masked model takes no other. Its state of a token has seen all of the passage.
    """

    def __init__(
        self, model: Any, tokenizer: StoryTokenizer, layers: Sequence[int] = (10, 20, 30), *, likelihoods: bool = True
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.layers = tuple(layers)
        self.likelihoods = likelihoods
        self.masked = type(model).__name__.endswith("ForMaskedLM")
        if self.masked and likelihoods:
            raise DataError(
                "A masked model sees both sides of a token, so it gives no likelihood of one after what precedes it. "
                "Read with likelihoods=False."
            )
        config = model.config.get_text_config()
        self.width: int = config.hidden_size
        self.context: int = getattr(config, "max_position_embeddings", None) or 1 << 20
        if wrong := [layer for layer in self.layers if not 0 <= layer <= config.num_hidden_layers]:
            raise DataError(
                f"There is no layer {wrong[0]}: the model has hidden states 0 to {config.num_hidden_layers}."
            )

    @classmethod
    def open(cls, located: Located, layers: Sequence[int] = (10, 20, 30), *, likelihoods: bool = True) -> Reader:
        """Load a located model, its adapter merged, in the fastest sound precision, on the first GPU if there is one."""
        from storyteller.tokens import StoryTokenizer

        if is_masked(located.folder):
            model = load_masked(located, dtype=resolve_precision("auto")[0])
        else:
            model = load_model(located, dtype=resolve_precision("auto")[0], merge=True)
        if torch.cuda.is_available():
            model = model.to("cuda")
        return cls(model, StoryTokenizer.load(located.folder), layers, likelihoods=likelihoods)

    def read(self, passages: Sequence[Passage], most: int | None = None) -> Iterator[tuple[int, Reading]]:
        """Yield (index, reading) of every passage, in an order that makes good batches; at most `most` tokens of each.

        Readings come one batch at a time, so that a caller that pools them never holds all hidden states.
        """
        limit = min(most or self.context, self.context)
        lengths = [min(len(p.prefix) + len(p.ids), limit) for p in passages]
        for batch in _batches(lengths, ROW_TOKENS * (8 if self.model.device.type == "cuda" else 1)):
            yield from zip(batch, self._read([passages[i] for i in batch], limit), strict=True)

    @torch.inference_mode()
    def _read(self, passages: Sequence[Passage], limit: int) -> Iterator[Reading]:
        room = limit - self.masked
        rows = [[*p.prefix, *p.ids][:room] for p in passages]
        padded = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for row, ids in zip(padded, rows, strict=True):
            row[: len(ids)] = torch.tensor(ids)
        padded = padded.to(self.model.device)
        output = self._states(padded, [len(ids) for ids in rows])
        for row, (passage, ids) in enumerate(zip(passages, rows, strict=True)):
            start, end = len(passage.prefix), len(ids)
            hidden = torch.stack([output.hidden_states[layer][row, start:end] for layer in self.layers])
            likelihoods = torch.empty(0)
            if self.likelihoods:
                likelihoods = self._likelihoods(
                    output.last_hidden_state[row, start - 1 : end - 1], padded[row, start:end]
                )
            read = end - start
            ends = [e for e in passage.ends if e <= read]
            if read and (not ends or ends[-1] < read):
                ends.append(read)
            yield Reading(ids[start:], ends, hidden.cpu(), likelihoods.cpu(), len(passage.ids) - read)

    def _states(self, padded: Tensor, lengths: Sequence[int]) -> Any:
        body = getattr(self.model, self.model.base_model_prefix)
        if not self.masked:
            # Padding stands on the right, where no token of a causal model sees it: no mask is needed.
            return body(input_ids=padded, use_cache=False, output_hidden_states=True)
        # A masked model was trained on texts between two ends of text, and must not see the padding.
        end = _before_text(self.tokenizer)
        padded = torch.nn.functional.pad(padded, (0, 1))
        ends = torch.tensor(lengths, device=padded.device)[:, None]
        padded.scatter_(1, ends, end)
        seen = torch.arange(padded.shape[1], device=padded.device)[None] <= ends
        return body(input_ids=padded, attention_mask=seen, output_hidden_states=True)

    def _likelihoods(self, before: Tensor, targets: Tensor) -> Tensor:
        head = self.model.get_output_embeddings()
        found = []
        for start in range(0, len(targets), LOGIT_ROWS):
            logits = head(before[start : start + LOGIT_ROWS]).float()
            wanted = targets[start : start + LOGIT_ROWS, None]
            # Not log_softmax: writing all logits once more took as long as making them.
            found.append(logits.gather(1, wanted)[:, 0] - logits.logsumexp(-1))
        return torch.cat(found) if found else torch.empty(0)


def _batches(lengths: Sequence[int], row_tokens: int) -> Iterator[list[int]]:
    """Indices by falling length, as many as fit `row_tokens` when padded to the longest; the longest batch first."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > row_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _before_text(tokenizer: StoryTokenizer) -> int:
    """What stands before a document in pretraining: the end of another one, or BOS where the model has no such token."""
    candidates = (tokenizer.id_of("<|endoftext|>"), tokenizer.bos_id, *tokenizer.stop_ids, 0)
    return next(token for token in candidates if token is not None)
