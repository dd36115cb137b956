"""What tells the trainers apart: the lessons that drawn stories become, and the loss that learns from them."""

from __future__ import annotations

from collections.abc import Sequence

from storyteller.adversarial.balance import Balance
from storyteller.adversarial.coop import coop_lessons
from storyteller.adversarial.critic import Opinion
from storyteller.adversarial.gail import gail_lessons, policy_gradient
from storyteller.adversarial.iq import regularised_likelihood
from storyteller.adversarial.pairs import pair_lessons, preference
from storyteller.adversarial.reading import Group
from storyteller.adversarial.rewards import Rules
from storyteller.adversarial.update import Lesson, Loss
from storyteller.recipe.models import RefineRecipe

__all__ = ["ROUND_BASED", "lessons_of", "loss_of"]

ROUND_BASED = ("coop", "pairs")
"""Trainers that draw a round's stories from the policy as it was when the round began."""


def lessons_of(
    refine: RefineRecipe, groups: Sequence[Group], opinions: Sequence[Opinion | None], rules: Rules, balance: Balance,
    *, by_sentence: bool,
) -> tuple[list[Lesson], dict[str, float]]:  # fmt: skip
    """The lessons of drawn stories and their figures, by the critic's opinions, which are `by_sentence` or of whole texts."""
    if refine.trainer == "gail":
        reward = refine.reward if by_sentence else refine.reward.model_copy(update={"to_go": 0.0})
        return gail_lessons(groups, opinions, rules, reward, balance.realism, balance.coherence)
    if refine.trainer == "coop":
        return coop_lessons(groups, opinions, refine.least_ess)
    return pair_lessons(groups, opinions)


def loss_of(refine: RefineRecipe, balance: Balance, done: float) -> Loss:
    """The loss when a share `done` of the steps is over."""
    if refine.trainer == "iq":
        return regularised_likelihood(td=refine.td)
    if refine.trainer == "pairs":  # `dpo_beta` is the divergence's weight there
        return preference(beta=refine.dpo_beta * 2**balance.rollbacks, likelihood=0.2)
    if refine.trainer == "coop":
        return policy_gradient(divergence=balance.divergence, replay=1.0)
    first, last = refine.replay
    return policy_gradient(
        divergence=balance.divergence, replay=first + (last - first) * done, entropy=refine.entropy,
        band=refine.entropy_band,
    )  # fmt: skip
