"""The tiny models that other tests stand on."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.numpy import load_file
from tests.tiny import SPECIAL_TOKENS, tiny_model


def test_same_seed_same_weights(tmp_path: Path) -> None:
    first, second, other = (tiny_model(tmp_path / str(i), seed=seed) for i, seed in enumerate((3, 3, 4)))
    weights = [load_file(folder / "model.safetensors") for folder in (first, second, other)]
    assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])
    assert any((weights[0][name] != weights[2][name]).any() for name in weights[0])


@pytest.mark.parametrize("text", ["The seal sang.", "海豹唱起了歌。", "🦭"])
def test_tokenizer_keeps_the_text(tiny_gpt2: Path, text: str) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tiny_gpt2 / "tokenizer.json"))
    assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert [tokenizer.token_to_id(token) for token in SPECIAL_TOKENS] == [0, 1, 2]
