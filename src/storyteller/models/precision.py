"""Which number format to compute in: measured on the processor at hand, not assumed from its name."""

from __future__ import annotations

import time
from typing import Literal

import torch

from storyteller.errors import TrainingError

__all__ = ["Precision", "half_of_gpu", "resolve_precision"]

Precision = Literal["float32", "bfloat16", "float16"]

_WORTH = 1.4
"""bfloat16 must be so many times faster than float32 on the processor: casts and norms eat smaller gains."""


def resolve_precision(asked: str) -> tuple[Precision, str]:
    """The precision to train or to read in, and the reason in one clause.

    `auto` takes bfloat16 on a GPU that has it (else float16), and on a processor only where a matrix product of a
    transformer's shape is clearly faster in it: with AVX-512-BF16 or AMX it is about 2.5 times as fast, without them
    eight times slower.
    """
    if asked == "float16" and not torch.cuda.is_available():
        raise TrainingError("train.precision=float16 needs a GPU; take auto, bfloat16 or float32.")
    if asked != "auto":
        return asked, "as the recipe says"  # type: ignore[return-value]
    if _on_gpu():
        half = half_of_gpu()
        return half, "the GPU has it" if half == "bfloat16" else "the GPU has no bfloat16"
    if torch.backends.mps.is_available():
        return "float32", "the safe choice on Apple GPUs"
    ratio = _product_seconds(torch.float32) / _product_seconds(torch.bfloat16)
    if ratio >= _WORTH:
        return "bfloat16", f"products are {ratio:.1f}x as fast as in float32 on this processor"
    return "float32", f"bfloat16 products run at {ratio:.1f}x the speed of float32 on this processor"


def half_of_gpu() -> Literal["bfloat16", "float16"]:
    """The 16-bit format of this GPU: older ones (T4, V100, RTX 20) compute bfloat16 too, but by slow emulation."""
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def _on_gpu() -> bool:
    if not torch.cuda.is_available():
        return False
    from accelerate.utils import parse_flag_from_env

    return not parse_flag_from_env("ACCELERATE_USE_CPU")


def _product_seconds(dtype: torch.dtype) -> float:
    left, right = torch.ones(512, 576, dtype=dtype), torch.ones(576, 1536, dtype=dtype)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - started)
    return min(times)
