"""New models with random weights, on transformers' own classes: what pretraining begins with."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from storyteller.recipe.pretraining import ShapeRecipe

if TYPE_CHECKING:
    from storyteller.tokens import StoryTokenizer

__all__ = ["new_causal", "new_masked"]

_DEVIATION = 0.02


def new_causal(shape: ShapeRecipe, tokenizer: StoryTokenizer, context: int, seed: int) -> Any:
    """A Llama (Touvron et al. 2023) of this shape: rotary positions, gated feed-forward layers, tied embeddings.

    Deviations of the layers that write into the residual stream shrink with its length (Radford et al. 2019). The same
    seed gives the same weights; the process's own random state is left as it was.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        **_common(shape, tokenizer, context),
        num_key_value_heads=shape.heads,
        rms_norm_eps=1e-5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        _shrink(model, ("o_proj", "down_proj"), shape.layers)
    return model


def new_masked(shape: ShapeRecipe, tokenizer: StoryTokenizer, context: int, seed: int) -> Any:
    """A ModernBERT (Warner et al. 2024, arXiv 2412.13663) of this shape, in which every layer sees the whole context."""
    import torch
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    end = tokenizer.stop_ids[0]
    config = ModernBertConfig(
        **_common(shape, tokenizer, context),
        layer_types=["full_attention"] * shape.layers,
        cls_token_id=end,
        sep_token_id=end,
        decoder_bias=False,
        initializer_cutoff_factor=3.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ModernBertForMaskedLM(config)


def _common(shape: ShapeRecipe, tokenizer: StoryTokenizer, context: int) -> dict[str, Any]:
    return {
        "vocab_size": tokenizer.vocabulary_size,
        "hidden_size": shape.width,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "max_position_embeddings": context,
        "initializer_range": _DEVIATION,
        "tie_word_embeddings": True,
        "bos_token_id": tokenizer.bos_id,
        "eos_token_id": tokenizer.stop_ids[0],
        "pad_token_id": tokenizer.pad_id,
    }


def _shrink(model: Any, names: tuple[str, ...], layers: int) -> None:
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.split(".")[-2] in names:
                parameter.div_(math.sqrt(2 * layers))
