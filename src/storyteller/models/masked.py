"""Masked models: loading one, and filling the blanks of a text with it.

A masked model sees both sides of a gap. It cannot tell a story, but it says what belongs into a hole, and its hidden states
represent a text for a critic or a scorer (`features.Reader` reads with it, `likelihoods=False`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from storyteller.errors import DataError, ModelError
from storyteller.models.load import is_masked
from storyteller.models.precision import Precision
from storyteller.models.quiet import quiet
from storyteller.tokens.controls import mask_id_of
from storyteller.tokens.lexicon import WORD, load_words

if TYPE_CHECKING:
    from storyteller.models.location import Located
    from storyteller.tokens import StoryTokenizer

__all__ = ["BLANK", "Fill", "Filler", "load_masked", "logits_at"]

#: What marks a blank, with the space before it: `[blank]`, `[MASK]`, `[空]`, three underscores or more, `＿＿`, `（ ）`.
BLANK = re.compile(r" ?(?:\[(?:blank|mask|空)\]|_{3,}|＿{2,}|（\s+）)", re.IGNORECASE)

_ROWS = 32


@dataclass(frozen=True, slots=True)
class Fill:
    """What may stand in a blank: a word, and its probability.

    Where the model's words are known, it is the share of words of as many tokens times the word's probability among those;
    else the latter alone.
    """

    text: str
    probability: float


def load_masked(located: Located, *, dtype: Precision = "float32") -> Any:
    """The masked model on the CPU, in evaluation mode; `ModelError` for any other model, and for files that do not fit."""
    from transformers import AutoModelForMaskedLM

    if located.ensemble is not None or not is_masked(located.folder):
        raise ModelError(
            f"{located.name} is no masked model: it continues texts and fills no blanks. Make one with: "
            "storyteller pretrain masked"
        )
    with quiet():
        try:
            model = AutoModelForMaskedLM.from_pretrained(
                located.folder,
                dtype=getattr(torch, dtype),
                attn_implementation="sdpa",
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
            )
        except Exception as error:  # transformers and safetensors have no common error
            raise ModelError(f"{located.name}: the model in {located.folder} cannot be loaded ({error}).") from error
    model.name_or_path = located.base
    return model.eval()


def logits_at(model: Any, rows: Tensor, places: Tensor) -> Tensor:
    """The logits [rows, vocabulary] at one place of each row, float32 on the CPU, without making the others."""
    ids, chosen = rows.to(model.device), (torch.arange(len(rows), device=model.device), places.to(model.device))
    logits: Tensor
    if all(hasattr(model, part) for part in ("model", "head", "decoder")):
        logits = model.decoder(model.head(model.model(input_ids=ids).last_hidden_state[chosen]))
    else:  # BERT and RoBERTa call their parts otherwise, each in its own way
        logits = model(input_ids=ids).logits[chosen]
    return logits.float().cpu()


class _Tree:
    """Words as paths of tokens: which token may follow the first ones of a word of so many tokens."""

    def __init__(self, words: Mapping[str, int], tokenizer: StoryTokenizer, space: str, longest: int) -> None:
        self._next: dict[int, dict[tuple[int, ...], set[int]]] = defaultdict(lambda: defaultdict(set))
        total: dict[int, int] = defaultdict(int)
        for (_, count), ids in zip(
            words.items(), tokenizer.encode_batch([space + word for word in words]), strict=True
        ):
            total[len(ids)] += count
            if len(ids) <= longest:
                for place in range(len(ids)):
                    self._next[len(ids)][tuple(ids[:place])].add(ids[place])
        #: The share of the corpus' words that have so many tokens.
        self.share = {length: count / sum(total.values()) for length, count in total.items()}

    def after(self, begun: Sequence[int], length: int) -> list[int]:
        return sorted(self._next[length][tuple(begun)])


class Filler:
    """Fills blanks with a masked model, each with whole words of one to `longest` tokens.

    With `words` (those of the corpus that the model was trained on, and how often they stand there) only these are put in;
    without, any tokens that look like a word, so that a piece of one may be among them.
    """

    def __init__(
        self, model: Any, tokenizer: StoryTokenizer, longest: int = 3, words: Mapping[str, int] | None = None
    ) -> None:
        self._model, self._tokenizer, self.longest = model, tokenizer, longest
        self._mask = mask_id_of(tokenizer)
        self._end = next(iter(tokenizer.stop_ids), 0)
        self.words = dict(words or {})
        self._trees: dict[str, _Tree] = {}
        spelled = [tokenizer.token_bytes(index) for index in range(tokenizer.vocabulary_size)]
        word = [bool(text) and all(b >= 0x80 or chr(b).isalnum() or b in b"'-" for b in text) for text in spelled]
        spaced = [text[:1] == b" " and len(text) > 1 and chr(text[1]).isalnum() for text in spelled]
        # What may stand first after a space, and what may stand anywhere else in a word.
        self._spaced, self._inner = torch.tensor(spaced), torch.tensor(word)

    @classmethod
    def open(cls, located: Located) -> Filler:
        """Load a located masked model in float32, on the first GPU if there is one."""
        from storyteller.tokens import StoryTokenizer

        model = load_masked(located)
        return cls(
            model.to("cuda") if torch.cuda.is_available() else model,
            StoryTokenizer.load(located.folder),
            words=load_words(located.folder),
        )

    def fill(self, text: str, top: int = 5) -> list[list[Fill]]:
        """For each blank of `text` (see `BLANK`) the `top` words that fit best, the likeliest first.

        Each blank is filled while the others stay open. Raises `DataError` for a text without a blank.
        """
        marks = [match.group() for match in BLANK.finditer(text)]
        if not marks:
            raise DataError("there is no blank to fill: write [blank] or ___ where a word is missing.")
        parts = [self._tokenizer.encode(part) for part in BLANK.split(text)]
        found = []
        for place, mark in enumerate(marks):
            before = [index for part in parts[: place + 1] for index in (*part, self._mask)][:-1]
            after = [index for part in parts[place + 1 :] for index in (*part, self._mask)][:-1]
            found.append(self._candidates(before, after, mark[0] == " ", top))
        return found

    def between(self, before: str, after: str, top: int = 5) -> list[Fill]:
        """The `top` words that fit best between two texts; a space at the end of `before` is the word's own."""
        spaced = before.endswith(" ")
        left = self._tokenizer.encode(before[:-1] if spaced else before)
        return self._candidates(left, self._tokenizer.encode(after), spaced, top)

    def best(self, text: str) -> str:
        """The text with its likeliest words put in, in bold; a blank stays where nothing fits."""
        fills = iter(self.fill(text, top=1))

        def put(match: re.Match[str]) -> str:
            found = next(fills)
            return (" " if match.group()[0] == " " else "") + (f"**{found[0].text}**" if found else "[blank]")

        return BLANK.sub(put, text)

    @torch.inference_mode()
    def _candidates(self, before: list[int], after: list[int], spaced: bool, top: int) -> list[Fill]:
        training = self._model.training
        self._model.eval()
        found: dict[str, float] = {}
        for tokens in range(1, self.longest + 1):
            words = dict(self._words(before, after, tokens, spaced, 4 * top))
            if not self.words:
                # What a longer word continues with at least half the probability is a piece that fewer masks had room for.
                for piece in [piece for piece in found if any(_continues(word, piece, words, found) for word in words)]:
                    del found[piece]
            for word, probability in words.items():
                found[word] = max(found.get(word, 0.0), probability)
        self._model.train(training)
        ordered = sorted(found, key=lambda word: (-found[word], word))
        return [Fill(word, found[word]) for word in ordered[:top]]

    def _words(
        self, before: list[int], after: list[int], tokens: int, spaced: bool, beams: int
    ) -> list[tuple[str, float]]:
        """Words of so many tokens with their probabilities, filled from the left by beam search."""
        room = (self._model.config.max_position_embeddings - 2 - tokens) // 2
        left = [self._end, *before[-max(room, 2 * room - len(after)) :]]
        right = [*after[: max(room, 2 * room - len(before))], self._end]
        share = self._tree(spaced).share.get(tokens, 0.0) if self.words else 1.0
        rows: list[tuple[list[int], float]] = [([], float(np.log(share)))] if share else []
        for done in range(tokens):
            ids = [[*left, *chosen, *[self._mask] * (tokens - done), *right] for chosen, _ in rows]
            if not ids:
                return []
            logs = self._log_probabilities(ids, len(left) + done)
            allowed = torch.stack([self._allowed(chosen, tokens, spaced) for chosen, _ in rows])
            logs = logs.masked_fill(~allowed[:, : logs.shape[1]], -torch.inf) + torch.tensor([[s] for _, s in rows])
            values, flat = logs.flatten().topk(min(beams, logs.numel()))
            width = logs.shape[1]
            rows = [
                ([*rows[index // width][0], index % width], value)
                for index, value in zip(flat.tolist(), values.tolist(), strict=True)
                if np.isfinite(value)
            ]
        words = ((self._tokenizer.decode(chosen).strip(), float(np.exp(score))) for chosen, score in rows)
        return [(word, probability) for word, probability in words if WORD.fullmatch(word)]

    def _allowed(self, chosen: list[int], tokens: int, spaced: bool) -> Tensor:
        """Which ids may follow the first ones of a word, [vocabulary]."""
        if not self.words:
            return self._spaced if spaced and not chosen else self._inner
        allowed = torch.zeros_like(self._inner)
        allowed[self._tree(spaced).after(chosen, tokens)] = True
        return allowed

    def _tree(self, spaced: bool) -> _Tree:
        space = " " if spaced else ""
        if space not in self._trees:
            self._trees[space] = _Tree(self.words, self._tokenizer, space, self.longest)
        return self._trees[space]

    def _log_probabilities(self, rows: list[list[int]], place: int) -> Tensor:
        """Of every id at `place` of each row, [rows, vocabulary] on the CPU."""
        found = []
        for start in range(0, len(rows), _ROWS):
            ids = torch.tensor(rows[start : start + _ROWS])
            found.append(logits_at(self._model, ids, torch.full((len(ids),), place)).log_softmax(-1))
        return torch.cat(found)


def _continues(word: str, piece: str, words: dict[str, float], found: dict[str, float]) -> bool:
    return word != piece and word.startswith(piece) and 2 * words[word] >= found[piece]
