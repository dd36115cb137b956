"""How far judges agree, with each other and with themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import NormalDist
from typing import Literal

from storyteller.errors import DataError
from storyteller.evaluate.bootstrap import Interval

__all__ = ["krippendorff_alpha", "share_interval"]


def krippendorff_alpha(units: Iterable[Sequence[float]], metric: Literal["nominal", "interval"] = "nominal") -> float:
    """Krippendorff's alpha (2011): 1 for perfect agreement, 0 for what chance gives; one sequence of ratings a unit.

    A unit that fewer than two rated says nothing and is left out. `nominal` counts any difference as one, `interval`
    its square. Raises `DataError` when no unit was rated twice or when all ratings are one and the same.
    """
    rated = [list(unit) for unit in units if len(unit) > 1]
    if not rated:
        raise DataError("agreement needs units that two raters judged; there are none.")
    values = Counter(value for unit in rated for value in unit)
    total = sum(values.values())
    if len(values) == 1:
        raise DataError("agreement is not defined while every rating is the same; judge more pairs.")

    def distance(a: float, b: float) -> float:
        return float(a != b) if metric == "nominal" else (a - b) ** 2

    observed = sum(sum(distance(a, b) for a in unit for b in unit) / (len(unit) - 1) for unit in rated) / total
    expected = sum(n * m * distance(a, b) for a, n in values.items() for b, m in values.items())
    return 1 - observed * total * (total - 1) / expected


def share_interval(hits: int, trials: int) -> Interval:
    """A share with Wilson's (1927) 95 % interval, which stays within 0 and 1; raises `DataError` without trials."""
    if trials < 1:
        raise DataError("a share of nothing is not defined.")
    z = NormalDist().inv_cdf(0.975)
    share = hits / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * (share * (1 - share) / trials + z * z / (4 * trials * trials)) ** 0.5
    return Interval(share, max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half)), trials)
