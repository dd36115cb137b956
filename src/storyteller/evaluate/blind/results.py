"""What the judgements say: who is preferred, how surely, and how far the raters and the page can be trusted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from statistics import median, quantiles
from typing import Any, Literal

from storyteller.errors import DataError
from storyteller.evaluate.agreement import krippendorff_alpha, share_interval
from storyteller.evaluate.blind.judgements import Judgement, standing
from storyteller.evaluate.bradley_terry import Comparison, detectable, fewest, fit, meetings, sample_size

__all__ = ["comparisons_of", "meeting_table", "percent", "render", "summarise"]


def comparisons_of(judgements: Iterable[Judgement]) -> list[Comparison]:
    """The standing verdicts as comparisons; repeated pairs and skipped ones are left out."""
    result: dict[str, Literal["first", "second", "tie"]] = {"left": "first", "right": "second", "tie": "tie"}
    return [
        Comparison(judgement.left, judgement.right, result[judgement.choice], judgement.cluster, judgement.rater)
        for judgement in standing(judgements)
        if judgement.choice in result and not judgement.repeat
    ]


def summarise(judgements: Sequence[Judgement], effect: float = 0.6, resamples: int = 2000) -> dict[str, Any]:
    """Every figure of a blind comparison as one JSON object; see `render` for its words.

    `verdicts` counts comparisons without repeats, `systems` come strongest first, `meetings` hold each two systems with
    the stronger one first. A figure that cannot be computed is null. Raises `DataError` where nothing was judged.
    """
    kept = standing(judgements)
    verdicts = comparisons_of(judgements)
    found = fit(verdicts, resamples)
    people = sorted({judgement.rater for judgement in kept})
    seconds = [judgement.seconds for judgement in kept if judgement.choice != "skip" and judgement.seconds > 0]
    ties = sum(verdict.result == "tie" for verdict in verdicts) / len(verdicts)
    chosen = Counter(judgement.choice for judgement in kept)
    met = {said.pair: (said.left, said.right) for said in kept if said.choice != "skip"}
    decided = chosen["left"] + chosen["right"]
    return {
        "verdicts": len(verdicts),
        "skipped": sum(judgement.choice == "skip" for judgement in kept),
        "ties": ties,
        "raters": {name: sum(verdict.rater == name for verdict in verdicts) for name in people},
        "raters_drawn": found.raters_drawn,
        "systems": {name: asdict(strength) for name, strength in found.strengths.items()},
        "tie_parameter": found.ties,
        "meetings": meetings(verdicts, found, resamples),
        "effect": {
            "asked": effect,
            "pairs_needed": sample_size(effect, ties=min(ties, 0.99)),
            "seen_with_these": detectable(fewest(met.values()), ties=min(ties, 0.99)),
        },
        "left_side": asdict(share_interval(chosen["left"], decided)) if decided else None,
        "seconds": _times(seconds),
        "with_oneself": _with_oneself(kept),
        "with_each_other": _with_each_other(kept),
        "reasons": [_reason(judgement) for judgement in kept if judgement.reason],
    }


def render(summary: dict[str, Any]) -> str:
    """The summary as Markdown: the answer first, then how sure it is, then whether the judging was sound."""
    lines = ["# Blind comparison", ""]
    for meeting in summary["meetings"]:
        lines += [_answer(meeting), ""]
    lines += meeting_table(summary["meetings"])
    lines += ["", "| system | log strength |", "|-|-|"]
    lines += [f"| {name} | {_figure(strength)} |" for name, strength in summary["systems"].items()]
    lines += ["", *(f"- {line}" for line in _soundness(summary))]
    if summary["reasons"]:
        lines += ["", "## Reasons", ""]
        lines += [f"- {_choice_in_words(reason)}: {reason['reason']}" for reason in summary["reasons"]]
    return "\n".join(lines) + "\n"


def meeting_table(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """The lines of a Markdown table of `meetings`."""
    lines = ["| | preferred | ties | not preferred | win rate, ties as half | Bradley-Terry |", "|-|-|-|-|-|-|"]
    for row in rows:
        counts = f"{row['wins']} | {row['ties']} | {row['losses']}"
        rates = f"{percent(row['win_rate'])} | {percent(row['model'])}"
        lines.append(f"| {row['first']} against {row['second']} | {counts} | {rates} |")
    return lines


def percent(interval: Mapping[str, Any] | None) -> str:
    """An interval as percentages; a figure that was not computed is a dash."""
    if interval is None:
        return "–"
    if interval["low"] is None:
        return f"{interval['value']:.0%} (no interval)"
    return f"{interval['value']:.0%} [{interval['low']:.0%}, {interval['high']:.0%}]"


def _times(seconds: Sequence[float]) -> dict[str, float] | None:
    if len(seconds) < 2:
        return None
    low, _, high = quantiles(seconds, n=4)
    return {"median": median(seconds), "quarter": low, "three_quarters": high}


def _with_oneself(kept: Iterable[Judgement]) -> dict[str, Any] | None:
    """How often a pair that came again, sides swapped, got the same verdict."""
    seen: dict[tuple[str, str], dict[bool, Judgement]] = defaultdict(dict)
    for judgement in kept:
        if judgement.choice != "skip":
            seen[judgement.rater, judgement.pair][judgement.repeat] = judgement
    twice = [both for both in seen.values() if len(both) == 2 and both[False].left == both[True].right]
    same = sum(both[False].preferred == both[True].preferred for both in twice)
    return asdict(share_interval(same, len(twice))) if twice else None


def _with_each_other(kept: Iterable[Judgement]) -> dict[str, Any] | None:
    """Krippendorff's alpha over pairs that several judged: -1, 0 and 1, so that a tie is half of a disagreement."""
    units: dict[str, list[float]] = defaultdict(list)
    for judgement in kept:
        if judgement.choice != "skip" and not judgement.repeat:
            first = min(judgement.left, judgement.right)
            units[judgement.pair].append({None: 0.0, first: 1.0}.get(judgement.preferred, -1.0))
    shared = [values for values in units.values() if len(values) > 1]
    if not shared:
        return None
    try:
        alpha = krippendorff_alpha(shared, "interval")
    except DataError:  # all the same everywhere: agreement beyond chance cannot be told
        alpha = None
    same = sum(len(set(values)) == 1 for values in shared)
    return {"alpha": alpha, "pairs": len(shared), "same": asdict(share_interval(same, len(shared)))}


def _reason(judgement: Judgement) -> dict[str, Any]:
    other = judgement.right if judgement.preferred == judgement.left else judgement.left
    between = sorted((judgement.left, judgement.right))
    named = {"preferred": judgement.preferred, "to": other} if judgement.preferred else {"between": between}
    return {**named, "choice": judgement.choice, "prompt_id": judgement.prompt_id, "reason": judgement.reason}


def _choice_in_words(reason: dict[str, Any]) -> str:
    if "preferred" in reason:
        return f"**{reason['preferred']}** before {reason['to']} on {reason['prompt_id']}"
    return f"{reason['choice']}, {' and '.join(reason['between'])}, on {reason['prompt_id']}"


def _answer(meeting: dict[str, Any]) -> str:
    """The one sentence that somebody who reads nothing else should take away."""
    first, second, model = meeting["first"], meeting["second"], meeting["model"]
    share = f"{first} {percent(model)} of the time."
    if model["low"] is None or model["low"] <= 0.5:  # the first is the stronger one
        return f"**No preference between {first} and {second} can be told**: {share}"
    return f"**{first} is preferred to {second}**: {share}"


def _soundness(summary: dict[str, Any]) -> list[str]:
    effect, side, times = summary["effect"], summary["left_side"], summary["seconds"]
    seen = (
        "not even a unanimous one" if effect["seen_with_these"] is None else f"{effect['seen_with_these']:.1%} or more"
    )
    raters = ", ".join(f"{name} {count}" for name, count in summary["raters"].items())
    over = "prompts, and over raters where three or more judged" if summary["raters_drawn"] else "prompts"
    lines = [
        f"{summary['verdicts']} verdicts ({raters}), {summary['ties']:.0%} ties, {summary['skipped']} skipped; "
        f"95 % intervals by a bootstrap over {over}.",
        f"A preference of {effect['asked']:.0%} takes {effect['pairs_needed']} pairs of two systems with this share of ties; "
        f"what was judged can see, between any two, a preference of: {seen} (power 80 %).",
        f"Left side preferred: {percent(side)} of the decided; 50 % is no bias." if side else "Nothing was decided.",
    ]
    if times:
        lines.append(
            f"Time per pair: {times['median']:.0f} s ({times['quarter']:.0f} to {times['three_quarters']:.0f})."
        )
    same, others = summary["with_oneself"], summary["with_each_other"]
    lines.append(
        f"Same verdict when a pair came again with sides swapped: {percent(same)}, {same['n']} pairs."
        if same
        else "Self-agreement: not measured (no pair was shown twice)."
    )
    if others:
        alpha = "not defined" if others["alpha"] is None else f"{others['alpha']:.2f}"
        lines.append(f"Raters agreed on {percent(others['same'])} of {others['pairs']} shared pairs (alpha {alpha}).")
    else:
        lines.append("Agreement between raters: not measured (nobody else judged these pairs).")
    return lines


def _figure(interval: dict[str, Any]) -> str:
    bounds = "" if interval["low"] is None else f" [{interval['low']:+.2f}, {interval['high']:+.2f}]"
    return f"{interval['value']:+.2f}{bounds}"
