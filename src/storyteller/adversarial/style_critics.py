"""Critics of style: for each style one that tells people's passages of it from all others, and from what was rewritten."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from storyteller.adversarial.adversary import Adversary
from storyteller.adversarial.critic import Critic, Pair, Read, depths_of
from storyteller.adversarial.groups import lay_out
from storyteller.adversarial.marks import matched, sentence_marks
from storyteller.adversarial.policy import Policy
from storyteller.adversarial.style import Passage, Rewrite, Way
from storyteller.corpus.story import Language
from storyteller.recipe.models import CriticRecipe
from storyteller.tokens import Request, Template
from storyteller.tokens.chat import Conversation

__all__ = ["StyleCritics"]

_ASKED = "Tell a passage."
"""What every passage stands after when a critic reads it: no word of its style or of its source."""

_WORST = -20.0
"""The logit of a rewrite without a word."""


class StyleCritics:
    """One critic a style, on the frozen reference's states; `accuracy` of each on passages that it never learned from."""

    def __init__(
        self, policy: Policy, template: Template, styles: Sequence[str], recipe: CriticRecipe, seed: int
    ) -> None:
        self.policy, self.template, self.seed = policy, template, seed
        layers = depths_of(policy.depth)
        # One seed, so one projection: what a critic reads of a passage can be read by all.
        self.of = {
            style: Adversary(
                Critic(policy.width, len(layers), recipe, seed, layers).to(policy.device), recipe, seed
            )
            for style in styles
        }  # fmt: skip
        self.accuracy: dict[str, float] = {}
        self._asked = Conversation(template.tokenizer, [("user", _ASKED)]).prompt(Request())
        self._human: dict[str, list[Read]] = {}

    def reads(self, texts: Sequence[Sequence[int]], languages: Sequence[Language], rows: int = 32) -> list[Read | None]:
        """What the critics read of passages given as ids; None for one without a word."""
        critic = next(iter(self.of.values())).critic
        found: list[Read | None] = []
        for start in range(0, len(texts), rows):
            part = [list(ids) for ids in texts[start : start + rows]]
            layout = lay_out([self._asked] * len(part), [[ids] for ids in part], self.template.tokenizer.pad_id,
                             self.policy.device)  # fmt: skip
            with self.policy.reference():
                _, states = self.policy.read(layout, layers=critic.layers)
                projected = layout.split_states(critic.project(states))
            marks = [
                sentence_marks(ids, self.template.tokenizer, language)
                for ids, language in zip(part, languages[start : start + rows], strict=True)
            ]
            found += critic.reads(self._asked, part, marks, projected)
        return found

    def learn_people(
        self, train: Mapping[str, Sequence[Passage]], held: Mapping[str, Sequence[Passage]], steps: int
    ) -> None:
        """Teach each critic its style against the others, on human passages alone."""
        self._human = {style: self._read_passages(train[style]) for style in self.of}
        apart = {style: self._read_passages(held[style]) for style in self.of}
        for style, adversary in self.of.items():
            chance = random.Random(f"{self.seed}/{style}")
            adversary.memory.pool = _against(style, self._human, chance)
            _, stands = adversary.warm_up(_against(style, apart, chance), steps)
            self.accuracy[style] = stands.accuracy

    def scores(self, ways: Sequence[Way], groups: Sequence[Sequence[Rewrite]], step: int | None = None) -> Tensor:
        """The pessimistic logit of each rewrite being a person's passage of the style asked for [ways, members].

        With a `step` the critics learn from the rewrites after they have judged them.
        """
        members = len(groups[0])
        flat = [(way, rewrite) for way, group in zip(ways, groups, strict=True) for rewrite in group]
        reads = self.reads([rewrite.ids for _, rewrite in flat], [way.passage.language for way, _ in flat])
        found = torch.full((len(flat),), _WORST)
        for style, adversary in self.of.items():
            mine = [i for i, (way, _) in enumerate(flat) if way.style == style and reads[i] is not None]
            for i, opinion in zip(mine, adversary.opinions([reads[i] for i in mine]), strict=True):
                assert opinion is not None
                found[i] = opinion.score[-1]
            if step is not None and mine:
                chance = random.Random(f"{self.seed}/{style}/{step}")
                fresh = [_pair(chance.choice(self._human[style]), read) for i in mine if (read := reads[i]) is not None]
                adversary.keep_up(fresh, step)
        return found.view(-1, members)

    def _read_passages(self, passages: Sequence[Passage]) -> list[Read]:
        reads = self.reads([passage.ids for passage in passages], [passage.language for passage in passages])
        return [read for read in reads if read is not None]


def _against(style: str, human: Mapping[str, Sequence[Read]], chance: random.Random) -> list[Pair]:
    """Each passage of a style beside one of another."""
    others = [read for other, reads in human.items() if other != style for read in reads]
    return [_pair(read, chance.choice(others)) for read in human[style]]


def _pair(human: Read, other: Read) -> Pair:
    one, two = matched(human.ends, other.ends)
    return Pair(human.cut(one), other.cut(two), None)
