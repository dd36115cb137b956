"""The tokenizer in a GGUF file, rebuilt as a transformers `tokenizer.json` in under a second.

transformers' own reader forgets the pre-tokenizer that the file names: for SmolLM2 it leaves out that digits stand
alone. Here it is as the model was trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from storyteller.runs.files import write_atomic, write_json

__all__ = ["has_known_tokenizer", "write_tokenizer"]

# GGUF's token types: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
_CONTROL, _USER_DEFINED = 3, 4

#: `tokenizer.ggml.pre` to whether digits are split one by one before GPT-2's pattern is applied.
_SPLITS_DIGITS = {"smollm": True, "gpt-2": False}


def has_known_tokenizer(metadata: Mapping[str, Any]) -> bool:
    """Whether the file holds a byte-level BPE whose pre-tokenizer is known here."""
    return metadata.get("tokenizer.ggml.model") == "gpt2" and metadata.get("tokenizer.ggml.pre") in _SPLITS_DIGITS


def write_tokenizer(metadata: Mapping[str, Any], folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and, if the file has one, chat_template.jinja to `folder`."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    tokens: list[str] = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if _SPLITS_DIGITS[metadata["tokenizer.ggml.pre"]]:
        digits = pre_tokenizers.Digits(individual_digits=True)
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, byte_level])
    else:
        tokenizer.pre_tokenizer = byte_level
    tokenizer.decoder = decoders.ByteLevel()
    typed = list(zip(tokens, metadata.get("tokenizer.ggml.token_type", ()), strict=False))
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token, kind in typed if kind == _CONTROL])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token, kind in typed if kind == _USER_DEFINED])
    add_bos = bool(metadata.get("tokenizer.ggml.add_bos_token", False))
    bos = metadata.get("tokenizer.ggml.bos_token_id")
    if add_bos and bos is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{tokens[bos]} $A", special_tokens=[(tokens[bos], bos)]
        )
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", _config(metadata, tokens, add_bos))
    if template := metadata.get("tokenizer.chat_template"):
        write_atomic(folder / "chat_template.jinja", template)


def _config(metadata: Mapping[str, Any], tokens: list[str], add_bos: bool) -> dict[str, Any]:
    named = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
    special = {
        name: tokens[metadata[f"tokenizer.ggml.{key}_token_id"]]
        for name, key in named.items()
        if f"tokenizer.ggml.{key}_token_id" in metadata
    }
    context = metadata.get(f"{metadata['general.architecture']}.context_length")
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **special,
        "add_bos_token": add_bos,
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
    }
