"""One pass of the reference over groups of stories: its log-probabilities for the divergence, its states for the critic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from storyteller.adversarial.critic import Critic, Pair, Read
from storyteller.adversarial.groups import lay_out
from storyteller.adversarial.marks import Marks, matched, sentence_marks
from storyteller.adversarial.policy import Policy
from storyteller.adversarial.prompts import Prompt, corrupted
from storyteller.tokens import Template

__all__ = ["Group", "read_groups"]


@dataclass(frozen=True, slots=True)
class Group:
    """A prompt with its drawn stories, as the reference and the critic's projections see them.

    `reference` are the reference's log-probabilities of each story's tokens at the rollouts' temperature, `reads` what
    the critic reads of each (None for a story without a word), `human` and `corrupted` the same of the human story, whose
    fault begins at token `fault_at`.
    """

    prompt: Prompt
    stories: list[list[int]]
    marks: list[Marks]
    reference: list[Tensor]
    entropy: float
    reads: list[Read | None]
    human: Read
    corrupted: Read | None
    fault_at: int = 0

    def pairs(self) -> list[Pair]:
        """The human story beside each drawn one, both cut to the sentences within their common length."""
        pairs = []
        for read in self.reads:
            if read is None:
                continue
            human, drawn = matched(self.human.ends, read.ends)
            faulty = self.corrupted
            if faulty is not None:
                _, ends = matched(human, faulty.ends)
                # Up to its fault the story is as sound as the human one.
                seen = ends[-1] > self.fault_at
                faulty = faulty.cut(ends) if seen else None
            pairs.append(Pair(self.human.cut(human), read.cut(drawn), faulty))
        return pairs


def read_groups(
    policy: Policy,
    critic: Critic,
    template: Template,
    prompts: Sequence[Prompt],
    stories: Sequence[list[list[int]]],
    *,
    temperature: float,
    new_tokens: int,
    rows: int,
    seed: int,
) -> list[Group]:
    """Read each prompt's drawn stories, its human story and that one with a fault, all as branches of one row.

    `rows` groups go through the model at once; `seed` chooses the faults.
    """
    groups: list[Group] = []
    for start in range(0, len(prompts), rows):
        part = range(start, min(start + rows, len(prompts)))
        faulty = [corrupted(prompts[i], template, new_tokens, seed, _beside(prompts, i)) for i in part]
        groups += _read(
            policy,
            critic,
            template,
            [prompts[i] for i in part],
            [stories[i] for i in part],
            faulty,
            temperature,
        )
    return groups


def _beside(prompts: Sequence[Prompt], index: int) -> str:
    """The story of the next prompt in the same language, for faults that borrow; "" where there is none.

    A sentence of another language in its midst would teach the critic scripts, and nothing about coherence.
    """
    others = (prompts[(index + step) % len(prompts)] for step in range(1, len(prompts)))
    return next((one.text for one in others if one.language == prompts[index].language), "")


def _read(
    policy: Policy,
    critic: Critic,
    template: Template,
    prompts: Sequence[Prompt],
    stories: Sequence[list[list[int]]],
    faulty: Sequence[list[int] | None],
    temperature: float,
) -> list[Group]:
    branches = [
        [*drawn, list(prompt.human), *([fault] if fault else [])]
        for prompt, drawn, fault in zip(prompts, stories, faulty, strict=True)
    ]
    layout = lay_out([prompt.ids for prompt in prompts], branches, template.tokenizer.pad_id, policy.device)
    # Which branches are drawn: of the others nobody asks how likely their tokens are.
    is_drawn = torch.tensor(
        [number < len(drawn) for drawn, branch in zip(stories, branches, strict=True) for number in range(len(branch))]
    )
    mine = is_drawn.to(policy.device)[layout.story]
    with policy.reference():
        hidden, states = policy.read(layout, layers=critic.layers)
        values = policy.tokens(hidden[mine], layout.labels[mine], temperature)
    lengths = [len(story) for drawn in stories for story in drawn]
    logprobs, entropies = (torch.split(each.cpu(), lengths) for each in (values.logprob, values.entropy))
    projected = layout.split_states(critic.project(states) if states else None)
    groups, place, first = [], 0, 0
    for prompt, drawn, branch in zip(prompts, stories, branches, strict=True):
        own = slice(first, first + len(drawn))
        marks = [sentence_marks(ids, template.tokenizer, prompt.language) for ids in branch]
        reads = critic.reads(prompt.ids, branch, marks, projected[place : place + len(branch)])
        human = reads[len(drawn)]
        assert human is not None, "a prompt's human story has a sentence"
        groups.append(
            Group(
                prompt=prompt,
                stories=drawn,
                marks=marks[: len(drawn)],
                reference=list(logprobs[own]),
                entropy=float(sum(e.sum() for e in entropies[own]) / sum(map(len, drawn))),
                reads=reads[: len(drawn)],
                human=human,
                corrupted=reads[-1] if len(branch) > len(drawn) + 1 else None,
                fault_at=_first_difference(prompt.human, branch[-1]),
            )
        )
        place, first = place + len(branch), first + len(drawn)
    return groups


def _first_difference(one: Sequence[int], other: Sequence[int]) -> int:
    same = [first == second for first, second in zip(one, other, strict=False)]
    return same.index(False) if False in same else len(same)
