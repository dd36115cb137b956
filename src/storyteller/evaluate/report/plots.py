"""Plots as inline SVG: text stays text, colours come from the page's style sheet, shapes and dashes say the same again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from storyteller.evaluate.bootstrap import Interval
from storyteller.evaluate.findings import Curve, Frontier, HeatMap
from storyteller.evaluate.report.markup import Html, join, tag
from storyteller.evaluate.report.numbers import number, with_interval

__all__ = [
    "Axis", "Labelled", "curve_plot", "frontier_plot", "heat_plot", "heat_scale", "marker", "series_class", "strip", "ticks",
]  # fmt: skip

COLOURS = 6
DASHES = (None, "7 3", "2 3", "9 3 2 3")
WIDTH, HEIGHT, TOP = 720, 420, 34.0
Written = Literal["all", "ends", "none"]
STEPS = 9
"""Shades of a heat map."""


@dataclass(frozen=True)
class Labelled:
    """What a plot writes at a series: its `name`, its model's `place` (colour and shape), and whether it is people.

    `variant` tells the temperatures of one model apart by their dashes.
    """

    name: str
    place: int
    variant: int = 0
    human: bool = False

    @property
    def dashes(self) -> str | None:
        """The dashes of a line."""
        return "5 4" if self.human else DASHES[(self.place // COLOURS + self.variant) % len(DASHES)]


@dataclass(frozen=True)
class Axis:
    """A linear axis from `low` to `high` drawn from pixel `start` to `end`, which may run backwards."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float, pad: float = 0.06) -> Axis:
        """An axis that holds all finite values with some room at both ends."""
        known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(known), max(known)
        room = (high - low) * pad or abs(high) * 0.1 or 0.5
        return cls(low - room, high + room, start, end)

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round values between `low` and `high`: multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step)
    return [round(step * k, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def series_class(label: Labelled) -> str:
    """The style class that colours a series."""
    return "human" if label.human else f"c{label.place % COLOURS}"


def marker(label: Labelled, x: float, y: float, size: float = 5) -> Html:
    """The shape of a series: disc, square, triangle, diamond, then hollow ones; people are a ring."""
    hollow = label.human or label.place % 8 >= 4
    look = {"class_": "hollow" if hollow else "solid"}
    shape = 0 if label.human else label.place % 4
    if shape == 0:
        return tag("circle", cx=x, cy=y, r=size, **look)
    corners: tuple[tuple[float, float], ...] = (
        ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        ((0, -1.2), (1.1, 0.8), (-1.1, 0.8)),
        ((0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)),
    )[shape - 1]
    return tag("polygon", points=" ".join(f"{x + size * dx:.1f},{y + size * dy:.1f}" for dx, dy in corners), **look)


def strip(interval: Interval | None, low: float, high: float, label: Labelled, people: Interval | None) -> Html:
    """One row of an interval plot: a dot with its interval, people's value as a line with their interval as a band.

    Positions are percentages, so a row is as wide as its cell.
    """
    axis = Axis(low, high, 2, 98)

    def at(value: float) -> str:
        return f"{min(100.0, max(0.0, axis(value))):.2f}%"

    parts = []
    if people is not None and math.isfinite(people.value):
        if people.low is not None and people.high is not None:
            width = max(0.0, axis(people.high) - axis(people.low))
            parts.append(tag("rect", class_="band", x=at(people.low), y=0, width=f"{width:.2f}%", height="100%"))
        parts.append(tag("line", class_="people", x1=at(people.value), x2=at(people.value), y1=0, y2="100%"))
    if interval is not None and math.isfinite(interval.value):
        if interval.low is not None and interval.high is not None:
            parts.append(tag("line", class_="bar", x1=at(interval.low), x2=at(interval.high), y1="50%", y2="50%"))
        parts.append(tag("circle", class_="hollow" if label.human else "solid", cx=at(interval.value), cy="50%", r=4))
    return tag("svg", *parts, class_=f"strip {series_class(label)}", aria_hidden="true")


def frontier_plot(
    points: Sequence[Frontier],
    label: Callable[[str], Labelled],
    titles: tuple[str, str],
    *,
    turned: bool,
    people: tuple[float | None, float | None] = (None, None),
) -> Html:
    """Quality over diversity: a line a model, a point a temperature, people's values as dashed lines.

    `titles` are those of the x and the y axis. `turned` draws low values at the top, since up is better in the plot.
    `people` is their (diversity, quality), None where not known.
    """
    qualities = [q for p in points for q in (p.quality.value, p.quality.low, p.quality.high) if q is not None]
    x = Axis.over([p.diversity for p in points] + [v for v in people[:1] if v is not None], 70, WIDTH - 24, 0.08)
    ends = (TOP, HEIGHT - 56.0) if turned else (HEIGHT - 56.0, TOP)
    y = Axis.over(qualities + [v for v in people[1:] if v is not None], *ends, 0.08)
    parts = [_frame(x, y, *titles)]
    if people[0] is not None:
        at = x(people[0])
        parts.append(tag("line", class_="people", x1=at, x2=at, y1=TOP, y2=HEIGHT - 56))
    if people[1] is not None:
        at = y(people[1])
        parts.append(tag("line", class_="people", x1=70, x2=WIDTH - 24, y1=at, y2=at))
    # Temperatures are written at the points: at all, at the ends of each line where points are many, or not where all are one.
    temperatures = len({point.temperature for point in points})
    written: Written = "none" if temperatures < 2 else "all" if len(points) <= 14 else "ends"
    for name in dict.fromkeys(point.name for point in points):
        line = sorted((p for p in points if p.name == name), key=lambda p: (p.temperature is None, p.temperature or 0))
        parts.append(_frontier_line(line, x, y, label(name), written=written))
    described = f"{titles[1]} / {titles[0]}"
    return _svg(HEIGHT, described, *parts)


def _frontier_line(line: Sequence[Frontier], x: Axis, y: Axis, label: Labelled, written: Written) -> Html:
    path = " ".join(f"{x(p.diversity):.1f},{y(p.quality.value):.1f}" for p in line)
    parts = [tag("polyline", points=path, class_="line", stroke_dasharray=label.dashes)]
    for place, point in enumerate(line):
        at, up = x(point.diversity), y(point.quality.value)
        low, high = point.quality.low, point.quality.high
        temperature = "" if point.temperature is None else f"{point.temperature:g}"
        name = f"{label.name} @{temperature}" if temperature else label.name
        told = f"{name}: {with_interval(point.quality, 3)}; {number(point.diversity, 3)}"
        bar = None
        if low is not None and high is not None:
            bar = tag("line", class_="bar thin", x1=at, x2=at, y1=y(low), y2=y(high))
        parts.append(tag("g", tag("title", told), bar, marker(label, at, up)))
        if written == "all" or (written == "ends" and place in (0, len(line) - 1)):
            parts.append(tag("text", temperature, x=at + 9, y=up - 8 if place % 2 == 0 else up + 16, class_="small"))
    return tag("g", *parts, class_=series_class(label))


def curve_plot(
    curves: Sequence[Curve], label: Callable[[str], Labelled], title: str, ends: tuple[str, str, str], places: int
) -> Html:
    """A metric over the parts of the stories, one line a system with its name at the line's end.

    `ends` are the words for the x axis, its beginning and its end.
    """
    names = [label(curve.system) for curve in curves]
    margin = min(230.0, max([_width(name.name) for name in names], default=0) + 22)
    height = max(300, 17 * len(curves) + 100)
    longest = max((len(curve.values) for curve in curves), default=1)
    x = Axis(0, max(1, longest - 1), 70, WIDTH - margin)
    values = [value for curve in curves for value in curve.values]
    y = Axis.over([*values, 0.0] if min(values, default=0) >= 0 else values, height - 56, TOP)
    parts = [_frame(x, y, "", title, height=height, x_ticks=False, right=WIDTH - margin)]
    for at, words, anchor in zip((70.0, (70 + WIDTH - margin) / 2, WIDTH - margin), (ends[1], ends[0], ends[2]),
                                 ("start", "middle", "end"), strict=True):  # fmt: skip
        parts.append(
            tag("text", words, x=at, y=height - 30, text_anchor=anchor, class_="small" if anchor != "middle" else "")
        )
    lasts = [y(next((v for v in reversed(curve.values) if math.isfinite(v)), 0.0)) for curve in curves]
    for curve, name, last, beside in zip(curves, names, lasts, _apart(lasts, 16, height - 50), strict=True):
        known = [(x(i), y(value)) for i, value in enumerate(curve.values) if math.isfinite(value)]
        told = f"{name.name}: " + ", ".join(number(value, places) for value in curve.values)
        line = tag(
            "polyline",
            points=" ".join(f"{a:.1f},{b:.1f}" for a, b in known),
            class_="line",
            stroke_dasharray=name.dashes,
        )
        dots = [marker(name, a, b, 3) for a, b in known]
        leader = tag("line", class_="leader", x1=WIDTH - margin + 4, y1=last, x2=WIDTH - margin + 14, y2=beside)
        written = tag("text", _cut(name.name, 210), x=WIDTH - margin + 17, y=beside + 4)
        parts.append(tag("g", tag("title", told), line, *dots, leader, written, class_=series_class(name)))
    return _svg(height, title, *parts)


def heat_plot(heat: HeatMap, label: Callable[[str], Labelled], title: str, places: int) -> Html:
    """Systems by prompts in shades; a cell without a value is crossed out, and every cell says its value when pointed at."""
    names = [label(system) for system in heat.systems]
    left = min(230.0, max([_width(name.name) for name in names], default=0) + 14)
    side = max(9.0, min(30.0, (WIDTH - left - 4) / max(1, len(heat.prompts))))
    low, high = heat_scale(heat)
    height = 22 * len(names) + 30
    parts = []
    for row, name in enumerate(names):
        top = 22.0 * row + 4
        parts.append(
            tag(
                "text",
                _cut(name.name, 210),
                x=left - 8,
                y=top + 15,
                text_anchor="end",
                class_="people-name" if name.human else "",
            )
        )
        for column, prompt in enumerate(heat.prompts):
            value = heat.values[column][row]
            at = left + side * column
            told = tag("title", f"{name.name}, {prompt}: {number(value, places)}")
            if value is None or not math.isfinite(value):
                cross = tag("path", d=f"M{at + 2:.1f} {top + 2:.1f}l{side - 5:.1f} 16", class_="leader")
                cell = tag("rect", told, x=at, y=top, width=side - 1, height=20, class_="empty")
                parts.append(join(cell, cross))
            else:
                shade = min(STEPS - 1, int((value - low) / (high - low) * STEPS)) if high > low else 0
                parts.append(tag("rect", told, x=at, y=top, width=side - 1, height=20, class_=f"h{shade}"))
    every = 5 if len(heat.prompts) > 8 else 1
    for column in range(0, len(heat.prompts), every):
        at = left + side * (column + 0.5)
        parts.append(tag("text", str(column + 1), x=at, y=height - 8, text_anchor="middle", class_="small"))
    return _svg(height, title, *parts, width=max(float(WIDTH), left + side * len(heat.prompts) + 4))


def heat_scale(heat: HeatMap) -> tuple[float, float]:
    """The lowest and the highest value of a heat map."""
    known = [value for row in heat.values for value in row if value is not None and math.isfinite(value)]
    return (min(known), max(known)) if known else (0.0, 0.0)


def _frame(
    x: Axis,
    y: Axis,
    x_title: str,
    y_title: str,
    *,
    height: float = HEIGHT,
    x_ticks: bool = True,
    right: float = WIDTH - 24,
) -> Html:
    """Grid, tick labels and axis titles."""
    bottom = height - 56
    parts = []
    marks = ticks(y.low, y.high)
    digits = _digits(marks)
    for value in marks:
        at = y(value)
        parts.append(tag("line", class_="grid", x1=70, x2=right, y1=at, y2=at))
        parts.append(tag("text", number(value, digits), x=62, y=at + 4, text_anchor="end", class_="small"))
    if x_ticks:
        marks = ticks(x.low, x.high, 6)
        digits = _digits(marks)
        for value in marks:
            parts.append(tag("line", class_="tick", x1=x(value), x2=x(value), y1=bottom, y2=bottom + 5))
            parts.append(
                tag("text", number(value, digits), x=x(value), y=bottom + 20, text_anchor="middle", class_="small")
            )
    parts.append(tag("line", class_="axis", x1=70, x2=right, y1=bottom, y2=bottom))
    parts.append(tag("text", x_title, x=(70 + right) / 2, y=height - 12, text_anchor="middle"))
    parts.append(tag("text", y_title, x=0, y=14))
    return tag("g", *parts, class_="frame")


def _svg(height: float, described: str, *parts: Html, width: float = WIDTH) -> Html:
    box = f"0 0 {width:.0f} {height:.0f}"
    return tag("svg", tag("title", described), *parts, viewBox=box, class_="plot", role="img")


def _apart(places: Sequence[float], gap: float, most: float) -> list[float]:
    """The places moved so that neighbours are at least `gap` apart and none lies below `most`."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for before, i in itertools.pairwise(order):
        moved[i] = max(moved[i], moved[before] + gap)
    limit = most
    for i in reversed(order):
        moved[i] = min(moved[i], limit)
        limit = moved[i] - gap
    return moved


def _digits(marks: Sequence[float]) -> int:
    return max((len(f"{mark:.10g}".partition(".")[2]) for mark in marks), default=0)


def _width(text: str) -> float:
    """About how wide a label is at 13 pixels: CJK characters are twice as wide as others."""
    return sum(13.0 if ord(character) > 0x2E80 else 7.2 for character in text)


def _cut(text: str, most: float) -> str:
    """The label, shortened where it is wider than `most`."""
    kept = text
    while kept and _width(kept) > most:
        kept = kept[:-1]
    return text if kept == text else kept[:-1] + "…"
