"""`report.html`: one file with everything in it, read by a writer from the front and by a reviewer from the back.

No script, no font, no image from elsewhere: the page asks for nothing. Plots are SVG whose text stays text.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from storyteller.evaluate.findings import Findings, Sample
from storyteller.evaluate.report.appendix import last_page
from storyteller.evaluate.report.charts import frontier_charts, frontiers
from storyteller.evaluate.report.groups import NOTES, gate_table, group_sections
from storyteller.evaluate.report.markup import Html, join, tag
from storyteller.evaluate.report.reading import GROUPS
from storyteller.evaluate.report.sentences import gate_sentence, lede, sentences, verdict
from storyteller.evaluate.report.view import ReportLanguage, View

__all__ = ["render_html"]


def render_html(findings: Sequence[Findings], language: ReportLanguage = "en") -> str:
    """The report of one evaluation as a page; one part for each language that was evaluated."""
    views = [View.of(one, language) for one in findings]
    words = View.of(Findings("en", {}, (), (), ()), language).words
    style = resources.files(__package__).joinpath("report.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", words.title),
        tag("style", Html(style)),
    )
    header = tag("header", tag("p", words.subtitle, class_="over"), tag("h1", words.title))
    body = tag("body", header, *(_article(view, many=len(views) > 1) for view in views),
               tag("footer", tag("p", words.made_by)))  # fmt: skip
    return "<!doctype html>\n" + tag("html", head, body, lang="zh-Hans" if language == "zh" else "en") + "\n"


def _article(view: View, many: bool) -> Html:
    language = view.findings.language
    heading = tag("h2", view.words.languages.get(language, language), class_="language") if many else None
    return tag(
        "article",
        heading,
        _first_page(view),
        _contents(view),
        frontier_charts(view),
        *group_sections(view),
        gate_table(view),
        last_page(view),
        id=f"stories-{language}",
    )


def _first_page(view: View) -> Html:
    words = view.words
    found = tag("ul", *(tag("li", one) for one in sentences(view.reading, words)), class_="found")
    return tag(
        "section",
        tag("p", lede(view.reading, words), class_="lede"),
        _refusals(view),
        tag("h2", words.what_we_found),
        found,
        *(tag("p", note, class_="note") for note in view.findings.notes[:NOTES]),
        _glance(view),
        _samples(view),
        class_="first",
        id=f"first-{view.findings.language}",
    )


def _refusals(view: View) -> Html | None:
    told = [tag("p", gate_sentence(gate, view.words)) for gate in view.reading.gates_told]
    if not told:
        return None
    return tag("aside", tag("h2", view.words.refused_heading), *told, class_="refused", role="note")


def _glance(view: View) -> Html | None:
    """The table of the first page: a question a row, its main figure for people and for the models."""
    words, systems = view.words, view.reading.at_a_glance
    rows = []
    for group in GROUPS:
        main = view.reading.main(group)
        if main is None:
            continue
        cells = []
        for system in systems:
            value, interval = view.split_value(main, system)
            cells.append(
                tag("td", tag("b", value), " ", tag("small", interval), class_="num", data_label=view.name(system))
            )
        measured = tag("small", f"{words.name(main)} {words.direction(main)[0]} {words.direction(main)[1]}")
        question = tag("th", words.groups[group].question, tag("br"), measured, scope="row")
        rows.append(
            tag("tr", question, *cells, tag("td", verdict(view.reading, words, group), data_label=words.verdict))
        )
    if not rows:
        return None
    head = tag("tr", tag("th", words.question), *(tag("th", view.name(one), class_="num") for one in systems),
               tag("th", words.verdict))  # fmt: skip
    rest = len(view.findings.systems) - len(systems)
    left = words.glance_rest.format(shown=len(systems), all=len(view.findings.systems)) if rest else None
    return join(
        tag("h2", words.at_a_glance),
        tag("div", tag("table", tag("thead", head), tag("tbody", *rows), class_="glance"), class_="scroll"),
        tag("p", words.glance_note, " " if left else None, left, class_="note"),
    )


def _samples(view: View) -> Html | None:
    samples, words = view.findings.samples, view.words
    if not samples:
        return None
    rest = None
    if len(samples) > 1:
        inside = [tag("div", _sample(view, sample, opened=False), class_="sample") for sample in samples[1:]]
        rest = tag("details", tag("summary", words.more_samples.format(n=len(samples) - 1)), *inside, class_="more")
    return join(
        tag("h2", words.sample),
        tag("p", words.sample_note, class_="note"),
        tag("div", _sample(view, samples[0], opened=True), class_="sample"),
        rest,
    )


def _sample(view: View, sample: Sample, opened: bool) -> Html:
    """A prompt and its answers; those of the first page's table stand open there."""
    language = view.findings.language
    shown = {one.label for one in view.reading.at_a_glance[:3]}
    prompt = tag("blockquote", tag("p", sample.prompt, class_="story"), dir="auto", lang=language)
    answers = [
        tag("details", tag("summary", view.name(label)), tag("p", text, class_="story", dir="auto", lang=language),
            open=opened and label in shown)
        for label, text in sample.answers.items()
    ]  # fmt: skip
    return join(tag("p", view.words.prompt, class_="over"), prompt, *answers)


def _contents(view: View) -> Html:
    words, language = view.words, view.findings.language
    links = [tag("a", words.frontier, href=f"#frontier-{language}")] if frontiers(view) else []
    links += [
        tag("a", words.groups[group].heading, href=f"#{group}-{language}")
        for group in GROUPS
        if view.reading.of_group(group)
    ]
    if view.findings.gates:
        links.append(tag("a", words.gates, href=f"#gates-{language}"))
    links.append(tag("a", words.last_page, href=f"#last-{language}"))
    return tag("nav", *links, aria_label=words.contents)
