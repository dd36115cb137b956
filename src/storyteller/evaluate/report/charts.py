"""The charts of a report: which plots the findings give, with their headings."""

from __future__ import annotations

from storyteller.evaluate.findings import Frontier, HeatMap, Metric
from storyteller.evaluate.report.markup import Html, join, tag
from storyteller.evaluate.report.numbers import number
from storyteller.evaluate.report.plots import (
    Labelled,
    curve_plot,
    frontier_plot,
    heat_plot,
    heat_scale,
    marker,
    series_class,
)
from storyteller.evaluate.report.view import View

__all__ = ["curve_charts", "frontier_charts", "frontiers", "heat_charts", "people_point", "widest"]

WIDEST = 5
"""Prompts that are named below a heat map."""


def frontiers(view: View) -> list[tuple[Metric, Metric, list[Frontier]]]:
    """The quality-diversity planes: (diversity metric, quality metric, the models' points); a single point is no frontier."""
    planes: dict[tuple[str, str], list[Frontier]] = {}
    human = view.reading.human
    for point in view.findings.frontier:
        points = planes.setdefault((point.diversity_metric, point.quality_metric), [])
        if human is None or point.name not in (human.name, human.label):
            points.append(point)
    metric = view.reading.metric
    return [(metric(x), metric(y), points) for (x, y), points in planes.items() if len(points) > 1]


def people_point(view: View, x: Metric, y: Metric) -> tuple[float | None, float | None]:
    """People's place in a quality-diversity plane."""
    diversity, quality = view.people(x), view.people(y)
    human = view.reading.human
    for point in view.findings.frontier:
        if human and point.name in (human.name, human.label):
            if point.diversity_metric == x.key and diversity is None:
                return point.diversity, quality.value if quality else point.quality.value
            if (point.diversity_metric, point.quality_metric) == (x.key, y.key) and quality is None and diversity:
                return diversity.value, point.quality.value
    return diversity.value if diversity else None, quality.value if quality else None


def frontier_charts(view: View) -> Html | None:
    """One figure a plane, with a legend of models and people."""
    words = view.words
    figures = []
    for x, y, points in frontiers(view):
        turned = y.better == "lower"
        remark = {"lower": f"{words.lower}, {words.axis_turned}: {words.better_up}", "higher": words.better_up}
        titles = (
            words.name(x),
            words.name(y) + words.bracket.format(remark.get(y.better or "", words.direction(y)[1])),
        )
        people = people_point(view, x, y)
        plot = frontier_plot(points, view.model_label, titles, turned=turned, people=people)
        legend = [view.model_label(name) for name in dict.fromkeys(point.name for point in points)]
        if people != (None, None):
            legend.append(Labelled(words.human_line, 0, human=True))
        caption = words.name(y) + " / " + words.name(x)
        figures.append(tag("figure", tag("figcaption", caption), tag("div", plot, class_="scroll"), _legend(legend)))
    if not figures:
        return None
    heading = tag("h2", words.frontier)
    return tag(
        "section",
        heading,
        tag("p", words.frontier_note, class_="note"),
        *figures,
        id=f"frontier-{view.findings.language}",
    )


def curve_charts(view: View, metric: Metric) -> Html | None:
    """The curves of a metric."""
    words = view.words
    curves = [one for one in view.findings.curves if one.metric == metric.key and one.values]
    if not curves:
        return None
    ends = (words.position, words.start, words.end)
    plot = curve_plot(curves, view.label, words.name(metric), ends, view.reading.decimals(metric.key))
    caption = tag("figcaption", words.name(metric) + words.colon + words.curves)
    return tag("figure", caption, tag("p", words.curves_note, class_="note"), tag("div", plot, class_="scroll"))


def heat_charts(view: View, heat: HeatMap) -> Html | None:
    """A heat map with its scale, and the prompts where systems lie furthest apart."""
    if not heat.prompts or not heat.systems:
        return None
    words, metric = view.words, view.reading.metric(heat.metric)
    places = max(2, view.reading.decimals(heat.metric))
    low, high = heat_scale(heat)
    steps = [tag("span", class_=f"h{step}") for step in range(9)]
    scale = tag("p", number(low, places), tag("span", *steps, class_="steps"), number(high, places), class_="scale")
    head = tag("tr", tag("th", "#", class_="num"), tag("th", words.prompt),
               *(tag("th", view.name(label), class_="num") for label in heat.systems))  # fmt: skip
    rows = [
        tag("tr", tag("td", str(place + 1), class_="num"), tag("td", heat.prompts[place]),
            *(tag("td", number(value, places), class_="num") for value in heat.values[place]))
        for place in widest(heat)
    ]  # fmt: skip
    table = tag("table", tag("caption", words.widest), tag("thead", head), tag("tbody", *rows))
    return tag(
        "figure",
        tag("figcaption", words.name(metric) + words.colon + words.heat_map),
        tag("p", words.heat_map_note, class_="note"),
        tag("div", heat_plot(heat, view.label, words.name(metric), places), class_="scroll"),
        scale,
        tag("div", table, class_="scroll") if rows else None,
    )


def widest(heat: HeatMap) -> list[int]:
    """The prompts (their places) where the systems' values lie furthest apart, widest first."""

    def spread(place: int) -> float:
        known = [value for value in heat.values[place] if value is not None]
        return max(known) - min(known) if len(known) > 1 else 0.0

    return [place for place in sorted(range(len(heat.prompts)), key=lambda p: -spread(p)) if spread(place) > 0][:WIDEST]


def _legend(labels: list[Labelled]) -> Html:
    items = []
    for label in labels:
        line = tag("line", class_="people" if label.human else "line", x1=0, x2=28, y1=8, y2=8)
        mark = None if label.human else marker(label, 14, 8, 4.5)
        swatch = tag("svg", line, mark, class_=f"swatch {series_class(label)}", width=28, height=16, aria_hidden="true")
        items.append(tag("li", swatch, label.name))
    return tag("ul", join(*items), class_="legend")
