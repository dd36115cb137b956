from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storyteller.errors import DataError
from storyteller.evaluate.agreement import krippendorff_alpha, share_interval

#: Krippendorff (2011), "Computing Krippendorff's alpha-reliability", part C: four observers, twelve units.
OBSERVERS = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
)


def test_alpha_of_the_published_example() -> None:
    units = [[value for value in unit if value is not None] for unit in zip(*OBSERVERS, strict=True)]
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(units, "interval") == pytest.approx(0.849, abs=5e-4)


def test_alpha_at_its_ends() -> None:
    assert krippendorff_alpha([[1, 1], [-1, -1], [0, 0]]) == 1
    chance = np.random.default_rng(0).integers(-1, 2, size=(4000, 2)).tolist()
    assert krippendorff_alpha(chance) == pytest.approx(0, abs=0.04)
    assert krippendorff_alpha([[1, -1], [-1, 1]]) < 0
    # A tie against a win is a smaller disagreement than a win against a loss.
    near, far = [[1, 0], [-1, -1], [1, 1]], [[1, -1], [-1, -1], [1, 1]]
    assert krippendorff_alpha(near, "interval") > krippendorff_alpha(far, "interval")


def test_alpha_of_nothing_is_said() -> None:
    with pytest.raises(DataError, match="two raters"):
        krippendorff_alpha([[1], []])
    with pytest.raises(DataError, match="every rating is the same"):
        krippendorff_alpha([[1, 1], [1, 1]])


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_share_lies_in_its_interval(counts: tuple[int, int]) -> None:
    hits, trials = counts
    share = share_interval(hits, trials)
    assert share.low is not None
    assert share.high is not None
    assert 0 <= share.low <= share.value <= share.high <= 1
    assert share.n == trials


def test_wilson_as_tabled() -> None:
    share = share_interval(0, 10)  # Newcombe (1998): 0 of 10 is 0 to 27.75 %
    assert (share.low, share.high) == pytest.approx((0, 0.2775), abs=5e-4)
    with pytest.raises(DataError):
        share_interval(0, 0)
