"""A model of ours as lm-eval asks one: log-likelihoods, rolling log-likelihoods, and text until a stop.

Conventions are those of lm-eval's own `HFLM` for a causal model, so that figures can be compared: a text without context
follows the beginning-of-text token, and what is too long is cut from its beginning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from storyteller.evaluate.log_probabilities import LogProbabilities
from storyteller.generate.sampling import Sampler, SamplingSettings
from storyteller.generate.torch_batch import TorchBatch
from storyteller.runs.console import progress

__all__ = ["HarnessModel"]

#: Texts that are written side by side.
ROWS = 8

#: Positions that a model without a bound of its own is read with.
WINDOW = 2048


class HarnessModel(TemplateLM):  # type: ignore[misc]
    """lm-eval's view of a loaded model."""

    def __init__(self, reader: LogProbabilities) -> None:
        super().__init__()
        self._reader = reader
        self.max_length = min(reader.longest, WINDOW)
        self._stops = set(reader.tokenizer.stop_ids)

    @property
    def eot_token_id(self) -> int:
        """The id that ends a text."""
        return next(iter(self._reader.tokenizer.stop_ids), self._reader.start)

    @property
    def prefix_token_id(self) -> int:
        """The id that stands before a text without context."""
        bos = self._reader.tokenizer.bos_id
        return self.eot_token_id if bos is None else bos

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """The ids of a text, without special ones."""
        return self._reader.tokenizer.encode(string)

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], **_: Any
    ) -> list[tuple[float, bool]]:
        # The window that HFLM reads: `max_length` ids, the last of the continuation not among them.
        items = [(context[-(self.max_length + 1 - len(ids)) :], [ids]) for _, context, ids in requests]
        return [(score.total, score.greedy) for (score,) in self._reader.score_ids(items)]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """The log-likelihood of each whole text; see `lm_eval.api.model.LM`."""
        items: list[tuple[list[int], list[list[int]]]] = []
        counts = []
        for (text,) in (request.args for request in requests):
            windows = get_rolling_token_windows(
                token_list=self.tok_encode(text),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.max_length,
                context_len=1,
            )
            found = [(list(context), [list(ids)]) for context, ids in map(make_disjoint_window, windows)]
            items += found
            counts.append(len(found))
        totals = iter([score.total for (score,) in self._reader.score_ids(items)])
        return [sum(next(totals) for _ in range(count)) for count in counts]

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """What the model writes after each context, up to a stop; see `lm_eval.api.model.LM`."""
        waiting = [_Answer(self, index, *request.args) for index, request in enumerate(requests)]
        answers = [""] * len(waiting)
        batch = TorchBatch(self._reader.model, ROWS, self.max_length)
        rows: dict[int, _Answer] = {}
        waiting.reverse()
        with progress(len(answers), "writing") as advance:
            while waiting or rows:
                for row in range(ROWS):
                    if row not in rows and waiting:
                        rows[row] = waiting.pop()
                logits = batch.feed_many({row: answer.ids for row, answer in sorted(rows.items())})
                for (row, answer), scores in zip(sorted(rows.items()), logits, strict=True):
                    answer.read(scores)
                    if answer.text is not None:
                        answers[answer.index] = answer.text
                        del rows[row]
                        advance()
        batch.close()
        return answers


class _Answer:
    """One text being written; `text` is None until it is over."""

    def __init__(self, model: HarnessModel, index: int, context: str, settings: dict[str, Any]) -> None:
        asked: dict[str, Any] = dict(normalize_gen_kwargs(settings))
        until = asked.get("until") or []
        self.index, self.text = index, None if asked["max_gen_toks"] > 0 else ""
        self._until = [until] if isinstance(until, str) else [stop for stop in until if stop]
        self._most = min(int(asked["max_gen_toks"]), model.max_length - 1)
        ids = model.tok_encode(context) or [model.prefix_token_id]
        self.ids = ids[-(model.max_length - self._most) :]
        self._tokenizer, self._stops = model._reader.tokenizer, model._stops
        self._written: list[int] = []
        temperature = float(asked.get("temperature") or 0) if asked.get("do_sample") else 0.0
        self._sampler = Sampler(
            SamplingSettings(temperature, 0.0, top_k=asked.get("top_k"), top_p=asked.get("top_p"), dry_multiplier=0.0),
            seed=index,
        )

    def read(self, logits: Any) -> None:
        """Go on by one token."""
        token = self._sampler.draw(logits, self.ids).id
        self.ids = [*self.ids, token]
        ended = token in self._stops
        self._written += [] if ended else [token]
        text = self._tokenizer.decode(self._written)
        cut = min((place for stop in self._until if (place := text.find(stop)) >= 0), default=None)
        if ended or cut is not None or len(self._written) >= self._most:
            self.text = text[:cut]
