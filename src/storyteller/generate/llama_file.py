"""A Llama model, with its adapter merged in, as a GGUF file for llama.cpp; made once and kept in the cache."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storyteller.errors import ModelError
from storyteller.models.adapters.own import MERGEABLE, adapter_kind
from storyteller.runs.console import progress, say
from storyteller.runs.files import read_json
from storyteller.runs.home import models_home

if TYPE_CHECKING:
    from storyteller.models import Located

__all__ = ["key_heads", "llama_config", "llama_file", "rotary_order", "write_llama_file"]

#: Part of a file's name: a new number makes every file be written again.
_VERSION = 2

#: Files kept in the cache, about 145 MB each: a writer goes between a few adapters.
_KEPT = 4


def llama_file(located: Located) -> Path:
    """The GGUF of a located model in Q8_0; raises `ModelError` for an architecture other than Llama's."""
    config = llama_config(located.folder)
    if located.adapter is not None and (kind := adapter_kind(located.adapter)) not in MERGEABLE:
        raise ModelError(f"{located.name}: the fast engine cannot run a {kind} adapter. Add --engine torch.")
    path = models_home() / "merged" / f"{_key(located)}-{_VERSION}.gguf"
    if not path.is_file():
        say(f"preparing {located.name} once for the fast engine")
        from storyteller.models import load_model

        weights = load_model(located, dtype="float32", merge=True).state_dict()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_llama_file(weights, config, path)
    os.utime(path)
    for old in sorted(path.parent.glob("*.gguf"), key=lambda file: file.stat().st_mtime)[:-_KEPT]:
        old.unlink(missing_ok=True)
    return path


def write_llama_file(weights: dict[str, Any], config: dict[str, Any], path: Path) -> None:
    """Write a Llama's float32 state dict as GGUF: matrices in Q8_0, norms in float32, no tokenizer (ours is used)."""
    import gguf
    import numpy as np

    heads, layers = config["num_attention_heads"], config["num_hidden_layers"]
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, layers)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    writer = gguf.GGUFWriter(temporary, "llama")
    _write_settings(writer, config)
    try:
        with progress(len(weights), "writing the model for the fast engine") as advance:
            for name, tensor in weights.items():
                advance()
                if name == "lm_head.weight" and config.get("tie_word_embeddings"):
                    continue
                array = tensor.detach().float().cpu().numpy()
                if not np.isfinite(array).all():  # in eight bits they would become numbers, and no story
                    raise ModelError(
                        f"the tensor {name} holds what is no number: the model is damaged. Fetch or train it again."
                    )
                if name.endswith(("q_proj.weight", "k_proj.weight")):
                    array = rotary_order(array, heads if "q_proj" in name else key_heads(config))
                target = names.get_name(name, try_suffixes=(".weight",))
                if target is None:
                    raise ModelError(f"the tensor {name} has no place in llama.cpp's Llama. Add --engine torch.")
                kind = gguf.GGMLQuantizationType.F32 if array.ndim == 1 else gguf.GGMLQuantizationType.Q8_0
                if array.shape[-1] % 32:  # Q8_0 has blocks of 32
                    kind = gguf.GGMLQuantizationType.F32
                writer.add_tensor(target, gguf.quants.quantize(array, kind), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def llama_config(folder: Path) -> dict[str, Any]:
    """The configuration of a plain Llama in a transformers folder; raises `ModelError` for any other architecture."""
    config: dict[str, Any] = read_json(folder / "config.json")
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    plain = not config.get("attention_bias") and not config.get("mlp_bias") and config.get("hidden_act") == "silu"
    plain = plain and (rope.get("rope_type") or rope.get("type") or "default") == "default"
    if config.get("model_type") != "llama" or not plain:
        raise ModelError(
            f"{folder}: the fast engine runs a {config.get('model_type')} model only from a GGUF file of its own and "
            "without an adapter. Add --engine torch."
        )
    return config


def _write_settings(writer: Any, config: dict[str, Any]) -> None:
    rope = config.get("rope_parameters") or {}
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(key_heads(config))
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0))
    writer.add_layer_norm_rms_eps(float(config.get("rms_norm_eps", 1e-6)))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")


def key_heads(config: dict[str, Any]) -> int:
    """The heads of keys and values, fewer than those of queries where several of these share one."""
    return int(config.get("num_key_value_heads") or config["num_attention_heads"])


def rotary_order(array: Any, heads: int) -> Any:
    """The rows of a query or key matrix in llama.cpp's order: the two halves of a head that rotate together, paired."""
    rows, columns = array.shape
    return array.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _key(located: Located) -> str:
    """A hash of what the file is made of; of large files their place, size and time, which costs no reading."""
    large = sorted(located.folder.glob("*.safetensors"))
    parts = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in large]
    small = [located.folder / "config.json"]
    if located.adapter is not None:
        small += [located.adapter / "adapter_config.json", located.adapter / "adapter_model.safetensors"]
    digest = hashlib.sha256(json.dumps(parts).encode())
    for file in small:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
