"""The adversary: the critic with its optimizer, its memory of old stories and the balance that it is kept in."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from storyteller.adversarial.critic import Critic, Opinion, Pair, Read, critic_loss
from storyteller.errors import DataError, TrainingError
from storyteller.recipe.models import CriticRecipe
from storyteller.train.checkpoint import moments, restore_moments
from storyteller.train.loop import mix
from storyteller.train.optim import trainable

__all__ = ["Adversary", "Memory", "Standing", "part_of"]

#: Shares of a step's pairs: this step's stories, those of the last 20 steps, those of the reference.
SHARES = (0.5, 0.35, 0.15)
REMEMBERED = 320
"""Pairs kept of the last steps: twenty steps of sixteen, 70 MB at 96 tokens."""
PER_STEP = 16
PATIENCE = 60
"""Steps of a warm-up without a lower held-out loss that end it."""


@dataclass
class Memory:
    """Pairs of earlier steps: `pool` those of the reference, fixed; `recent` the policy's, the oldest forgotten first."""

    pool: list[Pair] = field(default_factory=list)
    recent: list[Pair] = field(default_factory=list)

    def remember(self, pairs: Sequence[Pair], chance: random.Random) -> None:
        """Keep a few of this step's pairs."""
        kept = chance.sample(list(pairs), min(PER_STEP, len(pairs)))
        self.recent = [*self.recent, *kept][-REMEMBERED:]

    def mixed(self, fresh: Sequence[Pair], count: int, chance: random.Random) -> list[Pair]:
        """`count` pairs in the shares of `SHARES`, as far as there are some; in random order."""
        sources = [list(fresh), self.recent, self.pool]
        wanted = [math.ceil(share * count) for share in SHARES]
        chosen: list[Pair] = []
        for source, number in zip(sources, wanted, strict=True):
            chosen += chance.sample(source, min(number, len(source), count - len(chosen)))
        rest = [pair for source in sources for pair in source]
        if len(chosen) < count and rest:
            chosen += chance.choices(rest, k=count - len(chosen))
        return chosen


@dataclass(frozen=True, slots=True)
class Standing:
    """The critic on pairs that it has not learned from: Bradley-Terry loss, and how often it prefers the human story.

    `accuracy` is that of realism, beside drawn stories, `coherence` beside those with a fault (None: there are none).
    """

    loss: float
    accuracy: float
    coherence: float | None

    def __str__(self) -> str:
        beside = "" if self.coherence is None else f", and of {self.coherence:.0%} with a fault"
        return f"right in {self.accuracy:.0%} of pairs with a drawn story{beside}"


class Adversary:
    """The critic and how it learns; `accuracy` is its running accuracy on pairs that it has not learned from."""

    def __init__(self, critic: Critic, recipe: CriticRecipe, seed: int) -> None:
        self.critic, self.recipe, self.seed = critic.eval(), recipe, seed
        self.optimizer = torch.optim.Adam(trainable(critic).values(), lr=recipe.lr, betas=recipe.betas, foreach=False)
        self.memory = Memory()
        self.accuracy: float | None = None
        self.steps = 0

    @torch.no_grad()
    def opinions(self, reads: Sequence[Read | None], rows: int = 64) -> list[Opinion | None]:
        """The critic's opinion of each story, on the CPU; None for one without a word."""
        self.critic.eval()
        present = [read for read in reads if read is not None]
        told: list[Opinion] = []
        for start in range(0, len(present), rows):
            told += self.critic(present[start : start + rows])
        found = iter(Opinion(o.realism.cpu(), o.coherence.cpu()) for o in told)
        return [next(found) if read is not None else None for read in reads]

    def margins(self, pairs: Sequence[Pair]) -> tuple[list[Tensor | None], list[Tensor | None]]:
        """By how much each pair's human story has the higher realism than the drawn one, and the higher coherence than that
        with a fault; None where there is no other story.
        """
        human = self.opinions([pair.human for pair in pairs])
        drawn = self.opinions([pair.generated for pair in pairs])
        faulty = self.opinions([pair.corrupted for pair in pairs])
        real = [h.score[-1] - g.score[-1] if h and g else None for h, g in zip(human, drawn, strict=True)]
        sound = [
            h.coherence[:, -1].mean() - f.coherence[:, -1].mean() if h and f else None
            for h, f in zip(human, faulty, strict=True)
        ]
        return real, sound

    def measure(self, pairs: Sequence[Pair]) -> Standing:
        """How well realism and coherence tell the human stories of `pairs` from the drawn ones and from those with a fault."""
        real, sound = ([margin for margin in margins if margin is not None] for margins in self.margins(pairs))
        loss, accuracy = _told_apart(real)
        if not sound:
            return Standing(loss, accuracy, None)
        doubt, coherence = _told_apart(sound)
        return Standing(loss + self.recipe.coherence_weight * doubt, accuracy, coherence)

    def learn(self, pairs: Sequence[Pair]) -> float:
        """One step on `pairs`; the loss. Raises `DataError` when one class is missing."""
        if not pairs:
            raise DataError(
                "the critic sees one class only: there is no drawn story with a word in it. Check the model's stories "
                "with `storyteller write`, and refine.rollout.new_tokens."
            )
        self.critic.train()
        # Dropout and the order are functions of the step; with the process's random state, nothing has to be saved.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mix(self.seed, self.steps, 7))
            loss, _ = critic_loss(self.critic, pairs, self.recipe, torch.randperm(3 * len(pairs)))
            loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.critic.parameters(), 1.0)
        if norm.isfinite():  # else the step would leave a critic without numbers, in every later checkpoint, too
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.critic.eval()
        self.steps += 1
        return float(loss.detach())

    def keep_up(self, fresh: Sequence[Pair], step: int) -> dict[str, float]:
        """Learn from a step's fresh pairs among old ones: once, twice when it is being beaten, not at all when it wins.

        The running accuracy takes in the fresh pairs before they are learned from.
        """
        figures = self.keep_score(fresh)
        if not fresh or self.accuracy is None:
            return {"critic_updates": 0.0, **figures}
        times = 0 if self.accuracy > self.recipe.skip_above else 2 if self.accuracy < self.recipe.twice_below else 1
        losses = []
        for number in range(times):
            chance = random.Random(mix(self.seed, step, number))
            losses.append(self.learn(self.memory.mixed(fresh, self.recipe.pairs, chance)))
        self.memory.remember(fresh, random.Random(mix(self.seed, step, 5)))
        return figures | {"critic_updates": float(times)} | ({"critic_loss": losses[-1]} if losses else {})

    def keep_score(self, fresh: Sequence[Pair]) -> dict[str, float]:
        """How the critic stands on a step's fresh pairs, from which it has not learned yet; they move its running accuracy."""
        figures: dict[str, float] = {}
        if fresh:
            standing = self.measure(fresh)
            won = standing.accuracy
            self.accuracy = won if self.accuracy is None else 0.9 * self.accuracy + 0.1 * won
            figures["critic_step_accuracy"] = won
            if standing.coherence is not None:
                figures["coherence_step_accuracy"] = standing.coherence
        return figures if self.accuracy is None else {**figures, "critic_accuracy": self.accuracy}

    def warm_up(self, held: Sequence[Pair], steps: int, accuracy: float = 2.0) -> tuple[int, Standing]:
        """Learn from the pool until `accuracy` on the `held` pairs or for `steps`.

        A few hundred pairs are soon learned by heart: it ends when the held-out loss has not fallen for `PATIENCE`
        steps, and the heads of the least loss are taken back. Returns the steps that these learned, and how they stand.
        """
        if not held:
            raise TrainingError("there are no held-out pairs to measure the critic on; raise refine.critic.pool.")
        done, best, reached = 0, 0, self.measure(held)
        kept = copy.deepcopy(self.critic.state_dict())
        while done < steps and done < best + PATIENCE and reached.accuracy < accuracy:
            for _ in range(min(10, steps - done)):
                chance = random.Random(mix(self.seed, self.steps, 3))
                source = [*self.memory.pool, *self.memory.recent]
                self.learn(chance.sample(source, min(self.recipe.pairs, len(source))))
                done += 1
            now = self.measure(held)
            if now.loss < reached.loss:
                reached, best, kept = now, done, copy.deepcopy(self.critic.state_dict())
        self.critic.load_state_dict(kept)
        self.accuracy = reached.accuracy
        return best, reached

    def tensors(self) -> dict[str, Tensor]:
        """Heads, moments and recent pairs by name, for a checkpoint; the pool is kept beside the checkpoints."""
        found = {f"critic/{name}": value for name, value in self.critic.state_dict().items()}
        found |= {f"moments/{name}": value for name, value in moments(self.critic, self.optimizer).items()}
        found |= pairs_to_tensors(self.memory.recent)
        return {name: value.detach().cpu().clone().contiguous() for name, value in found.items()}

    def restore(
        self, tensors: dict[str, Tensor], values: dict[str, float | None], *, keep_memory: bool = False
    ) -> None:
        """Take back what `tensors` and `values` gave; with `keep_memory` the recent pairs stay as they are."""
        self.critic.load_state_dict(part_of(tensors, "critic"))
        kept = part_of(tensors, "moments")
        self.optimizer.state.clear()
        restore_moments(self.critic, self.optimizer, kept, "the checkpoint")
        self.accuracy = values["accuracy"]
        if not keep_memory:
            self.steps = int(values["steps"] or 0)
            self.memory.recent = tensors_to_pairs(tensors)

    def values(self) -> dict[str, float | None]:
        """The numbers that go with `tensors`."""
        return {"accuracy": self.accuracy, "steps": float(self.steps)}


def _told_apart(margins: Sequence[Tensor]) -> tuple[float, float]:
    """The Bradley-Terry loss of `margins`, human less other, and the share of them over 0."""
    if not margins:
        return math.inf, 0.0
    stacked = torch.stack(list(margins)).double()
    return -float(logsigmoid(stacked).mean()), float((stacked > 0).double().mean())


def part_of(tensors: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    """Those of a checkpoint's tensors that are of one kind (critic, moments, averaged, sampler), by their own names."""
    prefix = f"{kind}/"
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def pairs_to_tensors(pairs: Iterable[Pair]) -> dict[str, Tensor]:
    """Pairs as named tensors: states in float16 as they are, ends in int32."""
    found: dict[str, Tensor] = {}
    for number, pair in enumerate(pairs):
        for kind, read in (("human", pair.human), ("generated", pair.generated), ("corrupted", pair.corrupted)):
            if read is not None:
                found[f"pairs/{number:06d}/{kind}/states"] = read.states
                found[f"pairs/{number:06d}/{kind}/ends"] = torch.tensor(read.ends, dtype=torch.int32)
                if read.ids:
                    found[f"pairs/{number:06d}/{kind}/prompt"] = torch.tensor(read.prompt, dtype=torch.int32)
                    found[f"pairs/{number:06d}/{kind}/ids"] = torch.tensor(read.ids, dtype=torch.int32)
    return found


def tensors_to_pairs(tensors: dict[str, Tensor]) -> list[Pair]:
    """The pairs that `pairs_to_tensors` wrote, in their order."""

    def read(number: str, kind: str) -> Read | None:
        stem = f"pairs/{number}/{kind}"
        if f"{stem}/states" not in tensors:
            return None
        ends, prompt, ids = (
            tuple(tensors[f"{stem}/{name}"].tolist()) if f"{stem}/{name}" in tensors else ()
            for name in ("ends", "prompt", "ids")
        )
        return Read(tensors[f"{stem}/states"], ends, prompt, ids)

    pairs = []
    for number in sorted({name.split("/")[1] for name in tensors if name.startswith("pairs/")}):
        human, generated = read(number, "human"), read(number, "generated")
        if human is not None and generated is not None:
            pairs.append(Pair(human, generated, read(number, "corrupted")))
    return pairs
