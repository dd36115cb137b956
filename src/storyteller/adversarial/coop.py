"""`coop`: likelihood weighted by the critic's density ratio, the safe default on a processor.

For the best critic D / (1 - D) is p_data / p_policy, so stories of the policy, weighted by exp(logit), are stories of the
data: generative cooperative networks (Lamprier et al. 2022, arXiv 2201.12320), residual energy models (Deng et al. 2020,
arXiv 2004.11714). There is no policy gradient, so nothing explodes, and what it gains is bounded by what resampling shows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from storyteller.adversarial.critic import Opinion
from storyteller.adversarial.reading import Group
from storyteller.adversarial.rewards import dead_share
from storyteller.adversarial.update import Lesson

__all__ = ["coop_lessons", "effective_samples", "ratio_weights"]

_HOTTER = 1.25


def ratio_weights(scores: Tensor, least: float) -> tuple[Tensor, float]:
    """softmax(`scores` / tau) with tau the least of 1, 1.25, 1.25^2, ... at which `least` effective samples remain.

    `scores` [n] are the critic's logits of one prompt's stories. Returns the weights and tau.
    """
    tau = 1.0
    least = min(least, len(scores) - 1e-3)
    weights = torch.softmax(scores, 0)
    while effective_samples(weights) < least:
        tau *= _HOTTER
        weights = torch.softmax(scores / tau, 0)
    return weights, tau


def effective_samples(weights: Tensor) -> float:
    """Kish's effective sample size of normalised weights: 1 / sum of squares."""
    return float(1 / weights.square().sum())


def coop_lessons(
    groups: Sequence[Group], opinions: Sequence[Opinion | None], least: float
) -> tuple[list[Lesson], dict[str, float]]:
    """Lessons whose weights sum to the number of stories of each prompt: likelihood of what the critic takes for human."""
    lessons, samples, heat, opined = [], [], [], []
    place = iter(opinions)
    for group in groups:
        mine = [next(place) for _ in group.stories]
        told = [float(opinion.score[-1]) for opinion in mine if opinion is not None]
        opined.append(told)
        if not told:
            continue  # weights of stories without a word would teach to write none
        scores = torch.tensor([-1e9 if opinion is None else float(opinion.score[-1]) for opinion in mine])
        weights, tau = ratio_weights(scores, min(least, (1 + len(told)) / 2))
        samples.append(effective_samples(weights))
        heat.append(tau)
        each = [(len(mine) * weight).expand(len(story)) for weight, story in zip(weights, group.stories, strict=True)]
        lessons.append(Lesson(group.prompt.ids, group.stories, each, group.reference, group.prompt.human))
    figures = {
        "effective_samples": sum(samples) / max(1, len(samples)),
        "tau": sum(heat) / max(1, len(heat)),
        "logit": sum(map(sum, opined)) / max(1, sum(map(len, opined))),
        "dead_groups": dead_share(opined),
    }
    return lessons, figures
