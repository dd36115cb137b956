"""What is mixed and how: the rule, the weights and the gate, and who was dropped, for engines and batches alike."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from storyteller.errors import GenerationError
from storyteller.generate.mixing import Mixed, arithmetic, contrastive, divergence, geometric, log_softmax
from storyteller.models.ensemble_file import Gate, Rule, check_weights
from storyteller.runs.console import say

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Ask", "Mixer", "Spent"]

Logits = NDArray[np.float32]
Ask = Callable[[int, Mapping[int, Sequence[int]], Sequence[int]], Sequence[Logits]]
"""(group, sequences, places) -> the logits `[members, vocabulary]` after each sequence; only those at `places` are read."""


@dataclass
class Spent:
    """What a mixture did: tokens in all, tokens for which others than the first member were asked, tokens mixed."""

    tokens: int = 0
    asked: int = 0
    mixed: int = 0
    divergence: float = 0.0
    """The sum of the divergences, in bits, over the tokens for which others were asked."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """A member's log-probabilities `[vocabulary]`, and by how much its logits lie above them."""

    logs: Logits
    level: float


class Mixer:
    """What is mixed and how, shared by an engine and its batches: weights, gate, and who was dropped."""

    def __init__(
        self,
        names: Sequence[str],
        sizes: Sequence[int],
        weights: Sequence[float],
        *,
        rule: Rule = "arithmetic",
        gate: Gate | None = None,
        plausibility: float = 0.1,
    ) -> None:
        """Members in their order bear `names`, and come in groups of `sizes`."""
        self.members = tuple(names)
        self.rule, self.gate, self.plausibility = rule, gate or Gate(), plausibility
        self.spent = Spent()
        self._groups = [range(end - size, end) for size, end in zip(sizes, itertools.accumulate(sizes), strict=True)]
        self._dropped: set[int] = set()
        self.weights = tuple(weights)

    @property
    def weights(self) -> tuple[float, ...]:
        """The members' weights, which sum to 1."""
        return self._weights

    @weights.setter
    def weights(self, weights: Sequence[float]) -> None:
        try:
            # One tuple takes the place of another: a reader in another thread sees the old weights or the new ones.
            self._weights = check_weights(weights, len(self.members), self.rule)
        except ValueError as error:
            raise GenerationError(f"{error}.") from None

    @property
    def dropped(self) -> tuple[str, ...]:
        """The names of those that gave no finite logits and are left out."""
        return tuple(self.members[member] for member in sorted(self._dropped))

    def mix(self, sequences: Mapping[int, Sequence[int]], ask: Ask) -> list[Mixed]:
        """The mixed log-probabilities that follow each sequence; `ask(group, sequences)` has a group read them."""
        weights = self.saying()
        first = next(member for member, weight in enumerate(weights) if weight != 0)
        lead = next(group for group, members in enumerate(self._groups) if first in members)
        others = [g for g, members in enumerate(self._groups) if g != lead and any(weights[m] != 0 for m in members)]
        said: dict[int, dict[int, _Heard]] = {row: {} for row in sequences}
        self._hear(ask, [lead], sequences, weights, said)
        unsure = {
            row: ids for row, ids in sequences.items() if first in said[row] and not self._sure(said[row][first].logs)
        }
        if others and unsure:
            self._hear(ask, others, unsure, weights, said)
        for row in sequences.keys() - unsure.keys():
            # Those of the leading member's own group were read with it, and have no more say than the others.
            said[row] = {member: heard for member, heard in said[row].items() if member == first} or said[row]
        if any(weights[member] != 0 for member in self._dropped):
            return self.mix(sequences, ask)  # somebody has just been dropped: once more without
        self.spent.tokens += len(sequences)
        self.spent.asked += sum(len(members) > 1 for members in said.values())
        return [self._join(members, weights) for members in said.values()]

    def mix_rows(
        self, sequences: Mapping[int, Sequence[int]], read: Callable[[Sequence[int]], Tensor]
    ) -> list[Mixed] | None:
        """`mix` for all rows in one go, where all members are of one group and `read(places)` gives their logits.

        None where there is nothing to mix, or a closer look is needed: somebody gives no numbers. Then `mix` decides.
        """
        weights = self.saying()
        places = [place for place, weight in enumerate(weights) if weight != 0]
        if len(places) < 2 or self._lost([weights[place] for place in places]):
            return None
        told = self.mix_tensor(read(places), [weights[place] for place in places])
        if told is None:
            return None
        mixed, logs, levels = (tensor.cpu().numpy() for tensor in told)
        said = logs.swapaxes(0, 1)
        return [
            Mixed.of(mixed[row], dict(zip(places, said[row], strict=True)), weights, float(levels[row]))
            for row in range(len(sequences))
        ]

    def mix_tensor(self, logits: Tensor, weights: Sequence[float]) -> tuple[Tensor, Tensor, Tensor] | None:
        """The mixed log-probabilities `[rows, vocabulary]` of logits `[members, rows, vocabulary]`, and the members' own.

        The third tensor holds each row's `Mixed.level`. None where a member gives a number that is none.
        """
        import torch

        from storyteller.generate.tensor_mixing import apart_by, mix_tensors

        tops = logits.amax(-1).float()
        if not bool(torch.isfinite(tops).all()):
            return None
        logs = logits.float().log_softmax(-1)
        levels = tops - logs.amax(-1)
        total = sum(weights)
        shares = [weight / total for weight in weights]
        mixed, apart = mix_tensors(logs, shares, self.rule, self.plausibility), apart_by(logs, weights)
        level = torch.einsum("m,mr->r", levels.new_tensor(shares), levels)
        rows = logs.shape[1]
        self.spent.tokens += rows
        self.spent.asked += rows
        self.spent.divergence += float(apart.sum())
        if self.gate.divergence is None:
            self.spent.mixed += rows
            return mixed, logs, level
        near = apart <= self.gate.divergence
        self.spent.mixed += rows - int(near.sum())
        return torch.where(near[:, None], logs[0], mixed), logs, torch.where(near, levels[0], level)

    def saying(self) -> list[float]:
        """Each member's weight now, read once a token; 0 for those that were dropped."""
        kept = [0.0 if member in self._dropped else weight for member, weight in enumerate(self._weights)]
        if any(kept):
            return kept
        left = [float(member not in self._dropped) for member in range(len(kept))]
        if not any(left):
            raise GenerationError("no member of the ensemble gives finite logits any more. Their weights are damaged.")
        return left

    def _lost(self, weights: Sequence[float]) -> bool:
        """Whether members of these weights make no contrast any more: the expert was dropped, or what outweighs the rest.

        Then the first of them goes on alone.
        """
        # Weights that sum to nothing cannot be made to sum to 1, and below it an expert would work against itself.
        return self.rule == "contrastive" and (weights[0] <= 0 or sum(weights) < 1e-3)

    def _sure(self, logs: Logits) -> bool:
        return self.gate.sure is not None and float(logs.max()) >= math.log(self.gate.sure)

    def _hear(
        self,
        ask: Ask,
        groups: Sequence[int],
        sequences: Mapping[int, Sequence[int]],
        weights: Sequence[float],
        said: dict[int, dict[int, _Heard]],
    ) -> None:
        """Note the log-probabilities of the members of these groups that have a say; drop whoever gives no numbers."""
        for group in groups:
            members = self._groups[group]
            places = [place for place, member in enumerate(members) if weights[member] != 0]
            for row, logits in zip(sequences, ask(group, sequences, places), strict=True):
                # The largest value tells of a NaN and of an infinity, without a look at every one.
                tops = logits.max(axis=1)
                for place in places:
                    member = members[place]
                    if member in self._dropped:
                        continue
                    if np.isfinite(tops[place]):
                        logs = log_softmax(logits[place : place + 1])[0]
                        said[row][member] = _Heard(logs, float(tops[place]) - float(logs.max()))
                    else:
                        self._dropped.add(member)
                        say(f"{self.members[member]} gives no finite logits and is left out; its weights are damaged")

    def _join(self, heard: Mapping[int, _Heard], all_weights: Sequence[float]) -> Mixed:
        said = {member: one.logs for member, one in heard.items()}
        weights, levels = [all_weights[member] for member in heard], [one.level for one in heard.values()]
        logs: Logits = np.stack(list(said.values()))
        alone = Mixed.of(logs[0], said, all_weights, levels[0])
        if len(logs) == 1 or self._lost(weights):
            return alone
        apart = divergence(logs, weights)
        self.spent.divergence += apart
        if self.gate.divergence is not None and apart <= self.gate.divergence:
            return alone
        self.spent.mixed += 1
        weights = [weight / sum(weights) for weight in weights]
        if self.rule == "arithmetic":
            mixed = arithmetic(logs, weights)
        elif self.rule == "geometric":
            mixed = geometric(logs, weights)
        else:
            mixed = contrastive(logs, weights, self.plausibility)
        return Mixed.of(mixed, said, all_weights, float(np.dot(weights, levels)))
