from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storyteller.tokens.batches import NO_LABEL, Epochs, pack, stack


@settings(max_examples=50)
@given(lengths=st.lists(st.integers(1, 64), max_size=200))
def test_packing_places_every_example_once_and_overfills_no_row(lengths: list[int]) -> None:
    sizes = np.array(lengths, dtype=np.int32)
    packing = pack(sizes, np.arange(len(lengths)), 64)
    rows = [packing.row(i) for i in range(len(packing))]
    assert sorted(example for row in rows for example in row) == list(range(len(lengths)))
    assert all(row and sizes[row].sum() <= 64 for row in rows)


def test_rows_are_filled_well() -> None:
    sizes = np.random.default_rng(0).integers(20, 513, 20_000)
    packing = pack(sizes, np.random.default_rng(1).permutation(20_000), 512)
    assert sizes.sum() / (len(packing) * 512) >= 0.95


def test_an_epoch_shows_every_example_once_and_epochs_differ() -> None:
    sizes = np.random.default_rng(0).integers(5, 100, 500)
    epochs = Epochs(sizes, seed=3, context=128)
    first = [epochs.row(i) for i in range(epochs.rows_in(0))]
    second = [epochs.row(epochs.rows_in(0) + i) for i in range(epochs.rows_in(1))]
    for rows in (first, second):
        assert sorted(example for row in rows for example in row) == list(range(500))
    assert first != second
    # The stream can be entered anywhere: a fresh object, asked for late rows first, agrees.
    fresh = Epochs(sizes, seed=3, context=128)
    late = epochs.rows_in(0) + 5
    assert fresh.row(late) == epochs.row(late)
    assert fresh.row(0) == first[0]
    assert [Epochs(sizes, seed=4, context=128).row(i) for i in range(len(first) - 2)] != first[:-2]


def test_labels_are_shifted_and_never_cross_a_segment() -> None:
    examples = {0: (np.array([10, 11, 12, 13]), 2, 7), 1: (np.array([20, 21, 22]), 1, 3)}
    batch = stack([[0, 1], [1]], 9, 99, examples.__getitem__)
    none = NO_LABEL
    assert batch.input_ids.tolist() == [[10, 11, 12, 13, 20, 21, 22, 99, 99], [20, 21, 22] + [99] * 6]
    assert batch.labels.tolist() == [[none, 12, 13, none, none, 22, none, none, none], [none, 22] + [none] * 7]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 0, 1, 2, 0, 0], [0, 1, 2] + [0] * 6]
    assert batch.segment_ids.tolist() == [[1, 1, 1, 1, 2, 2, 2, 0, 0], [1, 1, 1] + [0] * 6]
    assert batch.targets == 4
    assert batch.target_bytes == 13


@pytest.mark.parametrize("count", [200_000])
def test_packing_is_fast(count: int) -> None:
    import time

    sizes = np.random.default_rng(0).integers(20, 513, count)
    started = time.process_time()
    pack(sizes, np.arange(count), 512)
    assert time.process_time() - started < 5
