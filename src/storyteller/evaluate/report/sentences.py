"""The sentences of a report's first page, made from figures by the rules of `reading`."""

from __future__ import annotations

from storyteller.evaluate.bootstrap import Interval
from storyteller.evaluate.findings import Comparison, Gate, Group, Metric, System
from storyteller.evaluate.report.numbers import number, range_of
from storyteller.evaluate.report.reading import EQUAL, GROUPS, Reading, clearness
from storyteller.evaluate.report.wording import Wording

__all__ = ["display", "gate_sentence", "lede", "metric_name", "sentences", "verdict", "winner"]

TOLD = 2
"""Pairs of models, and models against people, that the first page tells of."""

MANY = 4
"""Metrics that a sentence names; of more, the three clearest."""


def display(system: System | str, reading: Reading, words: Wording) -> str:
    """The name of a system for readers; a label that no system has stands for itself."""
    if isinstance(system, str):
        found = next((one for one in reading.findings.systems if one.label == system), None)
        if found is None:
            return system
        system = found
    if system.kind == "human":
        return words.people
    if system.kind == "model":
        return system.label
    human = reading.human.label if reading.human else ""
    return words.fault_of.format(system.label.removeprefix(human).strip(" ,:+@-") or system.label)


def lede(reading: Reading, words: Wording) -> str:
    """What was compared, on how much."""
    names = list(dict.fromkeys(model.label for model in reading.models))
    if len(names) > 4:
        names = list(dict.fromkeys(model.name for model in reading.models))
    faults = any(one.kind == "fault" for one in reading.findings.systems)
    template = words.compared if len(names) > 1 else words.one_system
    told = template.format(
        systems=words.listed(names or [words.people]),
        prompts=number(reading.prompts, 0),
        language=words.languages.get(reading.findings.language, reading.findings.language),
        works=number(reading.works, 0),
        texts=number(sum(one.texts for one in reading.findings.systems), 0),
    )
    told = told[:1].upper() + told[1:] if not names else told
    beside = words.beside_people if names and reading.human else "" if reading.human else words.no_people
    return words.space.join(words.spaced(part) for part in (told, beside, words.with_faults if faults else "") if part)


def sentences(reading: Reading, words: Wording) -> list[str]:
    """Up to six findings: pairs of models, what judges tell, models against people, what could have been seen."""
    told: list[str | None] = [_pair(reading, words, *pair) for pair in reading.pairs()[:TOLD]]
    told += [_judged(reading, words), *(_against_people(reading, words, model) for model in _told_models(reading))]
    told.append(_power(reading, words))
    if not reading.findings.comparisons:
        told.append(words.not_tested if len(reading.findings.systems) < 2 else words.nothing_to_claim)
    return [words.spaced(sentence) for sentence in told if sentence]


def verdict(reading: Reading, words: Wording, group: Group) -> str:
    """What may be said of the models by the main figure of a group."""
    main = reading.main(group)
    ours = reading.between_models(one for one in reading.findings.comparisons if main and one.metric == main.key)
    if main is None:
        return words.verdict_untested
    if not ours:
        return _beside_people(reading, words, main)
    seen = [one for one in ours if reading.outcome(one) != "unseen"]
    if not seen:
        return words.verdict_none
    names = {model.label: model.name for model in reading.models}
    better = {names.get(label, label) if len(ours) > 1 else label for one in seen if (label := winner(reading, one))}
    if len(better) == 1 and all(winner(reading, one) for one in seen):
        told = words.verdict_nearer if main.better == "human" else words.verdict_better
        return told.format(better.pop()) + (words.verdict_of.format(k=len(seen), n=len(ours)) if len(ours) > 1 else "")
    if len(ours) > 1:
        return words.verdict_some.format(k=len(seen), n=len(ours))
    return words.verdict_differ


def _beside_people(reading: Reading, words: Wording, main: Metric) -> str:
    """What may be said where no two models were compared."""
    ours = [one for model in reading.models for one in reading.against_people(model) if one.metric == main.key]
    if not ours:
        return words.verdict_untested
    seen = sum(reading.outcome(one) != "unseen" for one in ours)
    return (words.verdict_unlike if seen else words.verdict_alike) + (
        words.verdict_of.format(k=seen, n=len(ours)) if seen and len(ours) > 1 else ""
    )


def winner(reading: Reading, comparison: Comparison) -> str | None:
    """The label of the better one of the two, where a better one may be named."""
    outcome = reading.outcome(comparison)
    return {"better": comparison.b, "worse": comparison.a}.get(outcome)


def metric_name(reading: Reading, words: Wording, key: str) -> str:
    """The name of a metric, or of one metric where another is equal."""
    first, _, second = key.partition(EQUAL)
    name = words.name(reading.metric(first))
    return words.at_equal.format(a=name, b=words.name(reading.metric(second))) if second else name


def gate_sentence(gate: Gate, words: Wording) -> str:
    """Why a system is refused, or that it was let pass."""
    template = words.overridden if gate.overridden else words.refused
    return template.format(
        system=gate.system,
        probe=words.probes.get(gate.probe, gate.probe),
        auc=number(100 * gate.auc.value, 0),
        bound=number(100 * gate.bound, 0),
    )


def _names(reading: Reading, words: Wording, comparisons: list[Comparison]) -> str:
    """The metrics of comparisons: all of them, or the three clearest of many."""
    names = list(dict.fromkeys(metric_name(reading, words, one.metric) for one in comparisons))
    if len(names) > MANY:
        clear = sorted(comparisons, key=lambda one: -clearness(one))
        names = list(dict.fromkeys(metric_name(reading, words, one.metric) for one in clear))
        names = [*names[: MANY - 1], words.and_more.format(n=len(names) - MANY + 1)]
    return words.listed(names)


def _pair(reading: Reading, words: Wording, a: System, b: System, comparisons: list[Comparison]) -> str:
    by: dict[str, list[Comparison]] = {"better": [], "worse": [], "differ": [], "unseen": []}
    for one in comparisons:
        by[reading.outcome(one)].append(one)
    if len(by["unseen"]) == len(comparisons):
        if len(comparisons) == 1:
            name = metric_name(reading, words, comparisons[0].metric)
            return words.nothing_seen_in.format(a=a.label, b=b.label, metric=name)
        return words.nothing_seen.format(a=a.label, b=b.label, n=len(comparisons))
    better, worse, differ = (_names(reading, words, by[key]) for key in ("better", "worse", "differ"))
    values = {"a": a.label, "b": b.label, "better": better, "worse": worse, "differ": differ}
    told = []
    if better or worse:
        both = words.better_and_worse if better and worse else words.does_better if better else words.does_worse
        told.append(both.format(**values))
    if differ:
        told.append((words.differ_also if told else words.differ_only).format(**values))
    if by["unseen"]:
        told.append(words.others_unseen.format(n=len(by["unseen"])))
    return words.space.join(told)


def _told_models(reading: Reading) -> list[System]:
    """The first model of each name, so that temperatures of one model do not fill the page."""
    first: dict[str, System] = {}
    for model in reading.models:
        first.setdefault(model.name, model)
    return list(first.values())[:TOLD]


def _judged(reading: Reading, words: Wording) -> str | None:
    """How often the main judge picks the person's story: a value with its interval, no claim."""
    main = reading.main("realism")
    if main is None or not main.key.startswith("auc"):
        return None
    items = []
    for model in _told_models(reading):
        figure = reading.figure(main, model)
        if figure and figure.interval:
            one = figure.interval
            low, high = (None if end is None else 100 * end for end in (one.low, one.high))
            share = Interval(100 * one.value, low, high, one.n)
            told = words.judged_beside.format(
                value=number(share.value, 0), interval=range_of(share, 0), system=model.label
            )
            items.append(told.replace("  ", " "))
    judge = words.name(main).partition(" (")[0].partition("（")[0]
    return words.judged.format(metric=judge, items=words.semicolon.join(items)) if items else None


def _against_people(reading: Reading, words: Wording, model: System) -> str | None:
    comparisons = reading.against_people(model)
    if not comparisons:
        return None
    seen = [one for one in comparisons if reading.outcome(one) != "unseen"]
    if not seen:
        return words.as_people.format(system=model.label, n=len(comparisons))
    told = words.differs_from_people.format(system=model.label, k=len(seen), n=len(comparisons))
    items = [item for one in seen if (item := _values(reading, words, one, model)) is not None]
    return told + (words.most_in.format(items=words.listed(items[:3])) if items else words.full_stop)


def _values(reading: Reading, words: Wording, comparison: Comparison, model: System) -> str | None:
    """`distinct-2 (0.41, people 0.65)`."""
    metric = reading.metric(comparison.metric)
    figures = [reading.figure(metric, system) for system in (model, reading.human) if system]
    values = [figure.interval.value for figure in figures if figure and figure.interval]
    if len(values) < 2:
        return None
    if metric.key in words.plain:
        ours, theirs = (number(100 * value, 0) for value in values)
        return words.plain[metric.key].format(ours=ours, theirs=theirs)
    ours, theirs = (number(value, reading.decimals(metric.key)) for value in values)
    return words.beside.format(name=words.name(metric), ours=ours, theirs=theirs)


def _power(reading: Reading, words: Wording) -> str | None:
    """The difference that the comparison of two models by the first main figure could have shown."""
    for group in GROUPS:
        main = reading.main(group)
        for a, b, comparisons in reading.pairs():
            for one in comparisons:
                low, high = one.difference.low, one.difference.high
                if main is None or one.metric != main.key or low is None or high is None or not high > low:
                    continue
                # 1.96 standard errors for the level and .84 for a power of 80 %.
                least = (1.96 + 0.84) * (high - low) / 3.92
                return words.power.format(
                    works=number(one.difference.n, 0),
                    least=number(least, max(2, reading.decimals(main.key))),
                    metric=words.name(main),
                    a=a.label,
                    b=b.label,
                )
    return None
