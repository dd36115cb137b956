"""`gail`: on-policy adversarial imitation (Ho and Ermon 2016; on text: TextGAIL, Wu et al. 2021; GAD, 2025).

The policy tells stories, the critic's opinion is their reward, the group's other stories are the baseline. One epoch on
what was just drawn, so there is no importance ratio. Divergence from the reference, human replay and a band about its
entropy hold it where likelihood training had brought it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import relu

from storyteller.adversarial.critic import Opinion
from storyteller.adversarial.policy import Tokens
from storyteller.adversarial.reading import Group
from storyteller.adversarial.rewards import Rules, Scale, advantages, flat, rewards, shared_shares
from storyteller.adversarial.update import Batch, Lesson, Loss, k3
from storyteller.recipe.models import RewardRecipe

__all__ = ["gail_lessons", "policy_gradient"]


def gail_lessons(
    groups: Sequence[Group],
    opinions: Sequence[Opinion | None],
    rules: Rules,
    recipe: RewardRecipe,
    realism: Scale,
    coherence: Scale,
) -> tuple[list[Lesson], dict[str, float]]:
    """Lessons whose weights are the advantages of the drawn stories, and the figures of their rewards.

    `opinions` are the critic's of all drawn stories, in order; both scales take them in first.
    """
    stories, marks = flat(group.stories for group in groups), flat(group.marks for group in groups)
    told = [opinion for opinion in opinions if opinion is not None]
    if told:
        realism.update(torch.stack([opinion.score[-1] for opinion in told]))
        coherence.update(torch.stack([opinion.coherence[:, -1].mean() for opinion in told]))
    penalties = [rules.broken(ids, mark) if mark.ends else 0 for ids, mark in zip(stories, marks, strict=True)]
    shared = shared_shares(stories, len(groups[0].stories))
    values = rewards(opinions, penalties, recipe, realism, coherence, shared).view(len(groups), -1)
    weights = advantages(values, opinions, marks, [len(story) for story in stories], recipe.to_go, recipe.kind)
    spread = values.std(1, correction=0)
    members = values.shape[1]
    lessons = [
        Lesson(group.prompt.ids, group.stories, weights[i * members : (i + 1) * members], group.reference,
               group.prompt.human, group.entropy)
        for i, group in enumerate(groups)
    ]  # fmt: skip
    figures = {
        "reward": float(values.mean()),
        "reward_std": float(spread.mean()),
        "dead_groups": float((spread < 0.01).float().mean()),
        "broken_rules": sum(penalties) / len(penalties),
        "shared_phrases": sum(shared) / len(shared),
        "logit": realism.mean,
        "coherence_logit": coherence.mean,
    }
    return lessons, figures


def policy_gradient(
    *, divergence: float, replay: float, entropy: float = 0.0, band: tuple[float, float] = (1.0, 1.0),
    drawn: float = 1.0,
) -> Loss:  # fmt: skip
    """The loss of on-policy imitation on a batch.

    - `drawn` / N sum A log pi + `divergence` * k3 + `replay` * NLL(human) + `entropy` * (relu(low - H) + relu(H - high)):
    sums over tokens, divided by the whole step's drawn (N) or human tokens. The advantages A are the batch's weights. The
    gradient of its first term is the score-function estimate of the expected reward's (Williams 1992). H is the policy's
    mean entropy on the tokens drawn for a lesson, and `band` gives low and high as shares of the reference's on the same
    tokens: a policy that grows narrow collapses, and one that grows flat only does what a higher temperature does for
    nothing. The band is each lesson's own, so that a step's loss is the same however its lessons are cut into batches.
    """

    def loss(tokens: Tokens, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        mine, human = batch.drawn, ~batch.drawn
        logprob, n = tokens.logprob, batch.drawn_tokens
        gain = (batch.weight[mine] * logprob[mine]).sum() / n
        drift = k3(logprob[mine], batch.reference[mine]).sum() / n
        nll = -logprob[human].sum() / batch.human_tokens
        total = replay * nll - drawn * gain + divergence * drift
        if entropy:
            known = batch.entropy.to(tokens.entropy)
            count = torch.zeros_like(known).index_add(0, batch.lesson[mine], torch.ones_like(tokens.entropy[mine]))
            own = torch.zeros_like(known).index_add(0, batch.lesson[mine], tokens.entropy[mine]) / count.clamp(min=1)
            low, high = (limit * known for limit in band)
            total = total + entropy / n * (count * (relu(low - own) + relu(own - high))).sum()
        with torch.no_grad():
            figures = {
                "kl": float(drift),
                "human_loss": float(nll),
                "entropy": float(tokens.entropy[mine].sum() / n),
                "gain": float(gain),
            }
        return total, figures

    return loss
