from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from storyteller.generate.mixing import arithmetic, contrastive, divergence, geometric, log_softmax, shares

logits = arrays(np.float32, (3, 50), elements=st.floats(-20, 20, width=32))
weights = st.tuples(*[st.floats(0.01, 1)] * 3).map(lambda w: tuple(x / sum(w) for x in w))


@settings(deadline=None, max_examples=30)
@given(logits, weights)
def test_arithmetic_and_geometric_are_distributions_between_the_members(rows: np.ndarray, shared: tuple) -> None:
    logs = log_softmax(rows)
    added, multiplied = np.exp(arithmetic(logs, shared)), np.exp(geometric(logs, shared))
    for mixed in (added, multiplied):
        assert mixed.sum() == pytest.approx(1, abs=1e-4)
    chances = np.exp(logs)
    np.testing.assert_allclose(added, np.asarray(shared) @ chances, atol=1e-5)
    assert (added <= chances.max(axis=0) + 1e-5).all()
    assert (added >= chances.min(axis=0) - 1e-5).all()


def test_by_hand() -> None:
    logs = np.log(np.array([[0.8, 0.2], [0.2, 0.8]], dtype=np.float32))
    np.testing.assert_allclose(np.exp(arithmetic(logs, (0.75, 0.25))), [0.65, 0.35], atol=1e-6)
    # 0.8^.75 * 0.2^.25 = 0.5657 against 0.2^.75 * 0.8^.25 = 0.2828
    np.testing.assert_allclose(np.exp(geometric(logs, (0.75, 0.25))), [2 / 3, 1 / 3], atol=1e-4)
    # 1 - H(0.8, 0.2), both members' entropies being equal
    assert divergence(logs, (0.5, 0.5)) == pytest.approx(1 - 0.7219, abs=1e-3)


@settings(deadline=None, max_examples=30)
@given(logits)
def test_one_member_with_all_the_weight_is_that_member(rows: np.ndarray) -> None:
    logs = log_softmax(rows)
    for rule in (arithmetic, geometric):
        np.testing.assert_allclose(np.exp(rule(logs, (0, 1, 0))), np.exp(logs[1]), atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(logits, weights)
def test_divergence_is_a_lower_bound_and_zero_for_equal_members(rows: np.ndarray, shared: tuple) -> None:
    logs = log_softmax(rows)
    chances = np.exp(logs.astype(np.float64))
    mean = np.asarray(shared) @ chances
    entropies = [-(p * np.log2(p, where=p > 0, out=np.zeros_like(p))).sum() for p in (mean, *chances)]
    exact = entropies[0] - np.dot(shared, entropies[1:])
    assert -1e-9 <= divergence(logs, shared) <= exact + 1e-4
    assert divergence(logs[[0, 0, 0]], shared) == pytest.approx(0, abs=1e-6)


def test_contrastive_prefers_what_the_amateur_does_not_know_among_the_plausible() -> None:
    logs = np.log(np.array([[0.5, 0.4, 0.0999, 1e-4], [0.8, 0.1, 0.0999, 1e-4]], dtype=np.float32))
    mixed = contrastive(logs, (1.5, -0.5), plausibility=0.5)
    assert mixed.argmax() == 1
    assert np.exp(mixed[2:]).sum() == 0  # below half of the likeliest
    assert np.isfinite(mixed).all()  # yet in the expert's order, for when the rest is forbidden
    assert mixed[2] > mixed[3]
    # 0.5^1.5 / 0.8^0.5 : 0.4^1.5 / 0.1^0.5
    odds = (0.5**1.5 / 0.8**0.5) / (0.4**1.5 / 0.1**0.5)
    assert mixed[0] - mixed[1] == pytest.approx(math.log(odds), abs=1e-4)


def test_shares_say_who_wanted_a_token() -> None:
    assert shares((0.3, 0.1), (0.5, 0.5)) == pytest.approx((0.75, 0.25))
    assert shares((0.3, 0.1), (1.5, -0.5)) == (1.0, 0.0)
    assert shares((0.0, 0.0), (0.5, 0.5)) == (0.0, 0.0)
