"""`report.md`: the same report as text, for a terminal, a repository or a model card."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from storyteller.evaluate.findings import Comparison, Findings, Group, HeatMap, Metric, Sample
from storyteller.evaluate.report.appendix import setting_text
from storyteller.evaluate.report.charts import frontiers, people_point, widest
from storyteller.evaluate.report.groups import COPIES, NOTES, PHRASES
from storyteller.evaluate.report.markup import plain
from storyteller.evaluate.report.numbers import number, p_value, with_interval
from storyteller.evaluate.report.reading import GROUPS
from storyteller.evaluate.report.sentences import gate_sentence, lede, sentences, verdict
from storyteller.evaluate.report.view import ReportLanguage, View

__all__ = ["cell", "fenced", "render_markdown"]

_SPECIAL = re.compile(r"([\\`*_\[\]<>&|~$])")
_AT_START = re.compile(r"^(#|[-+](?=\s|$)|[-=](?=[-=\s]|$)|\d+(?=[.)](?:\s|$)))")
# Sites turn addresses into links by themselves, also where the letters are escaped; an entity stops them.
_LINKS = (
    (re.compile(r":(?=//)"), "&#58;"),
    (re.compile(r"(?i)(?<=www)\."), "&#46;"),
    (re.compile(r"(?<=\S)@(?=\S)"), "&#64;"),
)


def render_markdown(findings: Sequence[Findings], language: ReportLanguage = "en") -> str:
    """The report as Markdown with tables; one part for each language that was evaluated."""
    views = [View.of(one, language) for one in findings]
    words = View.of(Findings("en", {}, (), (), ()), language).words
    blocks = [f"# {words.title}"]
    for view in views:
        if len(views) > 1:
            blocks.append(f"# {words.languages.get(view.findings.language, cell(view.findings.language))}")
        blocks += _first_page(view)
        blocks += _frontier(view)
        for group in GROUPS:
            blocks += _group(view, group)
        blocks += _gates(view)
        blocks += _last_page(view)
    return "\n\n".join([*blocks, words.made_by]) + "\n"


def cell(text: str) -> str:
    """Text that stays text anywhere in a line of Markdown: special characters escaped, line ends as spaces."""
    line = " ".join(plain(text).split())
    escaped = _SPECIAL.sub(r"\\\1", line)
    for pattern, entity in _LINKS:
        escaped = pattern.sub(entity, escaped)
    return _AT_START.sub(lambda m: m[1] + "\\" if m[1].isdigit() else "\\" + m[1], escaped)


def fenced(text: str) -> str:
    """Text of any content between fences that are longer than any run of backticks in it."""
    text = plain(text)
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    return f"{fence}text\n{text}\n{fence}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """A table; the columns in `numbers` are set flush right. Cells are escaped here."""
    rule = ["---:" if place in numbers else "---" for place in range(len(heads))]
    lines = [[cell(head) or " " for head in heads], rule, *([cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _listed(items: Iterable[str]) -> str:
    return "\n".join(f"- {cell(item)}" for item in items)


def _first_page(view: View) -> list[str]:
    words, reading = view.words, view.reading
    blocks = [cell(lede(reading, words))]
    told = [cell(gate_sentence(gate, words)) for gate in reading.gates_told]
    if told:
        blocks.append("\n>\n".join(f"> {line}" for line in [f"**{words.refused_heading}**", *told]))
    blocks += [f"## {words.what_we_found}", _listed(sentences(reading, words))]
    blocks += [f"*{cell(note)}*" for note in view.findings.notes[:NOTES] if note.strip()]
    systems = reading.at_a_glance
    rows = [
        [f"{words.groups[group].question} {words.measured_by}{words.colon}{words.name(main)} {words.direction(main)[0]}",
         *(view.value(main, one) for one in systems), verdict(reading, words, group)]
        for group in GROUPS
        if (main := reading.main(group)) is not None
    ]  # fmt: skip
    if rows:
        heads = [words.question, *map(view.name, systems), words.verdict]
        blocks += [f"## {words.at_a_glance}", _table(heads, rows, range(1, len(systems) + 1)), cell(words.glance_note)]
        if len(systems) < len(view.findings.systems):
            blocks.append(cell(words.glance_rest.format(shown=len(systems), all=len(view.findings.systems))))
    if view.findings.samples:
        blocks += [f"## {words.sample}", cell(words.sample_note)]
        for sample in view.findings.samples:
            blocks += _sample(view, sample)
    return blocks


def _sample(view: View, sample: Sample) -> list[str]:
    blocks = [f"**{view.words.prompt}**", fenced(sample.prompt)]
    for label, text in sample.answers.items():
        blocks += [f"**{cell(view.name(label))}**", fenced(text)]
    return blocks


def _frontier(view: View) -> list[str]:
    words = view.words
    blocks = [f"## {words.frontier}", cell(words.frontier_note)] if frontiers(view) else []
    for x, y, points in frontiers(view):
        rows = [
            [point.name, "–" if point.temperature is None else f"{point.temperature:g}",
             number(point.diversity, 3), with_interval(point.quality, view.reading.decimals(y.key))]
            for point in points
        ]  # fmt: skip
        diversity, quality = people_point(view, x, y)
        if (diversity, quality) != (None, None):
            rows.append([words.people, "–", number(diversity, 3), number(quality, view.reading.decimals(y.key))])
        heads = [words.system, words.temperature, words.name(x), f"{words.name(y)} {words.direction(y)[0]}"]
        blocks.append(_table(heads, rows, (1, 2, 3)))
    return blocks


def _group(view: View, group: Group) -> list[str]:
    words, metrics = view.words, view.reading.of_group(group)
    if not metrics:
        return []
    systems = view.reading.ordered
    rows = [
        [f"{words.name(metric)} {words.direction(metric)[0]}", *(view.value(metric, one) for one in systems)]
        for metric in metrics
    ]
    marks = "; ".join(dict.fromkeys(" ".join(words.direction(metric)) for metric in metrics))
    blocks = [
        f"## {words.groups[group].heading}",
        f"*{words.groups[group].question}*",
        _table([words.metric, *map(view.name, systems)], rows, range(1, len(systems) + 1)),
        cell(marks),
    ]
    shown = {metric.key for metric in metrics}
    ours = view.reading.comparisons(group)
    if ours:
        seen = sum(view.reading.outcome(one) != "unseen" for one in ours)
        blocks += [
            f"### {words.comparisons}",
            cell(words.comparisons_summary.format(n=len(ours), k=seen)),
            _compared(view, ours),
        ]
    for metric in metrics:
        blocks += _curves(view, metric)
    for heat in view.findings.heat_maps:
        if heat.metric in shown:
            blocks += _heat(view, heat)
    return blocks + (_phrases(view) + _copied(view) if group == "degeneration" else [])


def _compared(view: View, comparisons: Sequence[Comparison]) -> str:
    words = view.words
    rows = [
        [view.metric_name(one.metric), f"{view.name(one.b)} − {view.name(one.a)}",
         with_interval(one.difference, view.reading.decimals(one.metric), signed=True),
         p_value(one.p), p_value(one.p_holm), view.outcome(one)]
        for one in comparisons
    ]  # fmt: skip
    return _table([words.metric, words.system, words.difference, words.p, words.p_holm, words.reading], rows, (2, 3, 4))


def _curves(view: View, metric: Metric) -> list[str]:
    curves = [one for one in view.findings.curves if one.metric == metric.key and one.values]
    if not curves:
        return []
    parts = max(len(one.values) for one in curves)
    places = view.reading.decimals(metric.key)
    rows = [[view.name(one.system), *(number(value, places) for value in one.values),
             *[""] * (parts - len(one.values))] for one in curves]  # fmt: skip
    heads = [view.words.system, *(str(part + 1) for part in range(parts))]
    return [
        f"### {cell(view.words.name(metric))}{view.words.colon}{view.words.curves}",
        _table(heads, rows, range(1, parts + 1)),
    ]


def _heat(view: View, heat: HeatMap) -> list[str]:
    rows = [[heat.prompts[place], *(number(value, max(2, view.reading.decimals(heat.metric))) for value in heat.values[place])]
            for place in widest(heat)]  # fmt: skip
    if not rows:
        return []
    heads = [view.words.prompt, *map(view.name, heat.systems)]
    title = f"### {cell(view.words.name(view.reading.metric(heat.metric)))}{view.words.colon}{view.words.widest}"
    return [title, _table(heads, rows, range(1, len(heads)))]


def _phrases(view: View) -> list[str]:
    words = view.words
    rows: list[list[str]] = []
    for system in dict.fromkeys(phrase.system for phrase in view.findings.phrases):
        ours = [phrase for phrase in view.findings.phrases if phrase.system == system][:PHRASES]
        rows += [
            [view.name(system), one.phrase, number(100 * one.share, 1), number(100 * one.human_share, 1)]
            for one in ours
        ]
    if not rows:
        return []
    heads = [words.system, words.phrase, words.share, words.human_share]
    return [f"### {words.phrases}", cell(words.phrases_note), _table(heads, rows, (2, 3))]


def _copied(view: View) -> list[str]:
    words = view.words
    spans = view.reading.copied[:COPIES]
    if not spans:
        return []
    blocks = [f"### {words.copied}", cell(words.copied_note)]
    for one in spans:
        where = f"{words.source}{words.colon}{one.source}"
        told = f"{view.name(one.system)}{words.colon}{one.tokens} {words.length_in_words}; {where}"
        blocks += [cell(told), fenced(one.span)]
    return blocks


def _gates(view: View) -> list[str]:
    words = view.words
    if not view.findings.gates:
        return []
    rows = []
    for gate in view.reading.gates:
        state = words.gates_states[view.reading.gate_state(gate)]
        probe = words.probes.get(gate.probe, gate.probe)
        rows.append([view.name(gate.system), probe, with_interval(gate.auc, 3), number(gate.bound, 2), state])
    heads = [words.system, words.probe, "AUC", words.bound, " "]
    return [f"## {words.gates}", cell(words.gates_note), _table(heads, rows, (2, 3))]


def _last_page(view: View) -> list[str]:
    words, findings = view.words, view.findings
    systems = [
        [view.name(one), words.kinds[one.kind], "–" if one.temperature is None else f"{one.temperature:g}",
         number(one.texts, 0), number(one.median_words, 0)]
        for one in view.reading.ordered
    ]  # fmt: skip
    heads = [words.system, words.kind, words.temperature, words.texts, words.median_words]
    blocks = [f"## {words.last_page}", f"### {words.systems}", _table(heads, systems, (2, 3, 4))]
    if findings.settings:
        settings = [f"{key}{words.colon}{setting_text(value)}" for key, value in findings.settings.items()]
        blocks += [f"### {words.settings}", _listed(settings)]
    if findings.metrics:
        meanings = [
            [words.name(m), words.direction(m)[1], words.meaning_of(m), words.blind_spot_of(m)]
            for m in findings.metrics
        ]
        blocks += [
            f"### {words.meanings}",
            _table([words.metric, words.better, words.meaning, words.blind_spot], meanings),
        ]
    if findings.notes:
        blocks += [f"### {words.notes}", _listed(findings.notes)]
    missing = [f"{words.name(view.reading.metric(one.metric))} ({view.name(one.system)}){words.colon}{one.why or '–'}"
               for one in findings.figures if one.interval is None]  # fmt: skip
    if missing:
        blocks += [f"### {words.not_computed}", _listed(missing)]
    blocks += [f"### {words.rules_heading}", _listed(words.rules)]
    if findings.seconds:
        seconds = [[part, number(value, 1)] for part, value in findings.seconds.items()]
        blocks += [f"### {words.seconds}", _table([words.part, "s"], seconds, (1,))]
    return blocks
