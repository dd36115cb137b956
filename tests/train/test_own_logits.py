"""Other architectures than Llama's: trained on what the model itself says, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tests.tokens.stories import LAMP, SEAL, story
from tests.train.test_objectives import batch
from torch.nn.functional import cross_entropy

from storyteller.errors import ModelError
from storyteller.evaluate.loss import measure_losses
from storyteller.models import adapt
from storyteller.recipe import ModelRecipe
from storyteller.tokens import StoryTokenizer
from storyteller.train.objectives import CausalObjective

_SIZES = {
    "vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.2,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
}  # fmt: skip
_WINDOWED = {
    "Gemma3": {"sliding_window": 8, "head_dim": 8, "layer_types": ["sliding_attention", "full_attention"]},
    "Mistral": {"sliding_window": 8},
    "Qwen2": {"sliding_window": 8, "use_sliding_window": True, "max_window_layers": 1},
}
_CHANGED = {"Gemma2": {"final_logit_softcapping": 3.0, "head_dim": 8}, "Granite": {"logits_scaling": 6.0}, "Phi": {}}


def make(kind: str, **settings: Any) -> Any:
    config = getattr(transformers, f"{kind}TextConfig" if kind == "Gemma3" else f"{kind}Config")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, f"{kind}ForCausalLM")(config(**_SIZES, **settings)).eval()
        if kind == "Phi":
            torch.nn.init.normal_(model.lm_head.bias)
    return model


@pytest.mark.parametrize("method", ["full", "prefix"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", _WINDOWED)
def test_a_layer_with_a_window_is_trained_with_it(kind: str, packed: bool, method: str) -> None:
    model = make(kind, **_WINDOWED[kind])
    if method == "prefix":
        model = adapt(model, ModelRecipe(method="prefix"), 1, []).eval()
    tensors = batch((5, 21, 1, 13), 48)
    expected = 0.0
    with torch.inference_mode():
        for number in range(1, 5):
            mine = tensors["segment_ids"][0] == number
            logits = model(input_ids=tensors["input_ids"][:, mine]).logits[0]
            expected += float(cross_entropy(logits, tensors["labels"][0, mine], ignore_index=-100, reduction="sum"))
        objective = CausalObjective(model, packed=packed).eval()
        assert float(objective(**tensors)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", _CHANGED)
def test_a_model_that_changes_its_logits_is_refused(kind: str) -> None:
    model = make(kind, **_CHANGED[kind])
    with pytest.raises(ModelError, match=rf"(?s)type {kind.lower()} cannot be trained.*model\.base"):
        CausalObjective(model)


@pytest.mark.parametrize("kind", _CHANGED)
def test_it_is_measured_by_its_own_logits(kind: str, tiny_llama: Path) -> None:
    model, tokenizer = make(kind, **_CHANGED[kind]), StoryTokenizer.load(tiny_llama)
    for told in (story(SEAL), story(LAMP, "b", "zh")):
        (measured,) = measure_losses(model, tokenizer, [told], context=256, max_tokens=100)
        ids = torch.tensor([[tokenizer.id_of("<|endoftext|>"), *tokenizer.encode(told.text)[:100]]])
        with torch.inference_mode():
            expected = cross_entropy(model(input_ids=ids).logits[0, :-1], ids[0, 1:], reduction="sum")
        assert measured.nats == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_check_leaves_the_model_as_it_was(training: bool) -> None:
    model = make("Gemma3", **_WINDOWED["Gemma3"]).train(training)
    state = torch.random.get_rng_state()
    assert CausalObjective(model)._packed
    assert model.training == training
    assert torch.equal(state, torch.random.get_rng_state())
