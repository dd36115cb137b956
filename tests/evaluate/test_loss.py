"""Loss on whole stories: what a direct computation gives, whatever the window."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.tokens.stories import LAMP, SEAL, story
from torch.nn.functional import cross_entropy

from storyteller.errors import DataError
from storyteller.evaluate.loss import StoryLoss, _windows, measure_losses, summarise
from storyteller.models import load_model, locate
from storyteller.tokens import Request, StoryTokenizer, Template

_STORIES = [
    story(SEAL, "a", title="Seal"),
    story(LAMP, "b", "zh", work="book"),
    story(LAMP[:40], "c", "zh", work="book"),
]


@given(st.integers(1, 60), st.integers(1, 200), st.integers(2, 64))
def test_every_token_is_a_target_once_and_sees_enough(first: int, more: int, context: int) -> None:
    length, seen = first + more, []
    for start, end, target in _windows(first, length, context):
        assert 0 <= start < target < end <= length
        assert end - start <= context
        assert start == 0 or target - start >= context // 2
        seen += range(target, end)
    assert seen == list(range(first, length))


@pytest.mark.parametrize("prompted", [False, True])
def test_a_text_that_fits_is_measured_directly(tiny_llama: Path, prompted: bool) -> None:
    model, tokenizer = load_model(locate(tiny_llama)), StoryTokenizer.load(tiny_llama)
    template = Template.for_tokenizer(tokenizer)
    results = measure_losses(model, tokenizer, _STORIES, context=1024, template=template if prompted else None)
    for told, one in zip(results, _STORIES, strict=True):
        request = Request(language=one.language, form=one.form, title=one.title, words=one.words)
        prefix = template.prompt(request) if prompted else [0]
        ids = tokenizer.encode(one.text)
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([prefix + ids])).logits[0, len(prefix) - 1 : -1]
        assert told.nats == pytest.approx(float(cross_entropy(logits, torch.tensor(ids), reduction="sum")), rel=1e-4)
        assert (told.tokens, told.bytes) == (len(ids), len(one.text.encode()))
        assert (told.id, told.language, told.form) == (one.id, one.language, one.form)
    assert [told.work for told in results] == ["Seal", "book", "book"]


@pytest.mark.parametrize("context", [16, 64, 100])
def test_a_small_window_sees_less_and_counts_the_same(tiny_llama: Path, context: int) -> None:
    model, tokenizer = load_model(locate(tiny_llama)), StoryTokenizer.load(tiny_llama)
    whole = measure_losses(model, tokenizer, _STORIES)
    windowed = measure_losses(model, tokenizer, _STORIES, context=context)
    assert [row.tokens for row in windowed] == [row.tokens for row in whole]
    assert all(abs(a.nats / b.nats - 1) < 0.2 for a, b in zip(whole, windowed, strict=True))


def test_only_the_beginning(tiny_llama: Path) -> None:
    model, tokenizer = load_model(locate(tiny_llama)), StoryTokenizer.load(tiny_llama)
    (told,) = measure_losses(model, tokenizer, [story(LAMP, "b", "zh")], max_tokens=30)
    assert told.tokens == 30
    assert told.bytes == sum(len(tokenizer.token_bytes(token)) for token in tokenizer.encode(LAMP)[:30])
    (all_of_it,) = measure_losses(model, tokenizer, [story(LAMP, "b", "zh")], max_tokens=10_000)
    assert all_of_it.bytes == len(LAMP.encode())


def test_nothing_to_measure_and_too_long_a_window(tiny_llama: Path, tiny_gpt2: Path) -> None:
    tokenizer = StoryTokenizer.load(tiny_llama)
    with pytest.raises(DataError, match="no story"):
        measure_losses(load_model(locate(tiny_llama)), tokenizer, [])
    with pytest.raises(DataError, match="reads 1024 tokens at most"):
        measure_losses(load_model(locate(tiny_gpt2)), tokenizer, _STORIES, context=2048)


def test_bits_per_byte_are_nats_per_token_in_other_units() -> None:
    losses = [
        StoryLoss("a", "one", "story", "en", 100.0, 50, 200),
        StoryLoss("b", "two", "fable", "zh", 30.0, 10, 60),
        StoryLoss("c", "two", "story", "zh", 20.0, 10, 40),
    ]
    tables = {table.group: table for table in summarise(losses)}
    assert list(tables) == ["all", "en", "en story", "zh", "zh fable", "zh story"]
    everything = tables["all"]
    assert (everything.stories, everything.tokens) == (3, 70)
    assert everything.loss == pytest.approx(150 / 70)
    assert everything.perplexity == pytest.approx(math.exp(150 / 70))
    assert everything.bits_per_byte.value == pytest.approx(everything.loss / math.log(2) * 70 / 300)
    assert everything.bits_per_byte.n == 2
    assert tables["zh"].bits_per_byte.low is None
