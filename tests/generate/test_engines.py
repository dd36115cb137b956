from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from storyteller.errors import GenerationError, ModelError
from storyteller.generate import Engine, open_engine
from storyteller.generate.torch_engine import TorchEngine
from storyteller.models import Located, load_model, locate

needs_llama = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="no llama.cpp wheel here")

#: A story grows, is edited in the middle, cut, asked for again, and begun anew.
EDITS = ([5, 6, 7], [5, 6, 7, 8], [5, 6, 9, 8, 7, 6], [5, 6, 9], [5, 6, 9], [40, 41], list(range(3, 300)), [3, 4, 5, 9])


def located(folder: Path) -> Located:
    return Located("tiny", folder, str(folder))


def lora(folder: Path, out: Path) -> Path:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(load_model(located(folder)), LoraConfig(r=4, target_modules="all-linear", use_rslora=True))
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    model.save_pretrained(out)
    return out


@pytest.mark.parametrize("model", ["tiny_llama", "tiny_gpt2"])
def test_the_prefix_cache_gives_the_logits_of_a_full_forward(model: str, request: pytest.FixtureRequest) -> None:
    place = located(request.getfixturevalue(model))
    engine, reference = TorchEngine.open(place), load_model(place)
    for ids in EDITS:
        with torch.inference_mode():
            expected = reference(torch.tensor([ids])).logits[0, -1].numpy()
        np.testing.assert_allclose(engine.feed(ids), expected, atol=1e-4)


def test_only_what_is_new_is_computed(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TorchEngine.open(located(tiny_llama))
    seen: list[int] = []
    forward = engine._model.forward
    monkeypatch.setattr(
        engine._model, "forward", lambda **kw: (seen.append(kw["input_ids"].shape[1]), forward(**kw))[1]
    )
    for ids in ([3, 4, 5, 6], [3, 4, 5, 6, 7], [3, 4, 9, 9]):
        engine.feed(ids)
    assert seen == [4, 1, 2]


@needs_llama
def test_llama_agrees_with_torch(tiny_llama: Path) -> None:
    fast, exact = open_engine(located(tiny_llama), "llama"), open_engine(located(tiny_llama), "torch")
    assert (fast.name, exact.name) == ("llama", "torch")
    assert (fast.vocabulary_size, fast.context) == (exact.vocabulary_size, exact.context)
    for ids in EDITS:
        close(fast.feed(ids), exact.feed(ids))
    fast.close()


@needs_llama
def test_llama_has_the_adapter_merged_in(tiny_llama: Path, tmp_path: Path) -> None:
    base = located(tiny_llama)
    adapted = dataclasses.replace(base, adapter=lora(tiny_llama, tmp_path / "adapter"))
    fast, exact, plain = open_engine(adapted, "llama"), open_engine(adapted, "torch"), open_engine(base, "torch")
    for ids in EDITS:
        close(fast.feed(ids), exact.feed(ids))
    assert np.abs(exact.feed([5, 6, 7]) - plain.feed([5, 6, 7])).max() > 0.1
    fast.close()


def close(fast: np.ndarray, exact: np.ndarray) -> None:
    """Within the error of Q8_0: the likeliest id is the same or as good, and the logits lie on one line."""
    assert np.corrcoef(fast, exact)[0, 1] > 0.998
    assert exact.max() - exact[fast.argmax()] < 0.15


@needs_llama
def test_auto_takes_torch_where_llama_cannot_go(tiny_gpt2: Path) -> None:
    assert open_engine(located(tiny_gpt2)).name == "torch"
    with pytest.raises(ModelError, match="--engine torch"):
        open_engine(located(tiny_gpt2), "llama")


@needs_llama
def test_a_damaged_gguf_is_an_error(tiny_llama: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 40)
    with pytest.raises(ModelError, match=r"broken\.gguf"):
        open_engine(dataclasses.replace(located(tiny_llama), gguf=broken), "llama")


def test_an_unknown_engine_is_an_error(tiny_llama: Path) -> None:
    with pytest.raises(GenerationError, match="auto, llama, torch"):
        open_engine(located(tiny_llama), "warp")


@pytest.mark.slow
@needs_llama
@pytest.mark.parametrize("gguf", [True, False], ids=["Q4_1", "Q8_0"])
def test_llama_agrees_with_torch_on_the_real_model(gguf: bool) -> None:
    from storyteller.tokens import StoryTokenizer

    place = locate("smollm2-135m-instruct")
    place = place if gguf else dataclasses.replace(place, gguf=None)
    ids = StoryTokenizer.load(place.folder).encode(
        "Once upon a time there was a lighthouse keeper who found a talking seal. The seal said that the sea was old."
    )
    fast: Engine = open_engine(place, "llama")
    exact: Engine = open_engine(place, "torch")
    agreed = 0
    for end in range(4, len(ids)):
        quick, slow = fast.feed(ids[:end]), exact.feed(ids[:end])
        agreed += quick.argmax() == slow.argmax()
        assert np.corrcoef(quick, slow)[0, 1] > 0.995
    assert agreed >= 0.85 * (len(ids) - 4)
