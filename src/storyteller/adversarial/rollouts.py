"""Rollouts: many stories drawn from the policy as it is, batched, with a key-value cache and early exit.

The draw is over the full vocabulary at one temperature, so the log-probabilities that the update computes are exactly
those of the drawing. A control token that is drawn ends the story, whichever it is: nothing is banned, nothing is cut off.

On a GPU a token of a small model costs the time of launching its kernels, not theirs; so the pass of one token is recorded
once for each batch (a CUDA graph, see `Recorded`) and replayed for every other token.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from storyteller.adversarial.cache import GrowingCache
from storyteller.adversarial.policy import Policy
from storyteller.models.precision import resolve_precision
from storyteller.recipe.models import RolloutRecipe
from storyteller.runs.console import say

__all__ = ["Recorded", "draw_ids", "drawing_dtype", "sample"]

_BLOCK = 256
"""Ids whose probabilities are summed together when one is drawn."""
_INSIDE = 1 - 1e-12
_COMPACT = 0.75
"""The batch is cut to the stories still being told when they are under this share of it: a cut copies the cache."""


def drawing_dtype(recipe: RolloutRecipe) -> torch.dtype | None:
    """What the weights are rounded to while stories are drawn; None: nothing."""
    return torch.bfloat16 if _precision(recipe.precision) == "bfloat16" else None


@functools.cache
def _precision(asked: str) -> str:
    return resolve_precision(asked)[0]  # a measurement: once a process, so that all of its draws are alike


def sample(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    group: int,
    *,
    new_tokens: int,
    temperature: float,
    ends: Collection[int],
    seed: int,
    batch: int = 512,
) -> list[list[list[int]]]:
    """Draw `group` stories for each prompt: their ids, the token that ended each among them, at most `new_tokens`.

    `ends` are the ids that end a story; ids beyond the tokenizer's vocabulary may be among them. The same seed, prompts
    and weights give the same stories. At most `batch` stories are told at once. Run it inside `policy.merged()` (or
    `policy.reference()` for the reference's stories). Raises `FloatingPointError` when the logits are no numbers.
    """
    generator = torch.Generator(policy.device).manual_seed(seed)
    final = torch.zeros(policy.head.shape[0], dtype=torch.bool, device=policy.device)
    final[list(ends)] = True
    told: list[list[list[int]]] = []
    for start in range(0, len(prompts), max(1, batch // group)):
        part = prompts[start : start + max(1, batch // group)]
        told += _sample(policy, part, group, new_tokens, temperature, final, generator)
    return told


@torch.inference_mode()
def _sample(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    group: int,
    new_tokens: int,
    temperature: float,
    final: Tensor,
    generator: torch.Generator,
) -> list[list[list[int]]]:
    device = policy.device
    longest = max(map(len, prompts))
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    for row, prompt in zip(ids, prompts, strict=True):
        row[longest - len(prompt) :] = torch.tensor(prompt)
    seen = torch.arange(longest, device=device) >= (longest - lengths).unsqueeze(1)
    positions = (torch.arange(longest, device=device) - (longest - lengths).unsqueeze(1)).clamp(min=0)
    cache = GrowingCache(longest + new_tokens)
    hidden = _advance(policy, ids.to(device), positions, seen, cache)
    # Every story of a group begins with the same prompt: it is read once and its keys are repeated.
    cache.repeat(group)
    hidden, seen, lengths = (each.repeat_interleave(group, dim=0) for each in (hidden, seen, lengths))
    alive = torch.arange(len(lengths), device=device)
    running = torch.ones(len(lengths), dtype=torch.bool, device=device)
    told = torch.full((len(lengths), new_tokens), -1, device=device)
    # A recorded pass is for a batch of one size: there the rows of ended stories run on until all have ended.
    recorded = _recorded(policy, cache, seen) if _worth_recording(device, new_tokens) else None
    for step in range(new_tokens):
        drawn = draw_ids((hidden @ policy.head.T).float() / temperature, generator)
        told[alive, step] = torch.where(running, drawn, -1)
        running &= ~final[drawn]
        left = int(running.sum())
        if left == 0 or step == new_tokens - 1:
            break
        if recorded is not None:
            hidden = recorded(drawn, lengths + step)
            continue
        if left < _COMPACT * len(running):
            keep = running.nonzero().squeeze(1)
            cache.keep(keep)
            drawn, seen, lengths, alive, running = (each[keep] for each in (drawn, seen, lengths, alive, running))
        seen = torch.cat([seen, seen.new_ones(len(seen), 1)], dim=1)
        hidden = _advance(policy, drawn.unsqueeze(1), (lengths + step).unsqueeze(1), seen, cache)
    stories = [[token for token in row if token >= 0] for row in told.tolist()]
    return [stories[start : start + group] for start in range(0, len(stories), group)]


def draw_ids(logits: Tensor, generator: torch.Generator) -> Tensor:
    """An id for each row of `logits` [rows, vocabulary], in proportion to its probability.

    One uniform number for a row is looked up in the sums of its probabilities, first of `_BLOCK` ids at a time, then within
    the block. `torch.multinomial` draws a number for every id, which took a fifth of a token's time.
    """
    blocks = pad(logits.softmax(-1), (0, -logits.shape[1] % _BLOCK)).view(len(logits), -1, _BLOCK)
    sums = blocks.sum(-1).cumsum(-1, dtype=torch.float64)  # in float32 the rarest ids would be lost
    if not bool(sums[:, -1].isfinite().all()):
        raise FloatingPointError("the policy's logits are no numbers")
    uniform = torch.rand(len(sums), 1, generator=generator, dtype=torch.float64, device=logits.device)
    uniform *= sums[:, -1:] * _INSIDE
    block = torch.searchsorted(sums, uniform, right=True)
    within = blocks.take_along_dim(block.unsqueeze(-1), 1).squeeze(1).cumsum(-1, dtype=torch.float64)
    rest = uniform - pad(sums, (1, 0)).gather(1, block)
    # What rounding leaves beyond a block's end belongs to its last id that has a chance at all.
    rest = torch.minimum(rest, within[:, -1:] * _INSIDE)
    return (block * _BLOCK + torch.searchsorted(within, rest, right=True)).squeeze(1)


class Recorded:
    """The pass of one token for all rows of a batch, recorded when it is made and replayed at each call.

    It keeps the weights that it was recorded with, so it lives no longer than one draw. With `graph` False nothing is
    recorded: the same operations run one by one, on any device. Raises `RuntimeError` where a pass can't be recorded.
    """

    def __init__(self, policy: Policy, cache: GrowingCache, seen: Tensor, *, graph: bool = True) -> None:
        rows, filled = seen.shape
        self._policy, self._cache = policy, cache
        self._ids = torch.zeros(rows, 1, dtype=torch.long, device=seen.device)
        self._positions = torch.zeros_like(self._ids)
        self._place = torch.full((1,), filled, device=seen.device)
        self._seen = torch.zeros(rows, cache.room, dtype=torch.bool, device=seen.device)
        self._seen[:, : filled + 1] = torch.cat([seen, seen.new_ones(rows, 1)], dim=1)
        self._graph: torch.cuda.CUDAGraph | None = None
        cache.fix(self._place)
        if graph:
            self._record()

    def __call__(self, ids: Tensor, positions: Tensor) -> Tensor:
        """The last hidden state [rows, width] after `ids` [rows] at `positions` [rows]; the next call overwrites it."""
        self._ids.copy_(ids.unsqueeze(1))
        self._positions.copy_(positions.unsqueeze(1))
        self._seen[:, self._place] = True
        if self._graph is None:
            self._hidden = self._advance()
        else:
            self._graph.replay()
        self._place += 1
        return self._hidden

    def _advance(self) -> Tensor:
        return _advance(self._policy, self._ids, self._positions, self._seen, self._cache)

    def _record(self) -> None:
        # Two passes on a stream apart, as torch asks for: libraries prepare themselves in the first ones, and may not
        # while they are recorded. What they write is at the place that the first real token overwrites.
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(2):
                self._advance()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._hidden = self._advance()
        self._graph = graph


def _worth_recording(device: torch.device, tokens: int) -> bool:
    return device.type == "cuda" and tokens > 4  # recording takes three passes


def _recorded(policy: Policy, cache: GrowingCache, seen: Tensor) -> Recorded | None:
    """The recorded pass, or None, said once, for a model whose pass can't be recorded."""
    try:
        return Recorded(policy, cache, seen)
    except RuntimeError as error:
        cache.fix(None)
        _tell_unrecorded(str(error).splitlines()[0])
        return None


@functools.cache
def _tell_unrecorded(why: str) -> None:
    say(f"a token's pass can't be recorded on this GPU ({why}); stories are drawn kernel by kernel")


def _advance(policy: Policy, ids: Tensor, positions: Tensor, seen: Tensor, cache: GrowingCache) -> Tensor:
    """Read `ids` [rows, new] after what is cached; the last hidden state [rows, width]."""
    new, total = ids.shape[1], seen.shape[1]
    mask = seen[:, None, None, :]
    if new > 1:
        # Left padding sees itself, so that no softmax is over nothing.
        causal = torch.ones(new, total, dtype=torch.bool, device=ids.device).tril()
        mask = (mask & causal) | torch.eye(new, total, dtype=torch.bool, device=ids.device)
    output = policy.body(
        input_ids=ids, position_ids=positions, attention_mask=mask, past_key_values=cache, use_cache=True
    )
    hidden: Tensor = output.last_hidden_state[:, -1]
    return hidden
