"""The default base, for real: our conversion computes what transformers' own does, and loads in a moment."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from storyteller.models import DEFAULT_BASE, Located, count_parameters, load_model, locate

pytestmark = pytest.mark.slow

TEXTS = [
    "Once upon a time, in 1987, the keeper didn't sleep.",
    "从前有一座灯塔，灯塔旁边住着一只小海豹。“讲一个故事吧！”",
    "🦭👨‍👩‍👧 naïve café  two  spaces\n\n\ttab\u3000１２３ 3.14159",
    "<|im_start|>user\nTell me a story.<|im_end|>\n<|im_start|>assistant\n",
]


@pytest.fixture(scope="module")
def located() -> Located:
    return locate(DEFAULT_BASE)


def test_it_computes_what_transformers_computes(located: Located) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert located.gguf is not None
    place, file = located.gguf.parent, located.gguf.name
    ours = load_model(located)
    theirs = AutoModelForCausalLM.from_pretrained(place, gguf_file=file, dtype=torch.float32).eval()
    our_tokenizer = AutoTokenizer.from_pretrained(located.folder)
    their_tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=file)
    assert our_tokenizer.chat_template == their_tokenizer.chat_template
    for text in TEXTS:
        ids = our_tokenizer(text).input_ids
        assert ids == their_tokenizer(text).input_ids
        assert our_tokenizer.decode(ids) == text
        with torch.inference_mode():
            logits = [model(input_ids=torch.tensor([ids])).logits for model in (ours, theirs)]
        assert (logits[0] - logits[1]).abs().max() < 1e-3


def test_the_second_load_takes_under_three_seconds(located: Located) -> None:
    started = time.perf_counter()
    model = load_model(locate(DEFAULT_BASE))
    assert time.perf_counter() - started < 3
    assert count_parameters(model)[0] == 134_515_008


def test_it_tells_a_story(located: Located) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(located.folder)
    asked = [{"role": "user", "content": "Tell a short story about a lighthouse keeper and a seal."}]
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    told = load_model(located).generate(**prompt, max_new_tokens=60, do_sample=False)[0, prompt.input_ids.shape[1] :]
    assert "lighthouse" in tokenizer.decode(told).lower()


def test_the_home_folder_is_documented(located: Located) -> None:
    assert located.gguf is not None
    assert Path(located.gguf).parts[-3:-1] == ("models", DEFAULT_BASE)
