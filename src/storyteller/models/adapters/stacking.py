"""Two adapters of one base as one, exactly: their factors side by side."""

from __future__ import annotations

from pathlib import Path

from storyteller.models.adapters.factors import read_factors, write_factors
from storyteller.runs.files import read_json

__all__ = ["stack_adapters"]


def stack_adapters(lower: Path, upper: Path) -> None:
    """Turn the LoRA adapter in `upper`, trained over the base with `lower` merged in, into one over the base itself.

    Its rank is the sum of both; the scales go into the factors, so alpha is the rank. Raises `ModelError` when one of them
    is more than plain LoRA.
    """
    import torch

    below, above = read_factors(lower), read_factors(upper)
    ranks = [max((down.shape[0] for down, _ in factors.values()), default=0) for factors in (below, above)]
    stacked = {}
    for layer in sorted(below | above):
        downs, ups = [], []
        for factors, rank in zip((below, above), ranks, strict=True):
            down, up = factors.get(layer, (None, None))
            if down is None or up is None:  # only the other one adapts this layer
                known = (above if factors is below else below)[layer]
                down, up = torch.zeros(rank, known[0].shape[1]), torch.zeros(known[1].shape[0], rank)
            downs.append(torch.nn.functional.pad(down, (0, 0, 0, rank - down.shape[0])))
            ups.append(torch.nn.functional.pad(up, (0, rank - up.shape[1])))
        stacked[layer] = torch.cat(downs), torch.cat(ups, dim=1)
    write_factors(upper, stacked, read_json(upper / "adapter_config.json"))
