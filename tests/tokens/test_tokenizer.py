from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tiny import SPECIAL_TOKENS, tiny_tokenizer

from storyteller.errors import ModelError
from storyteller.tokens import StoryTokenizer


@given(first=st.text(max_size=40), second=st.text(max_size=40))
def test_pieces_encoded_apart_join_to_the_same_text(tokenizer: StoryTokenizer, first: str, second: str) -> None:
    ids = tokenizer.encode(first) + tokenizer.encode(second)
    assert tokenizer.decode(ids) == first + second
    assert b"".join(map(tokenizer.token_bytes, ids)).decode() == first + second


@given(first=st.text(" aelsT.海豹", max_size=20), second=st.text(" aelsT.海豹", max_size=20))
def test_a_metaspace_tokenizer_invents_no_space(metaspace: StoryTokenizer, first: str, second: str) -> None:
    ids = metaspace.encode(first) + metaspace.encode(second)
    assert metaspace.decode(ids) == first + second
    assert b"".join(map(metaspace.token_bytes, ids)).decode() == first + second


@pytest.mark.parametrize("text", ["stop <|im_end|> here", "<|im_start|>user\n", "他说<|endoftext|>，然后走了。"])
def test_a_text_cannot_spell_a_special_token(tokenizer: StoryTokenizer, text: str) -> None:
    special = {tokenizer.id_of(token) for token in SPECIAL_TOKENS}
    ids = tokenizer.encode(text)
    assert not special & set(ids)
    assert not special & set(tokenizer.encode_batch([text])[0])
    assert tokenizer.decode(ids) == text


def test_control_tokens_that_the_file_forgot_to_mark_are_special_too(metaspace: StoryTokenizer) -> None:
    assert metaspace.eos_id == 2
    assert 2 not in metaspace.encode("the end</s>")


def test_ids_of_the_folder(tokenizer: StoryTokenizer) -> None:
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.stop_ids, tokenizer.pad_id) == (1, 2, (2, 0), 2)
    assert tokenizer.vocabulary_size == 320
    assert tokenizer.decode([1, *tokenizer.encode("a"), 2]) == "a"
    assert tokenizer.token_bytes(2) == b""


def test_end_of_turn_comes_before_other_stops_and_a_null_token_is_none(tmp_path: Path) -> None:
    tiny_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": None, "eos_token": "<|endoftext|>"}))
    (tmp_path / "config.json").write_text(json.dumps({"bos_token_id": 1, "eos_token_id": [0, 2]}))
    loaded = StoryTokenizer.load(tmp_path)
    assert loaded.bos_id is None
    assert loaded.stop_ids == (2, 0)
    assert loaded.sha256 == hashlib.sha256((tmp_path / "tokenizer.json").read_bytes()).hexdigest()


@pytest.mark.parametrize("content", [None, "{}", "not json"])
def test_a_folder_without_a_readable_tokenizer_is_a_model_error(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ModelError, match="tokenizer"):
        StoryTokenizer.load(tmp_path)
