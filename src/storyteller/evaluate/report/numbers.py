"""Numbers as a report writes them: no more digits than the interval supports, and the same for all of one metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from storyteller.evaluate.bootstrap import Interval

__all__ = ["decimals", "number", "p_value", "range_of", "with_interval"]

_MINUS = "\N{MINUS SIGN}"


def decimals(intervals: Sequence[Interval | None]) -> int:
    """The decimals that the intervals of one metric support: two digits of their usual half width, at most 4."""
    halves = [(one.high - one.low) / 2 for one in intervals if one and one.low is not None and one.high is not None]
    known = [half for half in halves if half > 0 and math.isfinite(half)]
    if not known:
        sizes = [abs(one.value) for one in intervals if one and math.isfinite(one.value)]
        return 1 if sizes and max(sizes) >= 10 else 3
    return min(4, max(0, 1 - math.floor(math.log10(median(known)))))


def number(value: float | None, places: int, signed: bool = False) -> str:
    """The value with a true minus sign; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    rounded = round(value, places) + 0.0  # + 0.0 takes the sign from a zero
    written = f"{abs(rounded):,.{places}f}"
    return (_MINUS if rounded < 0 else "+" if signed and rounded > 0 else "") + written


def range_of(interval: Interval, places: int, signed: bool = False) -> str:
    """`[low, high]`, or nothing where there is no interval."""
    if interval.low is None or interval.high is None:
        return ""
    return f"[{number(interval.low, places, signed)}, {number(interval.high, places, signed)}]"


def with_interval(interval: Interval, places: int, signed: bool = False) -> str:
    """`value [low, high]`."""
    return f"{number(interval.value, places, signed)} {range_of(interval, places, signed)}".rstrip()


def p_value(p: float) -> str:
    """A p value with two digits, and `< .001` below that."""
    if not math.isfinite(p):
        return "–"
    return "< .001" if p < 0.001 else f"{p:.3f}"[1:] if p < 0.1 else f"{min(p, 1.0):.2f}".removeprefix("0")
