"""llama.cpp's C interface through `ctypes`: the dozen functions that an engine needs, called without a copy.

The library comes compiled inside a wheel: `xllamacpp` exports llama.cpp's functions from its extension module on Linux
and macOS, but not on Windows, where `llama-cpp-py-sync` brings them as a DLL (its library for Linux needs glibc 2.38).
Both are pinned to one build of llama.cpp, since the structures below are its.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import sys
from ctypes import POINTER, Structure, c_bool, c_char_p, c_float, c_int, c_int8, c_int32, c_size_t, c_uint32, c_void_p
from pathlib import Path
from typing import Any

from storyteller.errors import ModelError
from storyteller.threads import sleep_soon_here

__all__ = ["Batch", "ContextParams", "LlamaLibrary", "ModelParams", "llama_library"]

_ERROR = 4  # ggml's level of log lines that tell why something failed


class ModelParams(Structure):
    """`llama_model_params`; only what is set here has a name worth knowing."""

    _fields_ = (
        ("devices", c_void_p),
        ("tensor_buft_overrides", c_void_p),
        ("n_gpu_layers", c_int32),
        ("split_mode", c_int),
        ("load_mode", c_int),
        ("lazy_mode", c_int),
        ("main_gpu", c_int32),
        ("tensor_split", c_void_p),
        ("progress_callback", c_void_p),
        ("progress_callback_user_data", c_void_p),
        ("kv_overrides", c_void_p),
        ("flags", c_bool * 6),
    )


class ContextParams(Structure):
    """`llama_context_params`."""

    _fields_ = (
        ("n_ctx", c_uint32),
        ("n_batch", c_uint32),
        ("n_ubatch", c_uint32),
        ("n_seq_max", c_uint32),
        ("n_rs_seq", c_uint32),
        ("n_outputs_max", c_uint32),
        ("n_outputs_max_per_seq", c_uint32),
        ("n_threads", c_int32),
        ("n_threads_batch", c_int32),
        ("kinds", c_int * 5),
        ("rope_and_yarn", c_float * 6),
        ("yarn_orig_ctx", c_uint32),
        ("defrag_thold", c_float),
        ("cb_eval", c_void_p),
        ("cb_eval_user_data", c_void_p),
        ("type_k", c_int),
        ("type_v", c_int),
        ("moe_cache_size", c_size_t),
        ("abort_callback", c_void_p),
        ("abort_callback_data", c_void_p),
        ("flags", c_bool * 6),
        ("samplers", c_void_p),
        ("n_samplers", c_size_t),
        ("ctx_other", c_void_p),
    )


class Batch(Structure):
    """`llama_batch`."""

    _fields_ = (
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", c_void_p),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(c_int8)),
    )


_LOG = ctypes.CFUNCTYPE(None, c_int, c_char_p, c_void_p)

_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "llama_backend_init": (None, ()),
    "llama_log_set": (None, (_LOG, c_void_p)),
    "llama_model_default_params": (ModelParams, ()),
    "llama_context_default_params": (ContextParams, ()),
    "llama_model_load_from_file": (c_void_p, (c_char_p, ModelParams)),
    "llama_model_free": (None, (c_void_p,)),
    "llama_model_n_ctx_train": (c_int32, (c_void_p,)),
    "llama_model_get_vocab": (c_void_p, (c_void_p,)),
    "llama_vocab_n_tokens": (c_int32, (c_void_p,)),
    "llama_init_from_model": (c_void_p, (c_void_p, ContextParams)),
    "llama_free": (None, (c_void_p,)),
    "llama_adapter_lora_init": (c_void_p, (c_void_p, c_char_p)),
    "llama_set_adapters_lora": (c_int32, (c_void_p, POINTER(c_void_p), c_size_t, POINTER(c_float))),
    "llama_n_ctx": (c_uint32, (c_void_p,)),
    "llama_n_threads": (c_int32, (c_void_p,)),
    "llama_get_memory": (c_void_p, (c_void_p,)),
    "llama_memory_seq_rm": (c_bool, (c_void_p, c_int32, c_int32, c_int32)),
    "llama_memory_seq_cp": (None, (c_void_p, c_int32, c_int32, c_int32, c_int32)),
    "llama_memory_clear": (None, (c_void_p, c_bool)),
    "llama_n_ctx_seq": (c_uint32, (c_void_p,)),
    "llama_batch_init": (Batch, (c_int32, c_int32, c_int32)),
    "llama_batch_free": (None, (Batch,)),
    "llama_batch_get_one": (Batch, (POINTER(c_int32), c_int32)),
    "llama_decode": (c_int32, (c_void_p, Batch)),
    "llama_get_logits_ith": (POINTER(c_float), (c_void_p, c_int32)),
}


class LlamaLibrary:
    """The loaded library; a function `llama_x` is the attribute `x`."""

    def __init__(self, path: Path) -> None:
        """Load and declare; raises `OSError` for a library that does not load, `AttributeError` for another one."""
        with sleep_soon_here():
            self._library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name.removeprefix("llama_"), function)
        self._errors: list[str] = []
        self._listener = _LOG(self._hear)  # kept: C holds only the address
        self.log_set(self._listener, None)
        self.backend_init()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def last_error(self) -> str:
        """What the library said last about something that failed."""
        return self._errors[-1] if self._errors else "no reason given"

    def _hear(self, level: int, text: bytes, _: Any) -> None:
        if level == _ERROR:
            self._errors = [text.decode("utf-8", "replace").strip()]


@functools.cache
def llama_library() -> LlamaLibrary:
    """The library of this platform's wheel, loaded once; raises `ModelError` when there is none that works here."""
    path = _find()
    if path is None:
        raise ModelError("no llama.cpp library for this platform. Add --engine torch; it is slower and needs nothing.")
    try:
        library = LlamaLibrary(path)
    except (OSError, AttributeError) as error:
        raise ModelError(
            f"llama.cpp cannot be loaded here ({error}). On Debian and Ubuntu libgomp may be missing: "
            "apt-get install libgomp1. Or add --engine torch."
        ) from error
    model, context = library.model_default_params(), library.context_default_params()
    if (context.n_ctx, context.n_batch, context.n_ubatch, model.main_gpu) != (512, 2048, 512, 0):
        raise ModelError(f"{path.name} is another build of llama.cpp than Storyteller knows. Add --engine torch.")
    return library


def _find() -> Path | None:
    package, file = ("llama_cpp_py_sync", "llama.dll") if sys.platform == "win32" else ("xllamacpp", "*.so")
    # The package is found without importing it: its own start-up would cost more than loading a model.
    spec = importlib.util.find_spec(package)
    folders = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    return next((path for folder in folders for path in sorted(folder.glob(file))), None)
