"""The quality-diversity frontier: systems compared at equal diversity, since a cooler temperature buys one with the other.

A system that is better at one temperature alone has shown nothing (Caccia et al. 2020, "Language GANs Falling Short").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from storyteller.errors import DataError
from storyteller.evaluate.statistics import Resampled

__all__ = ["Point", "at_diversity", "matched_difference"]

#: Places of the common range of diversity over which two frontiers are compared.
PLACES = 9


@dataclass(frozen=True, slots=True)
class Point:
    """A system at one temperature: its diversity, and its quality (an AUC: lower is more like people)."""

    diversity: float
    quality: Resampled


def at_diversity(points: Sequence[Point], diversity: float) -> Resampled:
    """The quality of a frontier at a diversity, by a straight line between the two points beside it.

    Raises `DataError` outside of the range of the points: a frontier is not extrapolated.
    """
    ordered = sorted(points, key=lambda point: point.diversity)
    places = [point.diversity for point in ordered]
    if not places or not places[0] <= diversity <= places[-1]:
        span = f"{places[0]:.3f} to {places[-1]:.3f}" if places else "nothing"
        raise DataError(
            f"a diversity of {diversity:.3f} is outside of what was measured ({span}); try other temperatures."
        )
    above = min(int(np.searchsorted(places, diversity, side="right")), len(places) - 1)
    left, right = ordered[max(above - 1, 0)], ordered[above]
    gap = right.diversity - left.diversity
    share = (diversity - left.diversity) / gap if gap else 0.0
    return _weighted(left.quality, 1 - share) + _weighted(right.quality, share)


def matched_difference(first: Sequence[Point], second: Sequence[Point]) -> Resampled:
    """The mean quality of `second` less that of `first` over the range of diversity that both frontiers have.

    Negative: the second is more like people at equal diversity. Diversity counts as known, for its spread is small
    beside that of the quality. Raises `DataError` when a frontier has fewer than two points, or none are in common.
    """
    if min(len(first), len(second)) < 2:
        raise DataError("a frontier takes two temperatures or more of each system.")
    low = max(min(point.diversity for point in points) for points in (first, second))
    high = min(max(point.diversity for point in points) for points in (first, second))
    if low > high:
        raise DataError("the two systems have no diversity in common; try temperatures between theirs.")
    gaps = [
        at_diversity(second, place) - at_diversity(first, place) for place in np.linspace(low, high, PLACES).tolist()
    ]
    total = gaps[0]
    for gap in gaps[1:]:
        total = total + gap
    return _weighted(total, 1 / len(gaps))


def _weighted(statistic: Resampled, weight: float) -> Resampled:
    return statistic.apply(lambda value: weight * value)
