"""The last page of a report in HTML: how it was made, what each figure means, and what could not be computed."""

from __future__ import annotations

import json
from typing import Any

from storyteller.evaluate.report.markup import Html, join, tag
from storyteller.evaluate.report.numbers import number
from storyteller.evaluate.report.view import View

__all__ = ["last_page", "setting_text"]


def last_page(view: View) -> Html:
    """Systems, settings, meanings and blind spots, notes, reasons for missing figures, times, and the rules of page one."""
    words = view.words
    return tag(
        "section",
        tag("h2", words.last_page),
        tag("h3", words.systems),
        _systems(view),
        tag("h3", words.settings),
        _settings(view.findings.settings),
        tag("h3", words.meanings),
        _meanings(view),
        *_titled(words.notes, [tag("li", note) for note in view.findings.notes]),
        *_missing(view),
        *_titled(words.rules_heading, [tag("li", rule) for rule in words.rules]),
        *_seconds(view),
        class_="last",
        id=f"last-{view.findings.language}",
    )


def setting_text(value: Any) -> str:
    """A setting as text: plain things as they are, the rest as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(str(item) for item in value)
    return json.dumps(value, ensure_ascii=False, default=str)


def _titled(heading: str, items: list[Html]) -> list[Html]:
    return [tag("h3", heading), tag("ul", *items)] if items else []


def _table(heads: list[tuple[str, str | None]], rows: list[Html]) -> Html:
    head = tag("tr", *(tag("th", text, class_=style) for text, style in heads))
    return tag("div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="scroll")


def _systems(view: View) -> Html:
    words = view.words
    rows = [
        tag("tr", tag("th", view.name(one), scope="row"), tag("td", words.kinds[one.kind]),
            tag("td", "–" if one.temperature is None else f"{one.temperature:g}", class_="num"),
            tag("td", number(one.texts, 0), class_="num"), tag("td", number(one.median_words, 0), class_="num"))
        for one in view.reading.ordered
    ]  # fmt: skip
    heads = [
        (words.system, None),
        (words.kind, None),
        (words.temperature, "num"),
        (words.texts, "num"),
        (words.median_words, "num"),
    ]
    return _table(heads, rows)


def _settings(settings: dict[str, Any]) -> Html:
    items = []
    for key, value in settings.items():
        inside = value.items() if isinstance(value, dict) else [(None, value)]
        told = []
        for name, one in inside:
            text = tag("code", setting_text(one)) if "command" in key else setting_text(one)
            told.append(tag("div", None if name is None else tag("span", f"{name}: ", class_="key"), text))
        items.append(join(tag("dt", key), tag("dd", *told)))
    return tag("dl", *items)


def _meanings(view: View) -> Html:
    words = view.words
    rows = [
        tag("tr", tag("th", words.name(metric), scope="row"), tag("td", words.direction(metric)[1]),
            tag("td", words.meaning_of(metric)), tag("td", words.blind_spot_of(metric)))
        for metric in view.findings.metrics
    ]  # fmt: skip
    return _table([(text, None) for text in (words.metric, words.better, words.meaning, words.blind_spot)], rows)


def _missing(view: View) -> list[Html]:
    """Figures without a value, those of one metric and reason together."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for figure in view.findings.figures:
        if figure.interval is None:
            reasons.setdefault((figure.metric, figure.why), []).append(view.name(figure.system))
    if not reasons:
        return []
    words = view.words
    rows = [
        tag("tr", tag("th", words.name(view.reading.metric(metric)), scope="row"),
            tag("td", ", ".join(systems)), tag("td", why or "–"))
        for (metric, why), systems in reasons.items()
    ]  # fmt: skip
    return [
        tag("h3", words.not_computed),
        _table([(words.metric, None), (words.systems, None), (words.why, None)], rows),
    ]


def _seconds(view: View) -> list[Html]:
    if not view.findings.seconds:
        return []
    rows = [tag("tr", tag("td", part), tag("td", number(seconds, 1), class_="num"))
            for part, seconds in view.findings.seconds.items()]  # fmt: skip
    return [tag("h3", view.words.seconds), _table([(view.words.part, None), ("s", "num")], rows)]
