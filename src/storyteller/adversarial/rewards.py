"""From the critic's opinions to what each drawn token is worth."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import logsigmoid

from storyteller.adversarial.critic import Opinion
from storyteller.adversarial.marks import Marks
from storyteller.recipe.models import RewardRecipe

__all__ = [
    "Rules", "Scale", "advantages", "dead_share", "leave_one_out", "normalised", "repeated_share", "rewards", "shared_shares",
]  # fmt: skip

COPIED = 12
"""A span of so many tokens that stands in a training story is a copy."""
PHRASE = 3
"""A phrase that stories share is so many tokens long."""
_ALIKE = 1e-4
"""Logits within so much of each other are of one story, or of one opinion."""
_MISSING = -3.0
"""The reward of a story without a word where no story has one; else it gets less than the worst that has."""


@dataclass(slots=True)
class Scale:
    """The mean of a logit over a step's stories, and its running variance within a step.

    The critic's logits wander from step to step by more than they differ within one. Beside a running mean whole steps
    would lie near the clipping, where stories are worth the same.
    """

    mean: float = 0.0
    variance: float = 0.0
    seen: bool = False

    def update(self, values: Tensor, decay: float = 0.9) -> None:
        """Take in one batch; the first one sets the scale. What is not a number would stay for good, and is left out."""
        values = values[values.isfinite()]
        if not len(values):
            return
        share = 1 - decay if self.seen else 1.0
        self.mean = float(values.mean())
        self.variance += share * (float(values.var(correction=0)) - self.variance)
        self.seen = True

    @property
    def deviation(self) -> float:
        """The standard deviation, never so small that it makes noise large."""
        return max(math.sqrt(self.variance), 1e-3)

    def standardise(self, values: Tensor, most: float) -> Tensor:
        """`values` in deviations from the mean, at most `most` of them."""
        return ((values - self.mean) / self.deviation).clamp(-most, most)


@dataclass(frozen=True, slots=True)
class Rules:
    """What human stories almost never do: `repeats` is their 95th percentile, `length` their 5th and 95th.

    `spans` holds the hashes of every `COPIED`-gram of what the model may have learned by heart, sorted.
    """

    repeats: float
    length: tuple[float, float]
    spans: NDArray[np.int64]

    @classmethod
    def of(cls, stories: Sequence[Sequence[int]], marks: Sequence[Marks], known: Iterable[Sequence[int]] = ()) -> Rules:
        """The rules of human stories given as ids, measured as drawn ones are: up to the last sentence end.

        `known` are the training stories in full, of which `stories` are parts.
        """
        lengths = [mark.ends[-1] for mark in marks]
        repeats = [repeated_share(ids[:end]) for ids, end in zip(stories, lengths, strict=True)]
        low, high = np.quantile(np.array(lengths), [0.05, 0.95])
        spans = np.sort(np.concatenate([_spans(ids) for ids in itertools.chain(stories, known)]))
        return cls(float(np.quantile(np.array(repeats), 0.95)), (float(low), float(high)), spans)

    def copied_share(self, ids: Sequence[int]) -> float:
        """The share of a story's `COPIED`-grams that stand in a training story."""
        found = _spans(ids)
        if not len(found) or not len(self.spans):
            return 0.0
        # `np.isin` would go through the millions of spans anew for every story: seconds each, longer than to draw it.
        places = np.searchsorted(self.spans, found).clip(max=len(self.spans) - 1)
        return float((self.spans[places] == found).mean())

    def broken(self, ids: Sequence[int], marks: Marks) -> int:
        """How many of the four rules a drawn story breaks: repetition, copying, no sentence end, length."""
        end = marks.ends[-1]
        return (
            (repeated_share(ids[:end]) > self.repeats)
            + (self.copied_share(ids[:end]) > 0)
            + (not marks.ended)
            + (not self.length[0] <= end <= self.length[1])
        )


def repeated_share(ids: Sequence[int], n: int = 4) -> float:
    """The share of a text's n-grams that occurred in it before."""
    grams = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def shared_shares(stories: Sequence[Sequence[int]], members: int) -> list[float]:
    """The share of each story's `PHRASE`-grams that stand in a story to another prompt, 0 for one of fewer tokens.

    `members` stories in a row answer one prompt. These may share phrases, which the prompt may ask for; what stands in the
    stories to all prompts is the policy's own habit, which self-BLEU measures and no critic of single stories sees.
    """
    grams = [{tuple(ids[i : i + PHRASE]) for i in range(len(ids) - PHRASE + 1)} for ids in stories]
    told = Counter[tuple[int, ...]]()
    groups = [set().union(*grams[start : start + members]) for start in range(0, len(grams), members)]
    for group in groups:
        told.update(group)
    return [sum(told[gram] > 1 for gram in own) / len(own) if own else 0.0 for own in grams]


def rewards(
    opinions: Sequence[Opinion | None],
    penalties: Sequence[int],
    recipe: RewardRecipe,
    realism: Scale,
    coherence: Scale,
    shared: Sequence[float] = (),
) -> Tensor:
    """The reward of each drawn story; None stands for one without a word, which is worth less than any other.

    `logit` is log D - log(1 - D), the reverse-KL direction, which does not saturate, in deviations of
    `realism`; `log_d` is the seed's reward as it stands. `shared` are `shared_shares`, for `recipe.variety`.
    """
    told = [opinion for opinion in opinions if opinion is not None]
    result = torch.full((len(opinions),), _MISSING)
    if not told:
        return result
    score = torch.stack([opinion.score[-1] for opinion in told])
    sound = torch.stack([opinion.coherence[:, -1].mean() for opinion in told])
    value = realism.standardise(score, 3.0) if recipe.kind == "logit" else logsigmoid(score)
    value = value + recipe.coherence * coherence.standardise(sound, 2.0)
    present = torch.tensor([opinion is not None for opinion in opinions])
    result[present] = value.cpu()
    result -= recipe.penalty * torch.tensor(penalties, dtype=torch.float32)
    if recipe.variety and shared:
        habits = torch.tensor(shared)
        result -= recipe.variety * normalised(habits - habits.mean())
    result[~present] = result[present].min() - 1
    return result


def dead_share(opined: Sequence[Sequence[float]]) -> float:
    """The share of groups whose stories' logits are all alike, or of which no story has one: nothing is to choose there."""
    return sum(not told or max(told) - min(told) < _ALIKE for told in opined) / max(1, len(opined))


def leave_one_out(values: Tensor) -> Tensor:
    """`values` [groups, members, ...] less the mean of the group's other members: a baseline without bias.

    Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline for free".
    """
    members = values.shape[1]
    return (values - values.mean(1, keepdim=True)) * (members / (members - 1))


def advantages(
    values: Tensor,
    opinions: Sequence[Opinion | None],
    marks: Sequence[Marks],
    lengths: Sequence[int],
    to_go: float,
    kind: Literal["logit", "log_d"] = "logit",
) -> list[Tensor]:
    """What each token of each drawn story is worth: [tokens] each, in story order.

    `values` [groups, members] are the rewards. A share `to_go` of the advantage is given by sentence: what the score
    (of `kind`) rises by from this sentence on, less what the rest of the group gains from the same token on. Both halves are
    divided by their deviation over the whole batch (a group's own would blow up groups of equals) and clipped at 3.
    """
    whole = normalised(leave_one_out(values)).flatten()
    if not to_go:
        return [whole[i].expand(length) for i, length in enumerate(lengths)]
    later = torch.zeros(len(lengths), max(lengths))
    for i, (opinion, mark) in enumerate(zip(opinions, marks, strict=True)):
        if opinion is None:
            continue
        score = opinion.score.cpu() if kind == "logit" else logsigmoid(opinion.score.cpu())
        start = 0
        before = score.new_zeros(()) if kind == "logit" else score.new_tensor(0.5).log()  # nothing is known yet
        for k, end in enumerate(mark.ends):
            later[i, start:end] = score[-1] - before
            start, before = end, score[k]
    gains = leave_one_out(later.view(*values.shape, -1)).flatten(0, 1)
    present = torch.arange(later.shape[1]) < torch.tensor(lengths).unsqueeze(1)
    gains = (gains / gains[present].std(correction=0).clamp(min=1e-4)).clamp(-3, 3)
    return [(1 - to_go) * whole[i] + to_go * gains[i, :length] for i, length in enumerate(lengths)]


def normalised(values: Tensor) -> Tensor:
    """`values` in their own deviations, at most 3 of them; zeros where they are all but equal."""
    deviation = values.std(correction=0)
    # No spread, no signal: equal rewards must not become noise divided by nothing.
    return torch.zeros_like(values) if deviation < 1e-4 else (values / deviation).clamp(-3, 3)


def _spans(ids: Sequence[int]) -> NDArray[np.int64]:
    values: NDArray[Any] = np.asarray(ids, dtype=np.uint64)
    count = len(values) - COPIED + 1
    if count <= 0:
        return np.zeros(0, dtype=np.int64)
    hashed = np.zeros(count, dtype=np.uint64)
    for offset in range(COPIED):  # a polynomial modulo 2**64
        hashed = hashed * np.uint64(6364136223846793005) + values[offset : offset + count] + np.uint64(1)
    return hashed.astype(np.int64)


def flat(groups: Iterable[Iterable[Any]]) -> list[Any]:
    """The members of all groups in order."""
    return [member for group in groups for member in group]
