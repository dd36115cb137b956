"""Fixtures of the tokens room."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.tiny import tiny_tokenizer

from storyteller.tokens import StoryTokenizer, Template


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> StoryTokenizer:
    return StoryTokenizer.load(tiny_tokenizer(tmp_path_factory.mktemp("tokenizer")))


@pytest.fixture(scope="session")
def metaspace(tmp_path_factory: pytest.TempPathFactory) -> StoryTokenizer:
    """A Llama-like tokenizer that would put a space before every text, with bytes for unknown characters."""
    letters = ["▁", *"abcdefghijklmnopqrstuvwxyzT.", "▁a", "se", "al", "seal", "▁seal"]
    vocabulary = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters]
    merges = [["▁", "a"], ["s", "e"], ["a", "l"], ["se", "al"], ["▁", "seal"]]
    added = [
        {"id": i, "content": vocabulary[i], "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": i < 2}
        for i in range(3)
    ]  # fmt: skip
    folder = tmp_path_factory.mktemp("metaspace")
    definition = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]},
        "pre_tokenizer": None, "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                  "vocab": {token: i for i, token in enumerate(vocabulary)}, "merges": merges},
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(definition), encoding="utf-8")
    settings = {"bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return StoryTokenizer.load(folder)


@pytest.fixture(params=["chatml", "plain"], scope="session")
def template(request: pytest.FixtureRequest, tokenizer: StoryTokenizer, metaspace: StoryTokenizer) -> Template:
    return Template.for_tokenizer(tokenizer if request.param == "chatml" else metaspace)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "corpus"
