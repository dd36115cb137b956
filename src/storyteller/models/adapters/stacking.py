"""Two adapters of one base as one, exactly: their factors side by side."""

from __future__ import annotations

from pathlib import Path

from storyteller.models.adapters.factors import read_factors
from storyteller.runs.files import read_json, write_json

__all__ = ["stack_adapters"]


def stack_adapters(lower: Path, upper: Path) -> None:
    """Turn the LoRA adapter in `upper`, trained over the base with `lower` merged in, into one over the base itself.

    Its rank is the sum of both; the scales go into the factors, so alpha is the rank. Raises `ModelError` when one of them
    is more than plain LoRA.
    """
    import torch
    from safetensors.torch import save_file

    below, above = read_factors(lower), read_factors(upper)
    ranks = [max((down.shape[0] for down, _ in factors.values()), default=0) for factors in (below, above)]
    tensors = {}
    for layer in sorted(below | above):
        downs, ups = [], []
        for factors, rank in zip((below, above), ranks, strict=True):
            down, up = factors.get(layer, (None, None))
            if down is None or up is None:  # only the other one adapts this layer
                known = (above if factors is below else below)[layer]
                down, up = torch.zeros(rank, known[0].shape[1]), torch.zeros(known[1].shape[0], rank)
            downs.append(torch.nn.functional.pad(down, (0, 0, 0, rank - down.shape[0])))
            ups.append(torch.nn.functional.pad(up, (0, rank - up.shape[1])))
        tensors[f"base_model.model.{layer}.lora_A.weight"] = torch.cat(downs).contiguous()
        tensors[f"base_model.model.{layer}.lora_B.weight"] = torch.cat(ups, dim=1).contiguous()
    config = read_json(upper / "adapter_config.json") | {
        "r": sum(ranks),
        "lora_alpha": sum(ranks),
        "use_rslora": False,
        # The layers under their full names: either may choose its own by a regular expression.
        "target_modules": sorted(below | above),
        "layers_to_transform": None,
        "layers_pattern": None,
        "exclude_modules": None,
    }
    save_file(tensors, upper / "adapter_model.safetensors", metadata={"format": "pt"})
    write_json(upper / "adapter_config.json", config)
