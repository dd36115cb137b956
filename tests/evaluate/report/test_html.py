import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.report.findings import METRICS, interval, small

from storyteller.evaluate.bootstrap import Interval
from storyteller.evaluate.findings import Comparison, Figure, Findings, Gate, HeatMap, read_findings
from storyteller.evaluate.report import render_html, render_markdown, write_reports
from storyteller.evaluate.report.markup import Html, plain, tag

VOID = {"br", "col", "hr", "meta"}


class Page(HTMLParser):
    """Checks that every element is closed where it should be, and keeps texts and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, name, attributes):
        self.seen.append(name)
        self.attributes += attributes
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)


def names(count: int) -> tuple[str, ...]:
    return tuple(f"model-{i}" for i in range(count))


@pytest.mark.parametrize("human", [True, False])
@pytest.mark.parametrize("compared", [True, False])
@pytest.mark.parametrize("models", [1, 2, 12])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_is_whole_and_asks_for_nothing(models, human, compared, language):
    findings = small(names(models), human=human, compared=compared)
    html = render_html([findings], language)
    page = Page(html)
    assert not set(page.seen) & {"script", "link", "img", "iframe", "object", "image", "use", "base"}
    for key, value in page.attributes:
        assert key not in ("src", "srcset", "style", "xlink:href")
        assert not key.startswith("on")
        assert key != "href" or value.startswith("#")
    assert not re.search(r"url\(|@import|https?://", html)
    assert {value for key, value in page.attributes if key == "id"} >= {
        value[1:] for key, value in page.attributes if key == "href"
    }
    for figure in findings.figures:
        if figure.interval:
            places = 3 if figure.metric != "flesch_kincaid" else 2
            assert f"{figure.interval.value:.{places}f}" in page.text
    for system in findings.systems:
        assert system.kind == "human" or system.label in page.text


def test_each_picture_and_each_answer_is_there():
    page = Page(render_html([small()]))
    assert page.seen.count("figure") == 3  # frontier, curves, heat map
    for words in ("Quality against diversity", "By the position in the story", "Prompt by prompt", "He said nothing."):
        assert words in page.text
    assert "text" in page.seen  # text stays text


@settings(deadline=None, max_examples=20)
@given(
    st.text(st.sampled_from("<>&\"'`/!-=\\;{}()%\x00\x1b\u202e\ud800人a ") | st.characters(), min_size=1, max_size=40)
)
def test_hostile_text_stays_text(text):
    findings = small((text, "tuned"), said=text)
    page = Page(render_html([findings]))
    assert set(page.seen) == set(Page(render_html([small()])).seen)
    shown = plain(text)
    assert page.text.count(shown) >= 3
    assert all(key in KEYS for key, _ in page.attributes)


KEYS = {key for key, _ in Page(render_html([small()])).attributes} | {"data-label"}


@pytest.mark.parametrize(
    "text",
    ["</style><script>alert(1)</script>", "<img src=x onerror=alert(1)>", '" onload="x', "<!--", "]]>", "&lt;", "</p>"],
)
def test_markup_in_a_story_is_shown_as_it_is(text):
    page = Page(render_html([small(said=text)]))
    assert text in page.text
    assert "script" not in page.seen


def test_attributes_are_escaped():
    assert tag("a", "x<y", Html("<b>z</b>"), None, href='"><', class_="k", hidden=True, id=None) == (
        '<a href="&quot;&gt;&lt;" class="k" hidden>x&lt;y<b>z</b></a>'
    )


@pytest.mark.parametrize("language", ["en", "zh"])
def test_missing_intervals_odd_numbers_and_nothing_at_all(language):
    odd = replace(
        small(),
        figures=(
            Figure("loops", "base @0.8", Interval(float("nan"), None, None, 1)),
            Figure("loops", "tuned @0.8", Interval(0.5, None, None, 1)),
            Figure("loops", "human", None, "too few texts"),
            Figure("nobody", "described", Interval(1e9, -1e9, float("inf"), 2)),
        ),
        comparisons=(Comparison("nobody", "x", "y", Interval(0.0, None, None, 1), 1.0, float("nan")),),
        heat_maps=(HeatMap("loops", ("p",), ("base @0.8",), ((None,),)), HeatMap("loops", (), (), ())),
    )
    empty = Findings("xx", {}, (), (), ())
    for findings in ([odd], [empty], [], [odd, empty]):
        Page(render_html(findings, language))
        assert render_markdown(findings, language)
    assert "too few texts" in Page(render_html([odd], language)).text


def test_a_refusal_stands_on_the_first_page_and_a_mended_one_does_not():
    failed = Gate("base @0.8", "length", interval(0.71, 0.02), 0.55, passed=False)
    mended = replace(small(), gates=(failed,))
    assert "Refused" not in Page(render_html([mended])).text
    figures = tuple(
        Figure(one.metric, one.system, None, "refused")
        if (one.metric, one.system) == ("auc_word", "base @0.8")
        else one
        for one in mended.figures
    )
    refused = Page(render_html([replace(mended, figures=figures)])).text
    assert refused.index("in 71 of 100 pairs (at most 55") < refused.index("What was found")
    passed = replace(mended, gates=(replace(failed, overridden=True),))
    assert "let pass on demand" in Page(render_html([passed])).text


def test_reports_are_written_together_and_read_again(tmp_path):
    findings = [small(), small(language="zh", said="他什么也没说。")]
    write_reports(findings, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json", "report.md"]
    assert read_findings(tmp_path / "report.json") == findings
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render_html(findings)


def test_the_metrics_of_the_tests_have_chinese_names():
    page = Page(render_html([small(language="zh")], "zh")).text
    assert not [metric.name for metric in METRICS if metric.key in ("auc_word", "loops") and metric.name in page]
