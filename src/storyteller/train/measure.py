"""The loss on held-out rows: by all processes together, or by one of them alone."""

from __future__ import annotations

import itertools
import math

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from storyteller.tokens import Batch, Shards

__all__ = ["LN2", "batch_tensors", "mean_loss", "own_loss"]

LN2 = math.log(2)


def mean_loss(
    objective: nn.Module, data: Shards, rows: int, context: int, limit: int | None, accelerator: Accelerator
) -> tuple[float, float]:
    """Loss in nats a target token, and in bits a byte, over (at most `limit` rows of) `data` in its fixed order."""
    share = accelerator.process_index, accelerator.num_processes
    totals = accelerator.reduce(_losses(objective, data, rows, context, limit, accelerator, share), "sum")
    return _means(totals)


def own_loss(
    objective: nn.Module, data: Shards, rows: int, context: int, limit: int | None, accelerator: Accelerator
) -> tuple[float, float]:
    """`mean_loss` by one process alone, whatever the others do."""
    return _means(_losses(objective, data, rows, context, limit, accelerator, (0, 1)))


def _means(totals: Tensor) -> tuple[float, float]:
    loss, targets, target_bytes = totals.tolist()
    return loss / max(1, targets), loss / LN2 / max(1, target_bytes)


def _losses(
    objective: nn.Module,
    data: Shards,
    rows: int,
    context: int,
    limit: int | None,
    accelerator: Accelerator,
    share: tuple[int, int],
) -> Tensor:
    """Summed loss, targets and bytes of every batch whose number is `share[0]` modulo `share[1]`."""
    device = accelerator.device
    # Apple GPUs have no float64.
    totals = torch.zeros(3, dtype=torch.float32 if device.type == "mps" else torch.float64, device=device)
    objective.eval()
    with torch.no_grad(), accelerator.autocast():
        batches = iter(data.rows(context=context, rows=rows, limit=limit))
        mine, processes = share
        while turn := list(itertools.islice(batches, processes)):
            # Where there are fewer batches than processes in the last turn, the others compute too: a model that is spread
            # over all of them needs all of them.
            batch = turn[min(mine, len(turn) - 1)]
            loss = objective(**batch_tensors(batch, device)).to(totals.dtype)
            if mine < len(turn):
                totals += torch.stack([loss, totals.new_tensor(batch.targets), totals.new_tensor(batch.target_bytes)])
    objective.train()
    return totals


def batch_tensors(batch: Batch, device: torch.device, rows: slice = slice(None)) -> dict[str, Tensor]:
    """The four arrays of (some rows of) a batch as tensors on `device`, by the names that objectives take."""
    names = ("input_ids", "labels", "position_ids", "segment_ids")
    return {name: torch.from_numpy(getattr(batch, name)[rows]).to(device) for name in names}
