"""LoRA over a base that is kept in four bits (Dettmers et al. 2023, arXiv 2305.14314)."""

from __future__ import annotations

import importlib.util
from typing import Any

from storyteller.errors import ModelError
from storyteller.models.adapters.lora import apply_lora
from storyteller.recipe.methods import QloraRecipe

__all__ = ["apply_qlora", "four_bits"]


def four_bits(recipe: QloraRecipe) -> dict[str, Any]:
    """What transformers needs to load a base in four bits (NF4); raises `ModelError` where that cannot be done."""
    import torch

    from storyteller.models.precision import half_of_gpu

    missing = [] if torch.cuda.is_available() else ["a GPU"]
    missing += [] if importlib.util.find_spec("bitsandbytes") else ["bitsandbytes (pip install 'storyteller[qlora]')"]
    if missing:
        raise ModelError(
            f"model.method=qlora needs {' and '.join(missing)}, not found here. model.method=lora trains the same adapter "
            "without."
        )
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=recipe.double,
        bnb_4bit_compute_dtype=getattr(torch, half_of_gpu()),
    )
    return {"quantization_config": config, "device_map": {"": torch.cuda.current_device()}}


def apply_qlora(model: Any, recipe: QloraRecipe, seed: int = 0) -> Any:
    """Freeze `model`, which `four_bits` loaded, and lay a fresh low-rank adapter over it; raises as `apply_lora` does."""
    return apply_lora(model, recipe, seed, key="model.qlora")
