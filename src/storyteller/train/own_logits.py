"""Whether what is computed from a model's parts is what the model itself says.

The loss is made of the body's last states and the output layer's matrix, without the model's own last lines, and the body is
given packed rows. Not every architecture allows that: some scale, cap or shift their logits, some layers see but a window.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["as_own_logits", "has_plain_head", "probe_ids"]

_SHORT, _LONG = 16, 1024
"""Ids that are read to compare: past the sliding window, unless that costs more than a step of training."""


def probe_ids(model: Any) -> Tensor:
    """Ids [1, length] to compare by, more than the layers' sliding window has places where it has up to 1,024."""
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None) or 0
    length = min(
        window + _SHORT if window <= _LONG else _SHORT, getattr(config, "max_position_embeddings", None) or _SHORT
    )
    device = model.get_output_embeddings().weight.device
    return torch.arange(length, device=device).remainder(config.vocab_size).unsqueeze(0)


def as_own_logits(model: Any, ids: Tensor, read: Tensor) -> bool:
    """Whether the logits `read` [vocabulary] are those that `model` itself gives after `ids` [1, length]."""
    own = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1]
    # A GPU rounds its products more coarsely, and weights of four bits are computed with in bfloat16.
    exact = own.device.type == "cpu" and own.dtype == torch.float32
    own = own.float()
    limit = (1e-3 if exact else 2e-2) * own.abs().max()
    # Weights that are no numbers are another mistake, told by the loss.
    return not bool(((read.float() - own).abs() > limit).any())


@torch.no_grad()
def has_plain_head(model: Any) -> bool:
    """Whether the product of the last states and the output layer's matrix is the model's logits, with nothing after it."""
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    ids = probe_ids(causal)[:, :_SHORT]
    states = getattr(causal, causal.base_model_prefix)(input_ids=ids, use_cache=False).last_hidden_state
    head: Tensor = causal.get_output_embeddings().weight
    return as_own_logits(model, ids, states[0, -1].to(head.dtype) @ head.T)
