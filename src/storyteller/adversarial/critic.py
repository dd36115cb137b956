"""The critic: small heads on the frozen hidden states of the reference model, at several depths.

The reference reads every story anyway, for the divergence, so the critic costs its heads alone; and since the states are
causal, one pass scores every sentence-prefix of a story. Each depth has a head for realism (human or generated?) and one
for coherence (as written, or with a fault put in?). Projected GANs (Sauer et al. 2021, arXiv 2111.01007) have shown that
discriminators on frozen features with random projections train fast and stably; spectral norms (Miyato et al. 2018,
arXiv 1802.05957) and R1 (Mescheder et al. 2018, arXiv 1801.04406) keep them from winning outright.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.rnn import pad_sequence

from storyteller.adversarial.marks import Marks
from storyteller.recipe.models import CriticRecipe

__all__ = ["Critic", "Opinion", "Pair", "Read", "critic_loss", "depths_of", "generator_loss", "padded", "pessimistic"]

QUERIES = 4
"""Places that the attention of one head looks at."""


@dataclass(frozen=True, slots=True)
class Read:
    """A story as the critic reads it: projected states [depths, tokens, width] in float16, and its sentence ends.

    A critic that makes its own states has none here: it reads the `ids` after those of the `prompt`.
    """

    states: Tensor
    ends: tuple[int, ...]
    prompt: tuple[int, ...] = ()
    ids: tuple[int, ...] = ()

    def cut(self, ends: Sequence[int]) -> Read:
        """The story up to the last of `ends`, which are some of its own."""
        if self.ends == tuple(ends):
            return self
        return Read(self.states[:, : ends[-1]], tuple(ends), self.prompt, self.ids[: ends[-1]])

    def without(self, start: int, end: int) -> Read:
        """The story as if the tokens from `start` to `end`, not all of it, had not been read for the verdict.

        What stands after them keeps its states: it was read with them in sight. Only its last end is kept.
        """
        states = torch.cat([self.states[:, :start], self.states[:, end:]], 1)
        return Read(states, (self.ends[-1] - (end - start),), self.prompt, self.ids[:start] + self.ids[end:])


@dataclass(frozen=True, slots=True)
class Pair:
    """A human and a generated story that answer one prompt, within one length, and the human one with a fault."""

    human: Read
    generated: Read
    corrupted: Read | None


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the critic thinks of a story up to each of its sentence ends, [depths, ends] each: logits."""

    realism: Tensor
    coherence: Tensor

    @property
    def score(self) -> Tensor:
        """The pessimistic realism of each prefix [ends]: the heads' mean less half of their deviation."""
        return pessimistic(self.realism)


class Head(nn.Module):
    """A logit for every prefix of a story: tokens through one layer, pooled causally by attention, then two layers.

    The attention's weight of a token does not depend on the prefix, so a pooled prefix is the ratio of two running sums.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.token = nn.Sequential(nn.Linear(width, width), nn.GELU())
        self.query = nn.Linear(width, QUERIES)
        self.judge = nn.Sequential(
            nn.Dropout(dropout),
            spectral_norm(nn.Linear(QUERIES * width, width)),
            nn.GELU(),
            spectral_norm(nn.Linear(width, 1)),
        )

    def pool(self, states: Tensor, ends: Tensor) -> Tensor:
        """The pooled prefixes [stories, ends, QUERIES * width] of `states` [stories, tokens, width]."""
        values = self.token(states)
        # Bounded, so that the running sums neither overflow nor lose the earlier tokens.
        weights = (4 * torch.tanh(self.query(values) / 4)).exp()
        total = weights.cumsum(1)
        pooled = (weights.unsqueeze(-1) * values.unsqueeze(2)).cumsum(1)
        at = (ends - 1).clamp(min=0)
        rows = torch.arange(len(states), device=states.device).unsqueeze(1)
        result: Tensor = pooled[rows, at] / total[rows, at].unsqueeze(-1)
        return result.flatten(2)


class Critic(nn.Module):
    """Heads for realism and coherence at each of `depths` layers of a model of width `features`.

    `layers` are the reference's hidden states that it reads, none of them by default: `make_critic` says which. Other
    critics (`critics`) differ in `reads` and in `_states`: where a story's states come from.
    """

    projection: Tensor
    by_sentence = True
    """Whether a story has a score at each of its sentences, and not only at its end."""

    def __init__(
        self, features: int, depths: int, recipe: CriticRecipe, seed: int, layers: tuple[int, ...] = ()
    ) -> None:
        super().__init__()
        self.layers = layers
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            projection = torch.randn(depths, features, recipe.width) / features**0.5
            self.realism = nn.ModuleList(Head(recipe.width, recipe.dropout) for _ in range(depths))
            self.coherence = nn.ModuleList(Head(recipe.width, recipe.dropout) for _ in range(depths))
        self.register_buffer("projection", projection)

    @torch.no_grad()
    def project(self, states: Sequence[Tensor]) -> Tensor:
        """The states of each depth, [tokens, features], made equally long and projected: [depths, tokens, width]."""
        stacked = torch.stack([each.float() for each in states])
        # A few dimensions of a deep layer are a hundred times larger than all others.
        unit = stacked * stacked.square().mean(-1, keepdim=True).add(1e-6).rsqrt()
        return (unit @ self.projection).half()

    def reads(
        self, prompt: Sequence[int], stories: Sequence[Sequence[int]], marks: Sequence[Marks], states: Sequence[Tensor]
    ) -> list[Read | None]:
        """Each story up to its last sentence end, None for one without a word; `states` are those of its `layers`."""
        return [
            Read(state[:, : mark.ends[-1]].clone(), mark.ends) if mark.ends else None
            for state, mark in zip(states, marks, strict=True)
        ]

    def forward(self, reads: Sequence[Read]) -> list[Opinion]:
        """The opinion on each story; gradients reach the heads."""
        states, ends = self._states(reads)
        realism = self._logits(self.realism, states, ends)
        coherence = self._logits(self.coherence, states, ends)
        counts = [len(read.ends) for read in reads]
        return [Opinion(realism[:, i, :n], coherence[:, i, :n]) for i, n in enumerate(counts)]

    @torch.no_grad()
    def scores(self, reads: Sequence[Read]) -> list[Tensor]:
        """The pessimistic realism of each story's prefixes, as `Opinion.score`, without the heads for coherence."""
        states, ends = self._states(reads)
        realism = self._logits(self.realism, states, ends)
        return [pessimistic(realism[:, i, : len(read.ends)]) for i, read in enumerate(reads)]

    def _states(self, reads: Sequence[Read]) -> tuple[Tensor, Tensor]:
        """States [stories, depths, tokens, width] and sentence ends [stories, ends] of a batch."""
        return padded(reads, self.projection.device)

    def _logits(self, heads: nn.ModuleList, states: Tensor, ends: Tensor) -> Tensor:
        logits = [head.judge(head.pool(states[:, depth], ends)) for depth, head in enumerate(heads)]  # type: ignore[operator]
        return torch.stack(logits).squeeze(-1)

    @torch.no_grad()
    def places(self, reads: Sequence[Read]) -> Tensor:
        """Where each story lies among others: the mean of its states at all depths, [stories, depths * width]."""
        states, ends = self._states(reads)
        inside = torch.arange(states.shape[2], device=states.device) < ends[:, -1:]
        weight = inside[:, None, :, None].float()
        return ((states * weight).sum(2) / weight.sum(2)).flatten(1).cpu()

    def penalty(self, reads: Sequence[Read]) -> Tensor:
        """The mean squared gradient of the realism logits with respect to the pooled features of `reads` (R1)."""
        states, ends = self._states([replace(read, ends=read.ends[-1:]) for read in reads])
        total = states.new_zeros(())
        for depth, head in enumerate(self.realism):
            pooled = head.pool(states[:, depth], ends)  # type: ignore[operator]
            (slope,) = torch.autograd.grad(head.judge(pooled).sum(), pooled, create_graph=True)  # type: ignore[operator]
            total = total + slope.square().sum(-1).mean()
        return total / len(self.realism)


def critic_loss(critic: Critic, pairs: Sequence[Pair], recipe: CriticRecipe, order: Tensor) -> tuple[Tensor, float]:
    """The critic's loss on `pairs`, and its accuracy on them before the step: who of each pair is human?

    BCE(human, smoothed) + BCE(generated, 0) + Bradley-Terry on the pair + the coherence head's BCE + R1. All stories go
    through the critic in one batch in the shuffled `order` (a permutation of them), so that no place in the batch tells
    the classes apart.
    """
    faulty = [(i, pair.corrupted) for i, pair in enumerate(pairs) if pair.corrupted is not None]
    reads = [pair.human for pair in pairs] + [pair.generated for pair in pairs] + [read for _, read in faulty]
    order = order[order < len(reads)]
    shuffled = critic([reads[i] for i in order.tolist()])
    opinions: list[Opinion] = [shuffled[i] for i in order.argsort().tolist()]
    human, generated = opinions[: len(pairs)], opinions[len(pairs) : 2 * len(pairs)]
    real, fake = torch.cat([o.realism for o in human], 1), torch.cat([o.realism for o in generated], 1)
    last = torch.stack([h.realism[:, -1] - g.realism[:, -1] for h, g in zip(human, generated, strict=True)])
    loss = discriminator_loss(real, fake, recipe.smoothing) - recipe.pair_weight * logsigmoid(last).mean()
    if faulty and recipe.coherence_weight:
        sound = torch.stack([human[i].coherence[:, -1] for i, _ in faulty])
        unsound = torch.stack([opinion.coherence[:, -1] for opinion in opinions[2 * len(pairs) :]])
        loss = loss + recipe.coherence_weight * discriminator_loss(sound, unsound, 1.0)
    if recipe.gradient_penalty:
        loss = loss + recipe.gradient_penalty * critic.penalty([pair.human for pair in pairs])
    won = [float(h.score[-1] > g.score[-1]) for h, g in zip(human, generated, strict=True)]
    return loss, sum(won) / len(won)


def discriminator_loss(real: Tensor, fake: Tensor, smoothing: float) -> Tensor:
    """-E log D(x) - E log(1 - D(G(z))), D being the sigmoid of the logits; the target of real ones is `smoothing`."""
    return binary_cross_entropy_with_logits(real, torch.full_like(real, smoothing)) + binary_cross_entropy_with_logits(
        fake, torch.zeros_like(fake)
    )


def generator_loss(fake: Tensor) -> Tensor:
    """-E log D(G(z)): the seed's loss of the generator, whose negative is the reward `log_d`."""
    return -logsigmoid(fake).mean()


def pessimistic(realism: Tensor) -> Tensor:
    """Of logits [depths, ends] the heads' mean less half of their deviation [ends]."""
    return realism.mean(0) - 0.5 * realism.std(0, correction=0)


def depths_of(layers: int) -> tuple[int, ...]:
    """The hidden states that the critic reads: at a third, two thirds and all of a model's `layers`."""
    return tuple(sorted({max(1, round(layers * share / 3)) for share in (1, 2, 3)}))


def padded(reads: Sequence[Read], device: torch.device) -> tuple[Tensor, Tensor]:
    """States [stories, depths, tokens, width] in float32 and ends [stories, ends]; padding repeats the last end."""
    longest = max(read.ends[-1] for read in reads)
    rows = [read.states[:, :longest].transpose(0, 1) for read in reads]
    states = pad_sequence(rows, batch_first=True).to(device, torch.float32).transpose(1, 2)
    most = max(len(read.ends) for read in reads)
    ends = torch.tensor([[*read.ends, *[read.ends[-1]] * (most - len(read.ends))] for read in reads])
    return states, ends.to(device)
