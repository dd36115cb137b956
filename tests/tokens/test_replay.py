"""Replay: the share is kept at every moment, and nothing but the step decides."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tokens.stories import long_story, write_corpus

from storyteller.errors import DataError
from storyteller.recipe.models import DataRecipe
from storyteller.tokens import ReplayShards, Shards, StoryTokenizer, tokenize

_CONTEXT = 128


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> tuple[Shards, Shards]:
    tokenizer = StoryTokenizer.load(tiny_llama)
    made = []
    for language in ("en", "zh"):
        stories = [long_story(f"{language}{i}", 1 + i % 4, language) for i in range(9)]  # type: ignore[arg-type]
        folder = write_corpus(tmp_path_factory.mktemp(language), stories)
        made.append(tokenize(folder, None, tokenizer, DataRecipe(path=folder, context=_CONTEXT)))
    return made[0], made[1]


def is_old(row: np.ndarray, old: Shards) -> bool:
    return any((old.batch(1, step, rows=1, context=_CONTEXT).input_ids[0] == row).all() for step in range(80))


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.9]), st.integers(1, 7), st.integers(0, 6))
def test_the_share_is_kept_to_within_one_row(pair: tuple[Shards, Shards], share: float, rows: int, step: int) -> None:
    mixed = ReplayShards(pair[0], pair[1:], share)
    exact = Fraction(share).limit_denominator(10_000)
    counted = 0
    for number in range(step + 1):
        batch = mixed.batch(1, number, rows=rows, context=_CONTEXT)
        counted += sum(is_old(row, pair[1]) for row in batch.input_ids)
    assert counted == math.floor((step + 1) * rows * exact)


def test_every_row_of_both_comes_in_its_own_order(pair: tuple[Shards, Shards]) -> None:
    mixed = ReplayShards(pair[0], pair[1:], 0.25)
    rows = mixed.batch(1, 0, rows=12, context=_CONTEXT).input_ids
    new = pair[0].batch(1, 0, rows=9, context=_CONTEXT).input_ids
    old = pair[1].batch(1, 0, rows=3, context=_CONTEXT).input_ids
    assert (rows[[3, 7, 11]] == old).all()
    assert (np.delete(rows, [3, 7, 11], axis=0) == new).all()


def test_several_old_corpora_take_turns(pair: tuple[Shards, Shards]) -> None:
    rows = ReplayShards(pair[0], pair, 0.5).batch(1, 0, rows=8, context=_CONTEXT).input_ids
    for which, shards in enumerate(pair):
        assert (rows[1 + 2 * which :: 4] == shards.batch(1, 0, rows=2, context=_CONTEXT).input_ids).all()


def test_neither_ranks_nor_row_counts_change_the_stream(pair: tuple[Shards, Shards]) -> None:
    mixed = ReplayShards(pair[0], pair[1:], 0.3)
    whole = mixed.batch(2, 0, rows=12, context=_CONTEXT)
    parts = [mixed.batch(2, step, rows=3, context=_CONTEXT).input_ids for step in range(4)]
    assert (whole.input_ids == np.concatenate(parts)).all()
    ranks = [mixed.batch(2, 0, rows=6, context=_CONTEXT, rank=rank, world=2) for rank in range(2)]
    assert (whole.input_ids[0::2] == ranks[0].input_ids).all()
    assert (whole.input_ids[1::2] == ranks[1].input_ids).all()
    assert whole.target_bytes == sum(rank.target_bytes for rank in ranks)


def test_an_epoch_shows_all_that_is_new(pair: tuple[Shards, Shards]) -> None:
    rows = pair[0].steps_per_epoch(1, _CONTEXT, 1)
    assert ReplayShards(pair[0], pair[1:], 0.5).steps_per_epoch(1, _CONTEXT, 1) == 2 * rows
    assert ReplayShards(pair[0], pair[1:], 0.0).steps_per_epoch(1, _CONTEXT, 1) == rows


def test_two_tokenizers_are_refused(pair: tuple[Shards, Shards]) -> None:
    other = Shards(pair[1].folder, {**pair[1].meta, "tokenizer": "another"})
    with pytest.raises(DataError, match="different tokenizers"):
        ReplayShards(pair[0], [other], 0.5)
