"""`pairs`: preference optimisation on pairs that the critic chose, plus likelihood.

The best of a prompt's stories is preferred to the worst, both drawn from the policy as it was at the round's start; SPIN
(Chen et al. 2024, arXiv 2401.01335) prefers the human one, which the policy never wrote. The loss is that of DPO (Rafailov
et al. 2023, arXiv 2305.18290), weighted by how far the preferred story is from its siblings (Chung et al. 2025), since plain
DPO narrows the vocabulary.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from storyteller.adversarial.critic import Opinion
from storyteller.adversarial.policy import Tokens
from storyteller.adversarial.reading import Group
from storyteller.adversarial.rewards import dead_share
from storyteller.adversarial.update import Batch, Lesson, Loss

__all__ = ["deviations", "pair_lessons", "preference"]


def preference(*, beta: float, likelihood: float) -> Loss:
    """The loss of DPO on lessons whose first story is preferred to the second; the lesson's deviation is its weight.

    -w log sigmoid(`beta` * (margin of the preferred over the other, policy less reference)) + `likelihood` * NLL(preferred),
    the latter per token. Both stories stand as drawn ones; a human story of the lesson counts as further likelihood.
    """

    def loss(tokens: Tokens, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        story = batch.rows.story
        count = len(batch.rows.lengths)
        sums = tokens.logprob.new_zeros(count)
        policy = sums.index_add(0, story, tokens.logprob)
        reference = sums.index_add(
            0, story, torch.where(batch.drawn, batch.reference.to(sums), tokens.logprob.detach())
        )
        weight = sums.index_add(0, story, batch.weight.to(sums))
        lengths = torch.tensor(batch.rows.lengths, device=story.device)
        # The stories of a row are preferred, other, human.
        better, worse, human = slice(0, None, 3), slice(1, None, 3), slice(2, None, 3)
        margin = (policy - reference)[better] - (policy - reference)[worse]
        chosen = weight[better] / lengths[better]
        ranked = -(chosen * logsigmoid(beta * margin)).sum() / batch.lessons
        nll = -(policy[better] / lengths[better]).sum() / batch.lessons
        told = -(policy[human] / lengths[human]).sum() / batch.lessons
        figures = {
            "human_loss": float(told.detach()),
            "preferred": float((margin.detach() > 0).sum() / batch.lessons),
            "margin": float(margin.detach().sum() / batch.lessons),
        }
        return ranked + likelihood * (nll + told), figures

    return loss


def pair_lessons(groups: Sequence[Group], opinions: Sequence[Opinion | None]) -> tuple[list[Lesson], dict[str, float]]:
    """The best story of each group by the critic, and the worst; groups with fewer than two stories are left out."""
    lessons, gaps, opined = [], [], []
    place = iter(opinions)
    for group in groups:
        scored = [(float(o.score[-1]), i) for i, o in enumerate([next(place) for _ in group.stories]) if o is not None]
        opined.append([score for score, _ in scored])
        if len(scored) < 2:
            continue
        (low, worst), (high, best) = min(scored), max(scored)
        weight = deviations(group.stories)[best]
        chosen = [group.stories[i] for i in (best, worst)]
        lessons.append(
            Lesson(
                group.prompt.ids,
                chosen,
                [torch.full((len(story),), weight) for story in chosen],
                [group.reference[i] for i in (best, worst)],
                group.prompt.human,
            )
        )
        gaps.append(high - low)
    figures = {"gap": sum(gaps) / max(1, len(gaps)), "pairs": float(len(gaps)), "dead_groups": dead_share(opined)}
    return lessons, figures


def deviations(stories: Sequence[Sequence[int]]) -> list[float]:
    """How far each story is from the others of its prompt: 1 less the mean Jaccard overlap of their bigrams."""
    grams = [set(itertools.pairwise(story)) for story in stories]
    result = []
    for i, mine in enumerate(grams):
        overlaps = [len(mine & other) / max(1, len(mine | other)) for j, other in enumerate(grams) if j != i]
        result.append(1 - sum(overlaps) / max(1, len(overlaps)))
    return result
