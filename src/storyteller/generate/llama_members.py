"""Several adapters of one base in llama.cpp: the base is loaded once, and a member is a context with an adapter laid on.

The adapter stays beside the base at its own precision, where `LlamaEngine` merges it into a copy of the base in Q8_0. So a
member takes the memory of an adapter and a cache, and the default base is the very file that its adapters were trained
on. llama.cpp lays one adapter over a whole batch: the members read one after another.
"""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storyteller.errors import ModelError
from storyteller.generate.llama_engine import LlamaEngine
from storyteller.generate.llama_file import key_heads, llama_config, llama_file, rotary_order
from storyteller.generate.llama_library import llama_library
from storyteller.runs.home import models_home

if TYPE_CHECKING:
    from storyteller.generate.llama_batch import LlamaBatch
    from storyteller.models import Located
    from storyteller.models.adapters.factors import Factors

__all__ = ["LlamaMember", "open_members", "write_llama_adapter"]

#: Part of a file's name: a new number makes every adapter be written again.
_VERSION = 1


class LlamaMember(LlamaEngine):
    """One adapter over a base that others use too, or the base itself; see `Engine`."""

    def __init__(self, base: LlamaEngine, path: Path, adapter: Path | None, context: int | None = None) -> None:
        """Lay the adapter's GGUF over the loaded `base`, which must stay open; raises `ModelError` if it does not fit."""
        self._library, self._context, self._base = base._library, None, base
        self._model = base._model
        self._adapter = None
        if adapter is not None:
            self._adapter = self._library.adapter_lora_init(self._model, str(adapter).encode())
            if not self._adapter:
                raise ModelError(f"{adapter}: llama.cpp cannot lay it over its base ({self._library.last_error()}).")
        self._open_context(path, context)
        self._lay(self._context)

    def batch(self, rows: int, context: int) -> LlamaBatch:
        """Read several sequences at once, all with this member's adapter; see `open_batch`."""
        batch = super().batch(rows, context)
        self._lay(batch._context)
        return batch

    def close(self) -> None:
        """Free the cache; the base, and the adapter with it, go when the last member goes."""
        if self._context:
            self._library.free(self._context)
        self._context = self._model = self._base = None  # type: ignore[assignment]

    def _lay(self, context: Any) -> None:
        if self._adapter is None:
            return
        one, scale = (ctypes.c_void_p * 1)(self._adapter), (ctypes.c_float * 1)(1.0)
        if self._library.set_adapters_lora(context, one, 1, scale):
            raise ModelError(f"llama.cpp cannot use the adapter ({self._library.last_error()}).")


def open_members(members: Sequence[Located], context: int | None = None) -> list[LlamaMember]:
    """An engine for each of these adapters of one base, which may be the base itself; raises `ModelError`."""
    llama_library()  # fail before anything is converted
    bare = dataclasses.replace(members[0], adapter=None)
    config = llama_config(bare.folder)
    path = bare.gguf or llama_file(bare)
    base = LlamaEngine(path, 8)  # its own context is never used
    return [
        LlamaMember(base, path, _adapter_file(member, config) if member.adapter else None, context)
        for member in members
    ]


def write_llama_adapter(factors: Factors, config: dict[str, Any], path: Path) -> None:
    """Write the factors of a Llama's adapter as GGUF in float32; raises `ModelError` for a layer that has no place there."""
    import gguf
    import numpy as np

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    writer = gguf.GGUFWriter(temporary, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 0.0)  # none: the scale is in the factors
    try:
        for name, (down, up) in factors.items():
            if not (down.isfinite().all() and up.isfinite().all()):
                raise ModelError(
                    f"the adapter's layer {name} holds what is no number: it is damaged. Fetch or train it again."
                )
            rows = up.numpy()
            if name.endswith(("q_proj", "k_proj")):
                rows = rotary_order(rows, config["num_attention_heads"] if "q_proj" in name else key_heads(config))
            target = names.get_name(name)
            if target is None:
                raise ModelError(f"the adapter's layer {name} has no place in llama.cpp's Llama. Add --engine torch.")
            writer.add_tensor(f"{target}.weight.lora_a", np.ascontiguousarray(down.numpy()))
            writer.add_tensor(f"{target}.weight.lora_b", np.ascontiguousarray(rows))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _adapter_file(member: Located, config: dict[str, Any]) -> Path:
    """The member's adapter as GGUF, made once and kept in the cache."""
    from storyteller.models.adapters.factors import read_factors

    assert member.adapter is not None
    digest = hashlib.sha256((member.adapter / "adapter_config.json").read_bytes())
    digest.update((member.adapter / "adapter_model.safetensors").read_bytes())
    path = models_home() / "adapters" / f"{digest.hexdigest()[:16]}-{_VERSION}.gguf"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_llama_adapter(read_factors(member.adapter), config, path)
    return path
