"""What a refinement refuses before it draws a story."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, get_peft_model
from tests.adapters import tiny_adapter
from tests.adversarial.conftest import SMALL, MakeRecipe
from tests.tokens.stories import SEAL, story, write_corpus

from storyteller.adversarial import dry_run
from storyteller.adversarial.policy import Policy
from storyteller.errors import DataError, ModelError, RecipeError, TrainingError
from storyteller.recipe import load_recipe


def test_an_adapter_that_knows_other_words_by_the_same_ids_is_refused(
    tiny_llama: Path, corpus: Path, tmp_path: Path
) -> None:
    """As many tokens, in another order: only the tokenizer that the adapter carries can tell."""
    tuned = tiny_adapter(tiny_llama, tmp_path / "tuned")
    recipe = load_recipe(None, [f"model.base={tuned}", f"data.path={corpus}", *SMALL])
    shutil.copyfile(tiny_llama / "tokenizer.json", tuned / "tokenizer.json")
    assert dry_run(recipe)["steps"] == 4
    told = json.loads((tuned / "tokenizer.json").read_text())
    words = told["model"]["vocab"]
    words["a"], words["b"] = words["b"], words["a"]
    (tuned / "tokenizer.json").write_text(json.dumps(told))
    with pytest.raises(TrainingError, match=r"trained with another tokenizer than its base .* fine-tune this one"):
        dry_run(recipe)


def tiny(config: Any) -> Any:
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config)


SHAPE = {
    "vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 16, "initializer_range": 0.1, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
}  # fmt: skip


def shifted() -> Any:
    """A Phi whose head has learned its bias."""
    model = tiny(transformers.PhiConfig(**SHAPE))
    with torch.no_grad():
        model.lm_head.bias.copy_(torch.linspace(-1, 1, len(model.lm_head.bias)))
    return model


@pytest.mark.parametrize(
    ("model", "targets"),
    [
        (lambda: tiny(transformers.GraniteConfig(**SHAPE, logits_scaling=8.0)), "all-linear"),
        (lambda: tiny(transformers.CohereConfig(**SHAPE)), "all-linear"),
        (lambda: tiny(transformers.Gemma2Config(**SHAPE, final_logit_softcapping=1.0)), "all-linear"),
        (shifted, "all-linear"),
        (lambda: tiny(transformers.LlamaConfig(**SHAPE, tie_word_embeddings=False)), ["q_proj", "lm_head"]),
        (lambda: tiny(transformers.LlamaConfig(**SHAPE, tie_word_embeddings=True)), ["q_proj", "embed_tokens"]),
    ],
    ids=["scaled", "scaled down", "capped", "shifted", "adapter on the head", "adapter on tied embeddings"],
)
def test_a_model_with_other_logits_than_ours_is_refused(model: Callable[[], Any], targets: Any) -> None:
    adapted = get_peft_model(model(), LoraConfig(r=2, target_modules=targets))
    with pytest.raises(ModelError, match="for the logits"):
        Policy(adapted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tied", [True, False])
def test_a_model_with_our_logits_is_taken_as_it_is(tied: bool, dtype: torch.dtype) -> None:
    adapted = get_peft_model(
        tiny(transformers.LlamaConfig(**SHAPE, tie_word_embeddings=tied)).to(dtype),
        LoraConfig(r=2, target_modules="all-linear"),
    )
    before = {name: value.clone() for name, value in adapted.state_dict().items()}
    Policy(adapted)
    assert all(torch.equal(value, before[name]) for name, value in adapted.state_dict().items())


def test_the_judge_is_asked_for_as_many_stories_as_an_evaluation_draws(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of dev and of the gate; one prompt is told to several times where there are few."""
    texts = [f"On day {i} of that year the keeper woke and counted {i + 3} gulls. {SEAL}" for i in range(16)]
    corpus = write_corpus(
        tmp_path / "c",
        [story(text, f"t{i}") for i, text in enumerate(texts[:8])],
        [story(text, f"d{i}", work=f"book {i}") for i, text in enumerate(texts[8:])],
    )
    asked: list[tuple[int, int]] = []

    def plan(count: int, least: int) -> None:
        def check(human: Sequence[str], works: Sequence[str], language: str) -> None:
            assert language == "en"
            asked.append((len(human), len({*works})))
            if len({*works}) < least:
                raise DataError("They are too few.")

        told = ["data.context=1024", "refine.rollout.prompt_tokens=512", f"refine.rollout.dev_prompts={count}"]
        dry_run(load_recipe(None, [f"model.base={tiny_llama}", f"data.path={corpus}", *SMALL, *told]), check=check)

    plan(8, least=4)
    assert asked == [(8, 4), (5, 4), (8, 4), (5, 4)]  # all of them, and two thirds
    assert "may not be judged" not in capsys.readouterr().err
    plan(4, least=4)  # with a third of them left out these are of fewer works
    assert "stories to the prompts of dev (4, from works: 4) may not be judged when a third" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"dev \(3, .* too few. Raise refine.rollout.dev_prompts, now 3"):
        plan(3, least=4)
    with pytest.raises(DataError, match=r"dev \(4, .* too few. Its split dev has no more: prepare"):
        plan(8, least=5)


@pytest.mark.parametrize(
    "override",
    [
        "refine.frontier=[0]",
        "refine.scales=[]",
        "refine.scales=[-1]",
        "refine.critic.betas=[0.5, 1.5]",
        "refine.monitors.kl=[0.15, 0.08]",
        "refine.monitors.distinct_2=[0.9, 0.95]",
        "refine.replay=[-1, 0]",
    ],
)
def test_values_that_would_lose_a_run_in_the_end_are_refused(small: MakeRecipe, override: str) -> None:
    with pytest.raises(RecipeError, match=override.partition("=")[0].rpartition(".")[2]):
        small(override)
