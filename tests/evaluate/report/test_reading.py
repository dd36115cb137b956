from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evaluate.report.findings import interval, small

from storyteller.evaluate.bootstrap import Interval
from storyteller.evaluate.findings import Comparison
from storyteller.evaluate.report.chinese import CHINESE
from storyteller.evaluate.report.english import ENGLISH
from storyteller.evaluate.report.numbers import decimals, number, p_value, with_interval
from storyteller.evaluate.report.plots import Axis, ticks
from storyteller.evaluate.report.reading import Reading
from storyteller.evaluate.report.sentences import lede, sentences, verdict


def said(findings, words=ENGLISH):
    return " ".join(sentences(Reading(findings), words))


def test_a_difference_is_named_only_below_the_corrected_level():
    assert "tuned @0.8 does better than base @0.8 in judge of words (AUC), distinct-2 and loops." in said(small())
    unseen = tuple(replace(one, p_holm=0.05) for one in small().comparisons)
    told = said(replace(small(), comparisons=unseen))
    assert "better" not in told
    assert "No difference between base @0.8 and tuned @0.8 could be seen in any of 4 figures." in told
    assert "could not be told from people by any of 3 figures" in told


def test_shares_are_told_in_stories_and_judges_in_pairs():
    told = said(small())
    assert "stories that loop (10 of 100, people's 0 of 100)" in told
    assert "in 80 of 100 pairs [78, 82] beside base @0.8; in 70 of 100 pairs [68, 72] beside tuned @0.8" in told


def test_what_could_have_been_seen_is_said():
    assert "80 works can show a difference of about 0.043 in judge of words (AUC)" in said(small())


@pytest.mark.parametrize(
    ("metric", "value", "people", "outcome"),
    [
        ("loops", -0.1, 0.0, "better"),
        ("loops", 0.1, 0.0, "worse"),
        ("distinct_2", 0.1, 0.65, "better"),
        ("distinct_2", 0.1, 0.30, "worse"),
        ("distinct_2", 0.1, 0.50, "differ"),
        ("flesch_kincaid", 0.1, 6.8, "differ"),
    ],
)
def test_better_follows_the_way_of_the_metric(metric, value, people, outcome):
    findings = small()
    figures = tuple(
        replace(one, interval=interval(people, 0.01)) if (one.metric, one.system) == (metric, "human") else one
        for one in findings.figures
    )
    comparison = Comparison(metric, "base @0.8", "tuned @0.8", interval(value, 0.02), 0.001, 0.01)
    assert Reading(replace(findings, figures=figures)).outcome(comparison) == outcome
    assert Reading(findings).outcome(replace(comparison, p_holm=float("nan"))) == "unseen"


def test_nearer_to_people_is_not_said_without_people():
    findings = small(human=False)
    assert Reading(findings).outcome(next(c for c in findings.comparisons if c.metric == "distinct_2")) == "differ"
    assert "nothing here says how near" in lede(Reading(findings), ENGLISH)


def test_whole_frontiers_come_first():
    frontiers = Comparison("auc_word at equal distinct_2", "base", "tuned", interval(-0.03, 0.01), 0.001, 0.002)
    findings = replace(small(), comparisons=(*small().comparisons, frontiers))
    assert sentences(Reading(findings), ENGLISH)[0] == (
        "tuned does better than base in judge of words (AUC) at equal distinct-2."
    )
    assert frontiers in Reading(findings).comparisons("realism")


def test_at_most_six_sentences_and_five_systems_for_twelve_models():
    reading = Reading(small(tuple(f"m{i}" for i in range(12))))
    for words in (ENGLISH, CHINESE):
        assert 3 <= len(sentences(reading, words)) <= 6
    assert len(reading.at_a_glance) == 5
    assert verdict(reading, ENGLISH, "realism") == "66 of 66 comparisons differ"


@pytest.mark.parametrize("words", [ENGLISH, CHINESE])
def test_one_system_alone(words):
    findings = small(("only",), human=False)
    assert words.not_tested in sentences(Reading(findings), words)
    assert verdict(Reading(findings), words, "realism") == words.verdict_untested
    assert "only @0.8" in lede(Reading(findings), words)


def test_both_languages_fill_the_same_places():
    import string

    def places(text):
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

    for field in fields(ENGLISH):
        english, chinese = getattr(ENGLISH, field.name), getattr(CHINESE, field.name)
        if isinstance(english, str) and field.name not in ("code", "space"):
            assert chinese, field.name
            assert places(english) >= places(chinese), field.name
        elif isinstance(english, dict) and field.name != "metrics":
            assert english.keys() == chinese.keys(), field.name
    assert len(ENGLISH.rules) == len(CHINESE.rules)


def test_numbers_show_what_their_intervals_support():
    assert decimals([Interval(0.5, 0.4, 0.6, 9)]) == 2
    assert decimals([Interval(0.5, 0.48, 0.52, 9), None]) == 3
    assert decimals([Interval(200.0, 150.0, 250.0, 9)]) == 0
    assert decimals([]) == 3
    assert with_interval(Interval(-0.001, -0.1, 0.1, 9), 2) == "0.00 [−0.10, 0.10]"
    assert with_interval(Interval(0.1, None, None, 1), 2, signed=True) == "+0.10"
    assert number(12345.6, 0) == "12,346"
    assert number(float("nan"), 2) == "–"
    assert [p_value(p) for p in (0.0001, 0.0421, 0.5, 1.0)] == ["< .001", ".042", ".50", "1.00"]


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_round_few_and_inside(low, width):
    marks = ticks(low, low + width)
    assert 2 <= len(marks) <= 7
    assert all(low - width * 1e-3 <= mark <= low + width * 1.001 for mark in marks)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=5))
def test_an_axis_holds_its_values(values):
    import math

    axis = Axis.over(values, 0, 100)
    assert all(-0.01 <= axis(value) <= 100.01 for value in values if math.isfinite(value))
