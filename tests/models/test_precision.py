"""The number format that is chosen, by what the device can do."""

from __future__ import annotations

import pytest
import torch

from storyteller.models.precision import resolve_precision


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "float16"), ((8, 0), "bfloat16")])
def test_bfloat16_that_a_gpu_only_emulates_is_not_taken(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: str
) -> None:
    """A T4 has a capability of 7.5: it computes bfloat16, but slowly."""

    def supported(including_emulation: bool = True) -> bool:
        return including_emulation or capability >= (8, 0)

    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert resolve_precision("auto")[0] == expected
