"""A two-layer model with a byte-level tokenizer, written in under a second: what tests train and generate with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

__all__ = ["SPECIAL_TOKENS", "tiny_model", "tiny_tokenizer"]

#: Ids 0, 1 and 2, as in SmolLM2: end of text, start of a turn (also BOS), end of a turn (also EOS and padding).
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

_TEXT = (
    "Once upon a time there was a little seal who lived beside the lighthouse. The keeper said to the seal: "
    "tell me a story. And so she told him a story of the sea and the moon and the old clock that ran backwards.",
    "从前有一座灯塔，灯塔旁边住着一只小海豹。守塔人对海豹说：给我讲一个故事吧。于是她讲了大海的故事，月亮的故事。",
)


def tiny_tokenizer(folder: Path, vocabulary: int = 320) -> Path:
    """Write `tokenizer.json` (256 bytes, three ChatML tokens, a few merges) and its config to `folder`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXT, trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    end_of_text, start, end = SPECIAL_TOKENS
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": start,
        "eos_token": end,
        "pad_token": end,
        "unk_token": end_of_text,
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1024,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    return folder


def tiny_model(
    folder: Path, seed: int = 0, architecture: Literal["llama", "gpt2"] = "llama", vocabulary: int = 320
) -> Path:
    """Write a transformers folder with random weights, hidden size 64, 1024 positions and tied embeddings.

    The same seed gives the same weights; the process's own random state is left as it was.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

    tiny_tokenizer(folder, vocabulary)
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if architecture == "llama":
            llama = LlamaConfig(
                vocab_size=vocabulary,
                hidden_size=64,
                intermediate_size=128,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=1024,
                initializer_range=0.1,
                tie_word_embeddings=True,
                **ids,
            )
            model = LlamaForCausalLM(llama)
        else:
            gpt2 = GPT2Config(
                vocab_size=vocabulary, n_embd=64, n_layer=2, n_head=4, n_positions=1024, initializer_range=0.1, **ids
            )
            model = GPT2LMHeadModel(gpt2)
    model.save_pretrained(folder)
    return folder
