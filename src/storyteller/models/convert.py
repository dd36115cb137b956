"""From a GGUF file to a transformers folder, once, so that every later load is quick.

    model.safetensors  config.json  generation_config.json  tokenizer.json  tokenizer_config.json  chat_template.jinja

A plain Llama with a byte-level tokenizer, such as the default base, is converted here: dequantised by the `gguf`
package, renamed, its query and key rows put back into transformers' order. Any other architecture goes through
transformers' own GGUF reader, which is slower, also only once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storyteller.errors import ModelError
from storyteller.models.gguf_tokenizer import has_known_tokenizer, write_tokenizer
from storyteller.runs.console import progress
from storyteller.runs.files import replacing_folder, write_json
from storyteller.runs.home import models_home

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["convert_gguf", "converted_folder"]

#: Part of the name of a converted folder: a new number makes every GGUF be converted again.
_VERSION = 1


_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert_gguf(file: Path, folder: Path) -> None:
    """Write the model in the GGUF `file` to the transformers folder `folder`, which appears whole or not at all.

    Raises `ModelError` for a file that is cut, damaged or of an architecture that transformers cannot read.
    """
    try:
        metadata, tensors = _read(file)
        with replacing_folder(folder) as part:
            if _is_plain_llama(metadata, tensors):
                _write_llama(metadata, tensors, part)
            else:
                _write_through_transformers(file, part)
    except (ValueError, IndexError, KeyError, TypeError, struct.error, UnicodeDecodeError, OverflowError) as error:
        raise ModelError(
            f"{file} cannot be read as a GGUF model ({error}). It may be cut or damaged: fetch it again, "
            "or give a transformers folder."
        ) from error


def converted_folder(sha256: str) -> Path:
    """Where the cache keeps what was made of the GGUF with this hash."""
    return models_home() / "converted" / f"{sha256[:16]}-{_VERSION}"


def _read(file: Path) -> tuple[dict[str, Any], list[Any]]:
    import gguf

    reader = gguf.GGUFReader(file)
    return {key: field.contents() for key, field in reader.fields.items()}, list(reader.tensors)


def _is_plain_llama(metadata: Mapping[str, Any], tensors: list[Any]) -> bool:
    """Whether nothing about the model asks for more than `_write_llama` knows."""
    names = {
        name.split(".")[2] if name.startswith("blk.") else name.split(".")[0] for name in (t.name for t in tensors)
    }
    return (
        metadata["general.architecture"] == "llama"
        and names <= _NAMES.keys()
        and all(tensor.name.endswith(".weight") for tensor in tensors)
        and not any(".rope.scaling." in key or ".expert" in key for key in metadata)
        and has_known_tokenizer(metadata)
    )


def _write_llama(metadata: Mapping[str, Any], tensors: list[Any], folder: Path) -> None:
    from safetensors.numpy import save_file

    heads = int(metadata["llama.attention.head_count"])
    key_heads = int(metadata.get("llama.attention.head_count_kv", heads))
    # float32, twice the size of float16, because it is exact and needs no cast: SmolLM2 in float16 is 0.036 off in its
    # logits (bfloat16 0.24), over the 1e-3 that separates a right conversion from a wrong one, and loads no faster.
    weights = dict(_llama_weights(tensors, heads, key_heads))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    special = {
        f"{name}_token_id": int(metadata[f"tokenizer.ggml.{key}_token_id"])
        for name, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown"))
        if f"tokenizer.ggml.{key}_token_id" in metadata
    }
    hidden, rope = int(metadata["llama.embedding_length"]), float(metadata.get("llama.rope.freq_base", 10000.0))
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
        "hidden_size": hidden,
        "intermediate_size": int(metadata["llama.feed_forward_length"]),
        "num_hidden_layers": int(metadata["llama.block_count"]),
        "num_attention_heads": heads,
        "num_key_value_heads": key_heads,
        "head_dim": int(metadata.get("llama.attention.key_length", hidden // heads)),
        "hidden_act": "silu",
        "max_position_embeddings": int(metadata["llama.context_length"]),
        "rms_norm_eps": float(metadata["llama.attention.layer_norm_rms_epsilon"]),
        "rope_theta": rope,
        "rope_parameters": {"rope_type": "default", "rope_theta": rope},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": "lm_head.weight" not in weights,
        "dtype": "float32",
        **special,
    }
    write_json(folder / "config.json", config)
    write_json(folder / "generation_config.json", special)
    write_tokenizer(metadata, folder)


def _llama_weights(tensors: list[Any], heads: int, key_heads: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    import gguf
    import numpy as np

    with progress(len(tensors), "converting weights") as advance:
        for tensor in tensors:
            weight = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
            parts = tensor.name.removesuffix(".weight").split(".")
            name = f"model.layers.{parts[1]}.{_NAMES[parts[2]]}" if parts[0] == "blk" else _NAMES[parts[0]]
            if parts[-1] in ("attn_q", "attn_k"):
                weight = _unpermute(weight, heads if parts[-1] == "attn_q" else key_heads)
            yield f"{name}.weight", np.ascontiguousarray(weight)
            advance()


def _unpermute(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Undo llama.cpp's order of a head's rows: it interleaves the two halves that rotary embedding rotates together."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _write_through_transformers(file: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from storyteller.models.quiet import quiet

    with quiet():
        try:
            model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype="float32")
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        except ImportError as error:
            raise ModelError(f"{file} needs another package to be read: {error}") from error
        except OSError as error:
            raise ModelError(f"{file} cannot be read by transformers ({error}).") from error
        # The weights are plain float32 now; transformers still thinks of them as quantised and would not save them.
        del model.config.quantization_config
        model.hf_quantizer, model.is_quantized = None, False
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
