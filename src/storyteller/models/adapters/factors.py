"""The two factors of every layer's low-rank delta, read from a PEFT folder without building a model."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storyteller.errors import ModelError
from storyteller.models.adapters.own import MERGEABLE
from storyteller.runs.files import read_json, write_json

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Factors", "adapter_scale", "is_plain_lora", "read_factors", "write_factors"]

Factors = dict[str, "tuple[Tensor, Tensor]"]
"""Layer name to (down `[rank, in]`, up `[out, rank]`), with the scale in `up`: the layer's delta is `up @ down`."""

_PREFIX = "base_model.model."


def read_factors(folder: Path) -> Factors:
    """The float32 factors of a LoRA adapter, by the names of the base's own layers.

    Raises `ModelError` for an adapter that is more than plain LoRA (DoRA, biases, whole layers), since its effect is
    more than the factors say, and for damaged files.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        config = read_json(folder / "adapter_config.json")
        weights = load_file(folder / "adapter_model.safetensors")
    except (OSError, json.JSONDecodeError, SafetensorError) as error:
        raise ModelError(f"the adapter in {folder} cannot be read ({str(error).splitlines()[0]}).") from None
    _refuse_more_than_lora(config, folder)
    factors: Factors = {}
    for name in sorted(weights):
        layer, kind = name.removeprefix(_PREFIX).removesuffix(".weight").rsplit(".", 1)
        if kind == "lora_A":
            up = weights.get(name.replace("lora_A", "lora_B"))
            if up is None:
                raise ModelError(f"{folder}/adapter_model.safetensors is damaged: {layer} has no lora_B.")
            factors[layer] = (weights[name].float(), up.float() * adapter_scale(config, weights[name].shape[0]))
        elif kind != "lora_B":
            raise ModelError(f"the adapter in {folder} holds {name}, which is no factor of LoRA.")
    return factors


def write_factors(folder: Path, factors: Factors, config: dict[str, Any]) -> None:
    """Write factors of one rank, whose scale is in `up`, as a LoRA adapter; `config` says all else that PEFT has to know."""
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    for layer, (down, up) in factors.items():
        tensors |= {f"{_PREFIX}{layer}.lora_A.weight": down, f"{_PREFIX}{layer}.lora_B.weight": up}
    rank = next(iter(factors.values()))[0].shape[0]
    config = config | {
        "r": rank,
        "lora_alpha": rank,  # the scale is in the factors
        "use_rslora": False,
        "rank_pattern": {},
        # The layers under their full names: an adapter may choose its own by a regular expression, and what chose or
        # left out some of its layers would hide another's.
        "target_modules": sorted(factors),
        "layers_to_transform": None,
        "layers_pattern": None,
        "exclude_modules": None,
    }
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    write_json(folder / "adapter_config.json", config)


def adapter_scale(config: dict[str, Any], rank: int) -> float:
    """What the product of the factors is multiplied by: alpha over the rank, or over its root when rank-stabilised."""
    return float(config["lora_alpha"]) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def is_plain_lora(folder: Path | None) -> bool:
    """Whether the factors say all that the adapter does; no adapter at all is plain, too."""
    if folder is None:
        return True
    try:
        config = read_json(folder / "adapter_config.json")
    except (OSError, json.JSONDecodeError):
        return False
    return config.get("peft_type") == "LORA" and config.get("bias", "none") == "none" and not _more(config)


def _more(config: dict[str, Any]) -> list[str]:
    return [key for key in ("use_dora", "modules_to_save", "alpha_pattern", "lora_bias") if config.get(key)]


def _refuse_more_than_lora(config: dict[str, Any], folder: Path) -> None:
    more = _more(config)
    if config.get("peft_type") != "LORA" or config.get("bias", "none") != "none" or more:
        kind = ", ".join(more) or f"{config.get('peft_type')}, bias {config.get('bias', 'none')}"
        advice = (
            "Merge it into its base first and use the whole model: storyteller models merge NAME --out FOLDER"
            if config.get("peft_type") in MERGEABLE
            else "It cannot be merged into its base either: train model.method=lora for this."
        )
        raise ModelError(f"the adapter in {folder} is not plain LoRA ({kind}). {advice}")
