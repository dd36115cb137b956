import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storyteller.errors import DataError
from storyteller.evaluate.texts import Text, read_texts, write_texts
from storyteller.tokens.request import Character, Request

requests = st.none() | st.builds(
    Request,
    language=st.sampled_from(["en", "zh"]),
    about=st.none() | st.text(min_size=1),
    words=st.none() | st.integers(1, 500),
    characters=st.lists(st.builds(Character, st.text(min_size=1), st.text())).map(tuple),
    keywords=st.lists(st.text(min_size=1)).map(tuple),
)
texts = st.builds(
    Text,
    text=st.text(),
    system=st.text(min_size=1),
    prompt_id=st.text(min_size=1),
    language=st.sampled_from(["en", "zh"]),
    request=requests,
    temperature=st.none() | st.floats(0, 2),
    seed=st.none() | st.integers(0, 99),
)


@given(st.lists(texts, max_size=4))
def test_what_is_written_is_read_again(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    write_texts(path, written)
    assert read_texts(path) == written


BROKEN = [
    "{",
    "{}",
    '{"text": 1, "system": "a", "prompt_id": "1"}',
    '{"text": "a", "system": "a", "prompt_id": "1", "x": 2}',
    '{"text": "a", "system": "a", "prompt_id": "1", "language": "fr"}',
    '{"text": "a", "system": "a", "prompt_id": "1", "request": "write"}',
    '{"text": "a", "system": "a", "prompt_id": "1", "request": {"keywords": 1}}',
    '{"text": "a", "system": "a", "prompt_id": "1", "request": {"characters": ["Mara"]}}',
    '{"text": "a", "system": "a", "prompt_id": "1", "temperature": "0.8"}',
    '{"text": "a", "system": "a", "prompt_id": "1", "seed": "1"}',
    '{"text": "a", "system": "a", "prompt_id": "1", "work": 3}',
    '["text", "system", "prompt_id"]',
    "7",
]


@pytest.mark.parametrize("line", BROKEN)
def test_a_bad_line_is_named(tmp_path, line):
    path = tmp_path / "texts.jsonl"
    path.write_text(
        json.dumps({"text": "海豹", "system": "human", "prompt_id": "1", "language": "zh"}) + f"\n\n{line}\n"
    )
    with pytest.raises(DataError, match="line 3: not a text record"):
        read_texts(path)


def test_a_line_in_another_encoding_is_named_and_null_is_as_good_as_nothing(tmp_path):
    path = tmp_path / "texts.jsonl"
    record = {"text": "海豹", "system": "human", "prompt_id": "1", "language": "zh", "work": None, "temperature": None}
    path.write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    assert read_texts(path) == [Text("海豹", "human", "1", "zh")]
    path.write_bytes(path.read_bytes() + b"\n" + json.dumps(record, ensure_ascii=False).encode("gb18030"))
    with pytest.raises(DataError, match="line 2: not a text record"):
        read_texts(path)
