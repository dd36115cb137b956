from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.generate.scripted import ScriptedEngine

from storyteller.errors import GenerationError
from storyteller.generate import Storyteller, Told, open_batch, open_engine
from storyteller.generate.torch_batch import TorchBatch
from storyteller.generate.torch_engine import TorchEngine
from storyteller.models import Located, load_model
from storyteller.tokens import Request, StoryTokenizer, Template

needs_llama = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="no llama.cpp wheel here")

#: Rows of several lengths begin together, one grows, one is edited, one begins anew, one rests.
STEPS: tuple[Mapping[int, Sequence[int]], ...] = (
    {0: [5, 6, 7], 1: list(range(3, 90)), 2: [9]},
    {2: [9, 10], 0: [5, 6, 7, 8]},
    {0: [5, 6, 9, 8, 7, 6], 1: list(range(3, 60)), 2: list(range(40, 140)), 3: [4, 4]},
    {3: [4, 4, 5], 1: [*range(3, 60), 7]},
)


def located(folder: Path) -> Located:
    return Located("tiny", folder, str(folder))


@pytest.fixture(scope="module")
def teller(tiny_llama: Path) -> Storyteller:
    return Storyteller(TorchEngine(load_model(located(tiny_llama)), context=256), Template.load(tiny_llama))


def full_forward(model: object, ids: Sequence[int]) -> np.ndarray:
    with torch.inference_mode():
        return model(torch.tensor([list(ids)])).logits[0, -1].numpy()  # type: ignore[operator]


@pytest.mark.parametrize("name", ["tiny_llama", "tiny_gpt2"])
def test_rows_give_the_logits_of_a_full_forward(name: str, request: pytest.FixtureRequest) -> None:
    model = load_model(located(request.getfixturevalue(name)))
    batch = TorchBatch(model, 4, 160)
    for step in STEPS:
        for ids, logits in zip(step.values(), batch.feed_many(step), strict=True):
            np.testing.assert_allclose(logits, full_forward(model, ids), atol=1e-4)


def test_a_sliding_window_is_kept_to() -> None:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig, MistralConfig, MistralForCausalLM

    size = {"vocab_size": 160, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "head_dim": 16}
    size |= {"num_key_value_heads": 1, "sliding_window": 16, "num_hidden_layers": 2}
    kinds = ["sliding_attention", "full_attention"]
    torch.manual_seed(0)
    for model in (
        Gemma3ForCausalLM(Gemma3TextConfig(**size, layer_types=kinds)),
        MistralForCausalLM(MistralConfig(**size)),
    ):
        batch = TorchBatch(model.eval(), 4, 160)
        for step in STEPS:
            for ids, logits in zip(step.values(), batch.feed_many(step), strict=True):
                np.testing.assert_allclose(logits, full_forward(model, ids), atol=1e-4)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.dictionaries(
            st.integers(0, 2), st.lists(st.integers(3, 9), min_size=1, max_size=20), min_size=1, max_size=3
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_order_of_edits_gives_the_same_logits(tiny_llama: Path, steps: list[dict[int, list[int]]]) -> None:
    model = load_model(located(tiny_llama))
    batch = TorchBatch(model, 3, 32)
    for step in steps:
        for ids, logits in zip(step.values(), batch.feed_many(step), strict=True):
            np.testing.assert_allclose(logits, full_forward(model, ids), atol=1e-4)


def test_a_batch_follows_the_weights_when_told_to_forget(tiny_llama: Path) -> None:
    model = load_model(located(tiny_llama))
    batch = TorchBatch(model, 2, 32)
    batch.feed_many({0: [5, 6, 7], 1: [8, 9]})
    with torch.no_grad():
        model.model.norm.weight.mul_(2)
        model.model.layers[0].self_attn.k_proj.weight.mul_(-1)
    batch.forget()
    for ids, logits in zip(([5, 6, 7, 8], [8, 9]), batch.feed_many({0: [5, 6, 7, 8], 1: [8, 9]}), strict=True):
        np.testing.assert_allclose(logits, full_forward(model, ids), atol=1e-4)


@needs_llama
def test_llama_rows_agree_with_llama_alone(tiny_llama: Path) -> None:
    engine = open_engine(located(tiny_llama), "llama", 256)
    batch = open_batch(engine, 4, 160)
    for step in STEPS:
        # Batched kernels add in another order, behind 8-bit activations.
        for ids, logits in zip(step.values(), [view.copy() for view in batch.feed_many(step)], strict=True):
            np.testing.assert_allclose(logits, engine.feed(ids), atol=0.05)
    batch.close()
    engine.close()


@needs_llama
def test_llama_reads_more_than_one_pass_holds(tiny_llama: Path) -> None:
    engine = open_engine(located(tiny_llama), "llama", 1024)
    batch = open_batch(engine, 3, 700)
    step = {0: [3 + i % 300 for i in range(650)], 1: [5, 6], 2: [9 + i % 290 for i in range(400)]}
    for ids, logits in zip(step.values(), batch.feed_many(step), strict=True):
        np.testing.assert_allclose(logits, engine.feed(ids), atol=0.1)
    batch.close()
    engine.close()


@pytest.mark.parametrize("rows", [3, 16])
def test_many_stories_are_those_told_one_by_one(teller: Storyteller, rows: int) -> None:
    prompts = ["The keeper." + " The moon." * (number % 3) for number in range(5)] + ["守塔人和海豹的故事。"]
    options = {"words": 20, "max_tokens": 60}
    many = dict(teller.tell_many(prompts, seeds=range(6), rows=rows, **options))
    assert sorted(many) == list(range(6))
    for index, prompt in enumerate(prompts):
        alone, told = teller.tell(prompt, seed=index, **options), many[index]
        assert isinstance(told, Told)
        assert (told.text, told.tokens, told.finish_reason) == (alone.text, alone.tokens, alone.finish_reason)
        assert told.seconds > 0


def test_stories_go_on_beyond_the_context_side_by_side(teller: Storyteller) -> None:
    narrow = Storyteller(TorchEngine(teller.engine._model, context=192), teller.template)  # type: ignore[attr-defined]
    many = dict(narrow.tell_many(["Seal."] * 2, seeds=[3, 4], words=600, max_tokens=260))
    prompt = len(narrow.template.prompt(Request(about="Seal.", words=600)))
    for seed, told in zip((3, 4), (many[0], many[1]), strict=True):
        assert isinstance(told, Told)
        assert prompt + told.tokens > 200
        assert told.text == narrow.tell("Seal.", seed=seed, words=600, max_tokens=260).text


def test_a_story_that_cannot_be_told_does_not_end_the_others(teller: Storyteller) -> None:
    prompts = ["", "A seal", "a very long prompt " * 100, Request(about="A seal")]
    many = dict(teller.tell_many(prompts, max_tokens=20))
    assert [type(many[index]) for index in range(4)] == [GenerationError, Told, GenerationError, Told]
    assert "empty" in str(many[0])
    assert "tokens long" in str(many[2])


def test_a_story_without_logits_does_not_end_the_others(teller: Storyteller, monkeypatch: pytest.MonkeyPatch) -> None:
    read = TorchBatch.feed_many

    def broken(self: TorchBatch, sequences: Mapping[int, Sequence[int]]) -> list[np.ndarray]:
        return [
            logits * (np.nan if row == 1 else 1) for row, logits in zip(sequences, read(self, sequences), strict=True)
        ]

    monkeypatch.setattr(TorchBatch, "feed_many", broken)
    many = dict(teller.tell_many(["A seal"] * 3, seeds=[1, 2, 3], rows=3, max_tokens=20))
    assert [isinstance(many[index], Told) for index in range(3)] == [True, False, True]
    assert "no finite logits" in str(many[1])


def test_an_engine_that_reads_one_sequence_tells_many_in_turn(tiny_llama: Path) -> None:
    tokenizer = StoryTokenizer.load(tiny_llama)
    scripted = Storyteller(ScriptedEngine(tokenizer, "The seal swam. "), Template.load(tiny_llama, tokenizer))
    many = list(scripted.tell_many(["One", "Two"], temperature=0, rows=8))
    assert [(index, told.text) for index, told in many if isinstance(told, Told)] == [
        (0, "The seal swam."),
        (1, "seal swam."),  # the script goes on, behind the end that the first story took
    ]


def test_nothing_asked_is_nothing_told(teller: Storyteller) -> None:
    assert list(teller.tell_many([])) == []


@pytest.mark.parametrize(("options", "message"), [({"seeds": [1]}, "2 prompts"), ({"rows": 0}, "1 or more")])
def test_mistakes_are_named(teller: Storyteller, options: dict[str, object], message: str) -> None:
    with pytest.raises(GenerationError, match=message):
        teller.tell_many(["a", "b"], **options)  # type: ignore[arg-type]
