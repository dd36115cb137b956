"""A contrastive loss on hidden states: the tokens of a story should not all look alike."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from storyteller.train.attention import segment_bounds

__all__ = ["contrastive_loss"]


def contrastive_loss(hidden: Tensor, labels: Tensor, segment_ids: Tensor, margin: float) -> Tensor:
    """The summed SimCTG loss (Su et al. 2022, arXiv 2202.06417) of every position that has a label, a float32 scalar.

    A position's loss is the mean over the other tokens of its own story of max(0, margin - 1 + cosine similarity).
    Shapes: `hidden` [rows, context, width], `labels` and `segment_ids` [rows, context]. States that are nearly the same
    everywhere make greedy and beam search loop, the authors found; so they are pushed apart.
    """
    loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
    for row, bounds in enumerate(segment_bounds(segment_ids)):
        for start, end in bounds:
            learned = labels[row, start:end].ne(-100)
            if segment_ids[row, start] == 0 or end - start < 2 or not learned.any():
                continue
            states = normalize(hidden[row, start:end].float(), dim=1)
            alike = (states[learned] @ states.T + (margin - 1)).clamp(min=0)
            # A token is as much like itself as can be; that is no fault.
            own = torch.arange(end - start, device=hidden.device)[learned].unsqueeze(1)
            alike = alike.scatter(1, own, torch.zeros_like(own, dtype=alike.dtype))
            loss = loss + alike.sum() / (end - start - 1)
    return loss
