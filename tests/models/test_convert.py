"""A GGUF file becomes a transformers folder that computes the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from tests.models.tiny_gguf import write_gguf
from tokenizers import Tokenizer

from storyteller.errors import ModelError
from storyteller.models.convert import convert_gguf

TEXTS = [
    "Once upon a time, the seal said: don't!",
    "从前有一座灯塔。“讲一个故事吧！”——《海》",
    "🦭👨‍👩‍👧 naïve café",
    "in 1987, 3.14159 and １２３",
    "  two  spaces\n\n\ttab\u3000",
]


def test_weights_and_settings_come_back(tiny_llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "converted"
    convert_gguf(write_gguf(tiny_llama, tmp_path / "tiny.gguf"), folder)
    expected, found = load_file(tiny_llama / "model.safetensors"), load_file(folder / "model.safetensors")
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[name], found[name]) for name in expected)
    old, new = (json.loads((place / "config.json").read_text()) for place in (tiny_llama, folder))
    shared = set(old) & set(new) - {"rms_norm_eps", "transformers_version"}
    assert {key: new[key] for key in shared} == {key: old[key] for key in shared}


@pytest.mark.parametrize("text", TEXTS)
def test_tokenizer_comes_back(tiny_llama: Path, tmp_path: Path, text: str) -> None:
    convert_gguf(write_gguf(tiny_llama, tmp_path / "tiny.gguf"), tmp_path / "converted")
    old, new = (Tokenizer.from_file(str(place / "tokenizer.json")) for place in (tiny_llama, tmp_path / "converted"))
    ids = new.encode(text + "<|im_end|>").ids
    assert ids == old.encode(text + "<|im_end|>").ids
    assert ids[-1] == 2
    assert new.decode(ids) == text


def test_smollm_splits_digits(tiny_llama: Path, tmp_path: Path) -> None:
    convert_gguf(write_gguf(tiny_llama, tmp_path / "tiny.gguf", pre="smollm"), tmp_path / "converted")
    tokenizer = Tokenizer.from_file(str(tmp_path / "converted" / "tokenizer.json"))
    pieces = [text for text, _ in tokenizer.pre_tokenizer.pre_tokenize_str("in 1987")]
    assert pieces == ["in", "Ġ", "1", "9", "8", "7"]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.99])
def test_a_cut_file_is_one_error_and_leaves_nothing(tiny_llama: Path, tmp_path: Path, share: float) -> None:
    whole = write_gguf(tiny_llama, tmp_path / "tiny.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelError, match="cut or damaged"):
        convert_gguf(cut, tmp_path / "out" / "converted")
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_no_gguf_at_all(tmp_path: Path) -> None:
    path = tmp_path / "story.gguf"
    path.write_text("从前有一座灯塔。" * 100, encoding="utf-8")
    with pytest.raises(ModelError, match="cut or damaged"):
        convert_gguf(path, tmp_path / "converted")
