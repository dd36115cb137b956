"""The middle of a report in HTML: every group of metrics with intervals, comparisons, curves, heat maps and spans."""

from __future__ import annotations

from collections.abc import Iterable

from storyteller.evaluate.findings import Comparison, Group, Metric, System
from storyteller.evaluate.report.charts import curve_charts, heat_charts
from storyteller.evaluate.report.markup import Html, join, tag
from storyteller.evaluate.report.numbers import number, p_value, with_interval
from storyteller.evaluate.report.plots import Axis, Labelled, strip
from storyteller.evaluate.report.reading import GROUPS
from storyteller.evaluate.report.view import View

__all__ = ["COPIES", "NOTES", "PHRASES", "gate_table", "group_sections"]

PHRASES, COPIES = 8, 8
"""Over-used phrases and copied spans told of each system, and of all."""

NOTES = 3
"""Notes that stand on the first page already."""


def group_sections(view: View) -> list[Html]:
    """A section for each group that has figures."""
    return [_section(view, group) for group in GROUPS if view.reading.of_group(group)]


def _section(view: View, group: Group) -> Html:
    words = view.words.groups[group]
    metrics = view.reading.of_group(group)
    shown = {metric.key for metric in metrics}
    heat_maps = [heat_charts(view, heat) for heat in view.findings.heat_maps if heat.metric in shown]
    degeneration = [_phrases(view), _copied(view)] if group == "degeneration" else []
    return tag(
        "section",
        tag("h2", words.heading),
        tag("p", words.question, class_="question"),
        tag("p", view.words.interval_note, class_="note"),
        tag("div", *(_card(view, metric) for metric in metrics), class_="cards"),
        _comparisons(view, group),
        *(curve_charts(view, metric) for metric in metrics),
        *heat_maps,
        *degeneration,
        id=f"{group}-{view.findings.language}",
    )


def _card(view: View, metric: Metric) -> Html:
    """A metric: one row a system, with the value, its interval, and the interval drawn on a scale common to all."""
    words = view.words
    mark, way = words.direction(metric)
    intervals = [figure.interval for one in view.reading.ordered
                 if (figure := view.reading.figure(metric, one)) and figure.interval]  # fmt: skip
    ends = [end for one in intervals for end in (one.value, one.low, one.high) if end is not None]
    axis = Axis.over(ends, 0, 1)
    rows = [_row(view, metric, system, axis) for system in view.reading.ordered]
    caption = tag("caption", tag("b", words.name(metric)), " ",
                  tag("span", f"{mark} {way}", class_="way"), tag("small", words.meaning_of(metric)))  # fmt: skip
    return tag("table", caption, tag("tbody", *rows), class_="card")


def _row(view: View, metric: Metric, system: System, axis: Axis) -> Html | None:
    figure = view.reading.figure(metric, system)
    if figure is None:
        return None
    name = tag("th", view.name(system), scope="row")
    if figure.interval is None:
        return tag("tr", name, tag("td", "– ", tag("small", figure.why), colspan=2, class_="why"))
    value, interval = view.split_value(metric, system)
    drawn = strip(figure.interval, axis.low, axis.high, view.label(system.label), view.people(metric))
    cells = (tag("td", drawn, class_="drawn"), tag("td", tag("b", value), tag("small", interval), class_="num"))
    return tag("tr", name, *cells, class_="people-row" if system.kind == "human" else system.kind)


def _comparisons(view: View, group: Group) -> Html | None:
    """The comparisons of a group, folded away where they are many."""
    ours = view.reading.comparisons(group)
    if not ours:
        return None
    words = view.words
    seen = sum(view.reading.outcome(one) != "unseen" for one in ours)
    heads = (words.metric, words.system, words.difference, "", words.p, words.p_holm, words.reading)
    head = tag("tr", *(tag("th", text, class_="num" if text in (words.p, words.p_holm) else None) for text in heads))
    reach = {key: _reach(one for one in ours if one.metric == key) for key in dict.fromkeys(one.metric for one in ours)}
    rows = [_comparison(view, one, reach[one.metric]) for one in ours]
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="comparisons")
    summary = tag("summary", words.comparisons_summary.format(n=len(ours), k=seen))
    return tag("details", summary, tag("div", table, class_="scroll"), open=len(ours) <= 16)


def _reach(comparisons: Iterable[Comparison]) -> float:
    """The furthest that any interval of a metric's comparisons reaches from zero."""
    ends = [abs(end) for one in comparisons
            for end in (one.difference.value, one.difference.low, one.difference.high) if end is not None]  # fmt: skip
    return max(ends, default=0.0) * 1.05 or 1.0


def _comparison(view: View, one: Comparison, reach: float) -> Html:
    places = view.reading.decimals(one.metric)
    drawn = strip(one.difference, -reach, reach, Labelled("", 0), None)
    seen = view.reading.outcome(one) != "unseen"
    return tag(
        "tr",
        tag("td", view.metric_name(one.metric)),
        tag("td", view.name(one.b), " ", tag("span", "−", class_="minus"), " ", view.name(one.a)),
        tag("td", with_interval(one.difference, places, signed=True), class_="num left"),
        tag("td", drawn, class_="drawn zero"),
        tag("td", p_value(one.p), class_="num"),
        tag("td", p_value(one.p_holm), class_="num"),
        tag("td", view.outcome(one)),
        class_="seen" if seen else None,
    )


def gate_table(view: View) -> Html | None:
    """How well judges that see only a short cut tell each system from people."""
    words = view.words
    if not view.findings.gates:
        return None
    rows = []
    for gate in view.reading.gates:
        state = words.gates_states[view.reading.gate_state(gate)]
        rows.append(
            tag(
                "tr",
                tag("th", view.name(gate.system), scope="row"),
                tag("td", words.probes.get(gate.probe, gate.probe)),
                tag("td", with_interval(gate.auc, 3), class_="num"),
                tag("td", number(gate.bound, 2), class_="num"),
                tag("td", ("✓ " if gate.passed else "✗ ") + state),
                class_=view.reading.gate_state(gate),
            )
        )
    head = tag("tr", tag("th", words.system), tag("th", words.probe), tag("th", "AUC", class_="num"),
               tag("th", words.bound, class_="num"), tag("th", ""))  # fmt: skip
    table = tag("table", tag("thead", head), tag("tbody", *rows))
    return tag(
        "section",
        tag("h2", words.gates),
        tag("p", words.gates_note, class_="note"),
        tag("div", table, class_="scroll"),
        id=f"gates-{view.findings.language}",
    )


def _phrases(view: View) -> Html | None:
    words, language = view.words, view.findings.language
    if not view.findings.phrases:
        return None
    tables = []
    for system in dict.fromkeys(phrase.system for phrase in view.findings.phrases):
        ours = [phrase for phrase in view.findings.phrases if phrase.system == system]
        rows = [
            tag("tr", tag("td", tag("q", one.phrase, lang=language, dir="auto")),
                tag("td", number(100 * one.share, 1), class_="num"), tag("td", number(100 * one.human_share, 1), class_="num"))
            for one in ours[:PHRASES]
        ]  # fmt: skip
        if len(ours) > PHRASES:
            rows.append(tag("tr", tag("td", words.left_out.format(n=len(ours) - PHRASES), colspan=3, class_="why")))
        head = tag("tr", tag("th", words.phrase), tag("th", words.share, class_="num"),
                   tag("th", words.human_share, class_="num"))  # fmt: skip
        caption = tag("caption", tag("b", view.name(system)))
        tables.append(tag("table", caption, tag("thead", head), tag("tbody", *rows), class_="card"))
    return join(
        tag("h3", words.phrases), tag("p", words.phrases_note, class_="note"), tag("div", *tables, class_="cards")
    )


def _copied(view: View) -> Html | None:
    words, language = view.words, view.findings.language
    spans = view.reading.copied
    if not spans:
        return None
    items = [
        tag(
            "li",
            tag("q", one.span, lang=language, dir="auto", class_="story"),
            tag(
                "small",
                f"{one.tokens} {words.length_in_words} · {view.name(one.system)} · {words.source}{words.colon}{one.source}",
            ),
        )
        for one in spans[:COPIES]
    ]
    left = tag("li", words.left_out.format(n=len(spans) - COPIES), class_="why") if len(spans) > COPIES else None
    return join(
        tag("h3", words.copied), tag("p", words.copied_note, class_="note"), tag("ul", *items, left, class_="copied")
    )
