import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from tests.evaluate.report.findings import small

from storyteller.evaluate.report import render_markdown
from storyteller.evaluate.report.markdown import cell, fenced
from storyteller.evaluate.report.markup import plain

GOLDEN = pathlib.Path(__file__).with_name("small.md")
NASTY = st.text(
    st.sampled_from("`~|\\<>&*_[]()#!-+=:@./1. \n\r\t$\u202e\x00人aw") | st.characters(codec="utf-8"), max_size=60
)


def inline(text: str) -> str:
    """What a reader of Markdown sees of one line."""
    (paragraph,) = [token for token in MarkdownIt().enable("table").parse(text) if token.type == "inline"]
    assert all(child.type in ("text", "text_special") for child in paragraph.children), paragraph.children
    return "".join(child.content for child in paragraph.children)


def test_the_report_reads_as_it_did():
    assert render_markdown([small()]) == GOLDEN.read_text(encoding="utf-8")


@given(NASTY)
def test_text_in_a_line_stays_text(text):
    expected = " ".join(plain(text).split())
    if expected:
        assert inline(cell(text)) == expected
        assert len(MarkdownIt().enable("table").parse(cell(text))) == 3  # one paragraph, nothing else


@given(NASTY)
def test_a_fence_holds_any_text(text):
    tokens = MarkdownIt().parse(fenced(text) + "\n\nafter")
    assert [token.type for token in tokens][:2] == ["fence", "paragraph_open"]
    # CommonMark itself replaces NUL, and a report does the same for other characters that no file should hold.
    assert tokens[0].content == plain(text) + "\n"


@settings(deadline=None, max_examples=20)
@given(NASTY)
def test_hostile_text_makes_no_markup_anywhere(text):
    markdown = render_markdown([small((text or "x", "tuned"), said=text)])
    tokens = MarkdownIt().enable("table").parse(markdown)
    kinds = {token.type for token in tokens}
    children = {child.type for token in tokens for child in token.children or ()}
    assert not kinds & {"html_block", "code_block"}
    assert not children & {"html_inline", "link_open", "image", "code_inline"}


@pytest.mark.parametrize("names", [("only",), tuple(f"m{i}" for i in range(12))])
@pytest.mark.parametrize("human", [True, False])
def test_every_table_has_as_many_cells_as_heads(names, human):
    markdown = render_markdown([small(names, human=human)])
    widths = [line.count(" | ") for line in markdown.splitlines() if line.startswith("| ")]
    rules = [i for i, line in enumerate(markdown.splitlines()) if line.startswith("| ---")]
    assert rules
    assert len(widths) > 10
    tables = [token for token in MarkdownIt().enable("table").parse(markdown) if token.type == "table_open"]
    assert len(tables) == len(rules)


def test_a_chinese_report_is_chinese():
    markdown = render_markdown([small(language="zh", said="他什么也没说。")], "zh")
    for words in ("主要发现", "词语评判器", "他什么也没说。", "看不出差别", "供审阅者"):
        assert words in markdown
    assert "What was found" not in markdown


def test_two_languages_stand_one_after_the_other():
    markdown = render_markdown([small(), small(language="zh")])
    assert markdown.index("# English") < markdown.index("# Chinese")
