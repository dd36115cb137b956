"""What a report says in its own words, in `english` and `chinese`; the type sees to it that both say all."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from storyteller.evaluate.findings import Group, Metric

__all__ = ["GroupWords", "Wording"]

_ZH_THEN_LATIN = re.compile("(?<=[\u4e00-\u9fff])(?=[A-Za-z0-9])|(?<=[A-Za-z0-9])(?=[\u4e00-\u9fff])")


@dataclass(frozen=True)
class GroupWords:
    """A group of metrics: its heading, and the question that it answers, for a writer."""

    heading: str
    question: str


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The fixed strings of a report; `{names}` in braces are filled in by `str.format`."""

    code: str
    title: str
    subtitle: str
    languages: dict[str, str]
    groups: dict[Group, GroupWords]
    space: str
    colon: str
    full_stop: str
    comma: str
    semicolon: str
    last_and: str
    bracket: str

    # The first page.
    compared: str
    one_system: str
    beside_people: str
    with_faults: str
    no_people: str
    what_we_found: str
    refused_heading: str
    refused: str
    overridden: str
    probes: dict[str, str]
    does_better: str
    does_worse: str
    better_and_worse: str
    differ_only: str
    differ_also: str
    nothing_seen_in: str
    and_more: str
    others_unseen: str
    at_equal: str
    judged: str
    judged_beside: str
    nothing_seen: str
    differs_from_people: str
    most_in: str
    beside: str
    as_people: str
    not_tested: str
    power: str
    nothing_to_claim: str
    at_a_glance: str
    glance_note: str
    glance_rest: str
    question: str
    measured_by: str
    people: str
    fault_of: str
    verdict: str
    verdict_better: str
    verdict_nearer: str
    verdict_differ: str
    verdict_none: str
    verdict_of: str
    verdict_some: str
    verdict_unlike: str
    verdict_alike: str
    verdict_untested: str
    sample: str
    sample_note: str
    prompt: str
    more_samples: str

    # The groups.
    contents: str
    higher: str
    lower: str
    human: str
    neither: str
    metric: str
    system: str
    interval_note: str
    comparisons: str
    comparisons_summary: str
    difference: str
    p: str
    p_holm: str
    reading: str
    gates: str
    gates_note: str
    probe: str
    bound: str
    gates_states: dict[str, str]
    frontier: str
    frontier_note: str
    temperature: str
    better_up: str
    axis_turned: str
    human_line: str
    curves: str
    curves_note: str
    position: str
    start: str
    end: str
    heat_map: str
    heat_map_note: str
    widest: str
    phrases: str
    phrases_note: str
    phrase: str
    share: str
    human_share: str
    copied: str
    copied_note: str
    length_in_words: str
    source: str
    left_out: str

    # The last page.
    last_page: str
    systems: str
    kind: str
    kinds: dict[str, str]
    texts: str
    median_words: str
    settings: str
    meanings: str
    meaning: str
    blind_spot: str
    better: str
    notes: str
    not_computed: str
    why: str
    seconds: str
    part: str
    rules_heading: str
    rules: tuple[str, ...]
    made_by: str

    plain: dict[str, str] = field(default_factory=dict)
    """By metric key: how a share of stories is said in a sentence, of 100 by the system and by people."""
    metrics: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """By metric key: name, meaning and blind spot where they are not said as the findings have them."""

    def name(self, metric: Metric) -> str:
        """The metric's name in this language, where it has one."""
        return self.metrics.get(metric.key, (metric.name,))[0]

    def meaning_of(self, metric: Metric) -> str:
        """One sentence that says what is measured."""
        known = self.metrics.get(metric.key)
        return known[1] if known else metric.meaning

    def blind_spot_of(self, metric: Metric) -> str:
        """One sentence that says what the metric does not see."""
        known = self.metrics.get(metric.key)
        return known[2] if known else metric.blind_spot

    def spaced(self, sentence: str) -> str:
        """The sentence with a space between Chinese characters and Latin letters or digits, as print has it."""
        return _ZH_THEN_LATIN.sub(" ", sentence) if self.code == "zh" else sentence

    def listed(self, items: list[str]) -> str:
        """`a, b and c`."""
        if len(items) < 2:
            return "".join(items)
        return self.comma.join(items[:-1]) + self.last_and + items[-1]

    def direction(self, metric: Metric) -> tuple[str, str]:
        """A mark and the words for the good way of a metric."""
        marks = {"higher": ("↑", self.higher), "lower": ("↓", self.lower), "human": ("≈", self.human)}
        return marks.get(metric.better or "", ("·", self.neither))
