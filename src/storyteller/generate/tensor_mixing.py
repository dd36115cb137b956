"""`mixing` for many rows at once, in torch, on whatever device the members' logits are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from storyteller.generate.mixing import FAR, RARE
from storyteller.models.ensemble_file import Rule

__all__ = ["apart_by", "mix_tensors"]


@torch.inference_mode()
def mix_tensors(logs: Tensor, weights: Sequence[float], rule: Rule, plausibility: float) -> Tensor:
    """The mixed log-probabilities `[rows, vocabulary]` of members' `logs` `[members, rows, vocabulary]`.

    The weights sum to 1 and none is 0; the rules are those of `arithmetic`, `geometric` and `contrastive`.
    """
    shares = torch.tensor(weights, dtype=logs.dtype, device=logs.device)
    if rule == "arithmetic":
        mixed: Tensor = torch.logsumexp(logs + shares.log()[:, None, None], 0)
        return mixed
    mixed = torch.einsum("m,mrv->rv", shares, logs.clamp(min=-FAR))
    if rule == "contrastive":
        expert = logs[0]
        plausible = expert >= expert.amax(-1, keepdim=True) + math.log(plausibility)
        mixed = torch.where(plausible, mixed, expert.clamp(min=-FAR) - 100 * FAR)
    return mixed.log_softmax(-1)


@torch.inference_mode()
def apart_by(logs: Tensor, weights: Sequence[float]) -> Tensor:
    """How far apart the members are in each row, in bits `[rows]`: see `divergence`."""
    shares = torch.tensor(weights, dtype=logs.dtype, device=logs.device).abs()
    shares /= shares.sum()
    chances = torch.where((logs > math.log(RARE)).any(0), logs.exp(), 0)  # [members, rows, vocabulary]
    rest = (1 - chances.sum(-1)).clamp(min=0)  # [members, rows]
    joint = torch.einsum("m,mrv->rv", shares, chances)
    whole = _entropy(joint) + _entropy((shares @ rest)[:, None])
    own = _entropy(chances) + _entropy(rest[..., None])
    return ((whole - shares @ own) / math.log(2)).clamp(min=0)


def _entropy(chances: Tensor) -> Tensor:
    """In nats over the last dimension; 0 for a chance of 0."""
    total: Tensor = torch.special.entr(chances).sum(-1)
    return total
