"""A judge model: pairs in both orders, verdicts only where these agree, and beside them its agreement with people.

Judge models prefer places, lengths and their own words (Zheng et al. 2023, "Judging LLM-as-a-judge"). So a pair is asked
twice with the texts swapped, the share that followed the place is reported, a model does not judge itself, and without
pairs that people judged the report says that nothing is known about the judge.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from storyteller.corpus.language import count_words
from storyteller.errors import DataError
from storyteller.evaluate.agreement import share_interval
from storyteller.evaluate.blind.judgements import check_answers
from storyteller.evaluate.blind.results import meeting_table, percent
from storyteller.evaluate.bootstrap import ratio_interval
from storyteller.evaluate.bradley_terry import Comparison, detectable, fewest, fit, meetings
from storyteller.evaluate.human_pairs import read_human_pairs
from storyteller.evaluate.judge_rubric import judge_messages, parse_answer
from storyteller.evaluate.pairs import Pair, choose_pairs
from storyteller.evaluate.texts import HUMAN, read_texts
from storyteller.generate.remote import Message, RemoteModel, Reply
from storyteller.models import catalogue
from storyteller.runs.console import progress, say
from storyteller.runs.files import read_json, write_atomic, write_json
from storyteller.runs.lines import append_line, read_lines

__all__ = ["Verdict", "ask_judge", "judge_texts", "render_verdicts", "verdict_of"]

_ORDERS = ("first", "second")
"""Which of the two texts stands as A."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What both answers of a judge come to.

    `result` is None where an answer could not be read; `biased` is true where both named the same place, whichever text
    stood there: such a pair is a tie.
    """

    pair: Pair
    result: Literal["first", "second", "tie"] | None
    biased: bool


def judge_texts(
    texts: Sequence[Path],
    systems: Sequence[str],
    client: RemoteModel,
    *,
    pairs: int = 200,
    human_pairs: Path | None = None,
    human_limit: int = 200,
    out: Path | None = None,
    seed: int = 1,
    max_tokens: int = 512,
    workers: int = 4,
) -> dict[str, Any]:
    """Let the model behind `client` judge pairs of systems, and pairs that people judged; returns the summary.

    Answers are kept raw in `out` (by default `judge.jsonl` beside the first file of texts), from which an interrupted
    run goes on; the summary stands beside it as `.json` and `.md`. Raises `DataError` when the judge wrote some of the
    texts and when `out` is no `.jsonl` file, and `GenerationError` when it cannot be asked.
    """
    out = out or texts[0].with_name("judge.jsonl")
    check_answers(out)
    known = [text for path in texts for text in read_texts(path)]
    chosen = choose_pairs(known, systems, pairs, seed)
    _refuse_own_judge(client.model, {name for pair in chosen for name in (pair.first, pair.second)})
    of_people = read_human_pairs(human_pairs, human_limit, seed) if human_pairs else []
    if not of_people:
        say("agreement with people will not be measured: give pairs that people judged with --human-pairs")
    answers = ask_judge(client, [*of_people, *chosen], out, max_tokens=max_tokens, workers=workers)
    verdicts = [verdict_of(pair, answers) for pair in chosen]
    summary = _summarise(client.model, verdicts, [verdict_of(pair, answers) for pair in of_people], answers)
    write_json(out.with_suffix(".json"), summary)
    write_atomic(out.with_suffix(".md"), render_verdicts(summary))
    return summary


def ask_judge(
    client: RemoteModel, pairs: Sequence[Pair], out: Path, *, max_tokens: int = 512, workers: int = 4
) -> dict[tuple[str, str], str]:
    """The raw answers by pair and order (`first`: its first text stands as A), each asked once and kept in `out`.

    A question that `out` has an answer of this model to is not asked again, unless the answer was cut off at fewer than
    `max_tokens`. `GenerationError` ends the run; the answers so far are kept.
    """
    known = {
        record["question"]: _whole(record["answer"], record["finish"])
        for _, record in read_lines(out)
        if record.get("model") == client.model
        and record.keys() >= {"question", "answer", "finish"}
        and (record["finish"] != "length" or record.get("max_tokens", 0) >= max_tokens)
    }
    questions = {(pair.id, order): _question(pair, order) for pair in pairs for order in _ORDERS}
    answers = {key: known[_digest(asked)] for key, asked in questions.items() if _digest(asked) in known}
    wanted = [key for key in questions if key not in answers]

    def ask(key: tuple[str, str]) -> Reply:
        return client.chat(questions[key], max_tokens=max_tokens)

    with ThreadPoolExecutor(workers) as pool, progress(len(wanted), "asking the judge") as advance:
        asked = {pool.submit(ask, key): key for key in wanted}
        try:
            for future in as_completed(asked):
                key = asked[future]
                reply = future.result()
                answers[key] = _whole(reply.text, reply.finish)
                record = {"model": client.model, "question": _digest(questions[key]), "pair": key[0], "order": key[1]}
                said = {"answer": reply.text, "finish": reply.finish, "max_tokens": max_tokens}
                append_line(out, record | said)
                advance()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return answers


def verdict_of(pair: Pair, answers: Mapping[tuple[str, str], str]) -> Verdict:
    """What the two raw answers about a pair come to; only an agreement of both prefers a text."""
    one, other = (parse_answer(answers[pair.id, order]) for order in _ORDERS)
    if one is None or other is None:
        return Verdict(pair, None, False)
    if one == other:
        return Verdict(pair, "tie", one != "tie")
    if "tie" in (one, other):
        return Verdict(pair, "tie", False)
    return Verdict(pair, "first" if one == "A" else "second", False)


def render_verdicts(summary: Mapping[str, Any]) -> str:
    """The summary as Markdown: the verdicts, the judge's faults, and whether people agree with it."""
    lines = [f"# Verdicts of {summary['judge']}", ""]
    if summary["systems"]:
        lines += [*meeting_table(summary["meetings"]), ""]
    seen = summary["seen_with_these"]
    can = "nothing, not even a unanimous preference" if seen is None else f"a preference of {seen:.0%} or more"
    lines += [
        f"- {summary['verdicts']} of {summary['pairs']} pairs have a verdict; of any two systems they can see {can} "
        "(power 80 %).",
        f"- Not readable: {summary['unparsable_answers']} of {summary['answers']} answers; their pairs are left out.",
        f"- Position: {percent(summary['position_bias'])} of the pairs went to the same place in both orders, and count "
        f"as ties; of all decided answers {percent(summary['said_a'])} named the text that stood first.",
        f"- **Agreement with people: {_agreement(summary['people'])}**",
    ]
    return "\n".join(lines) + "\n"


def _agreement(people: Mapping[str, Any] | None) -> str:
    if people is None:
        return "not measured. Nothing is known about this judge; give it pairs that people judged: --human-pairs FILE"
    if people["agreement"] is None:
        return f"not measured: no verdict on any of {people['pairs']} pairs could be read."
    agreement = people["agreement"]
    said = (
        f"{percent(agreement)} of {people['verdicts']} pairs that people judged, ties as half "
        f"({people['agree']} agree, {people['disagree']} disagree, {people['ties']} ties); "
        f"preferring the longer text would agree on {percent(people['longer'])}."
    )
    if agreement["low"] is None or agreement["low"] <= 0.5:
        said += " This is not more than chance: its verdicts say nothing about what people prefer."
    return said


def _summarise(
    judge: str, verdicts: Sequence[Verdict], of_people: Sequence[Verdict], answers: Mapping[tuple[str, str], str]
) -> dict[str, Any]:
    """Every figure as one JSON object; a figure that cannot be computed is null."""
    asked = [*verdicts, *of_people]
    said = [parse_answer(answers[verdict.pair.id, order]) for verdict in asked for order in _ORDERS]
    read = [verdict for verdict in asked if verdict.result]
    compared = [
        Comparison(v.pair.first, v.pair.second, v.result, v.pair.cluster) for v in verdicts if v.result is not None
    ]
    ties = sum(verdict.result == "tie" for verdict in compared) / len(compared) if compared else 1.0
    least = fewest((verdict.first, verdict.second) for verdict in compared)
    decided = said.count("A") + said.count("B")
    return {
        "judge": judge,
        "pairs": len(verdicts),
        "verdicts": len(compared),
        **_standings(compared),
        "seen_with_these": detectable(least, ties=ties) if ties < 1 else None,
        "answers": len(said),
        "unparsable_answers": said.count(None),
        "position_bias": _share(sum(verdict.biased for verdict in read), len(read)),
        "said_a": _share(said.count("A"), decided),
        "people": _with_people(of_people) if of_people else None,
    }


def _standings(compared: Sequence[Comparison]) -> dict[str, Any]:
    """Strengths and meetings, strongest first; empty where no answer could be read or the verdicts connect too little."""
    try:
        found = fit(compared)
    except DataError:
        return {"systems": {}, "meetings": []}
    strengths = {name: asdict(strength) for name, strength in found.strengths.items()}
    return {"systems": strengths, "meetings": meetings(compared, found)}


def _with_people(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Agreement on pairs whose first text people preferred, and what the longer text alone would have given."""
    read = [verdict for verdict in verdicts if verdict.result]
    results = [verdict.result for verdict in read]
    return {
        "pairs": len(verdicts),
        "verdicts": len(read),
        "agree": results.count("first"),
        "disagree": results.count("second"),
        "ties": results.count("tie"),
        "agreement": _points(read, lambda verdict: {"first": 1.0, "tie": 0.5}.get(str(verdict.result), 0.0)),
        "longer": _points(read, lambda verdict: _longer(verdict.pair)),
    }


def _longer(pair: Pair) -> float:
    ours, theirs = (count_words(text, pair.language) for text in (pair.first_text, pair.second_text))
    return 0.5 if ours == theirs else float(ours > theirs)


def _points(verdicts: Sequence[Verdict], points: Callable[[Verdict], float]) -> dict[str, Any] | None:
    if not verdicts:
        return None
    clusters = [verdict.pair.cluster for verdict in verdicts]
    return asdict(ratio_interval([points(verdict) for verdict in verdicts], [1.0] * len(verdicts), clusters))


def _share(hits: int, trials: int) -> dict[str, Any] | None:
    return asdict(share_interval(hits, trials)) if trials else None


def _question(pair: Pair, order: str) -> list[Message]:
    a, b = (pair.first_text, pair.second_text) if order == "first" else (pair.second_text, pair.first_text)
    return judge_messages(pair.prompt, a, b, pair.language, continues=pair.continues)


def _whole(answer: str, finish: str) -> str:
    """The answer, marked where it was cut off: the last letter there may be the first of a word."""
    return f"{answer} …" if finish == "length" else answer


def _digest(question: Sequence[Message]) -> str:
    """What an answer is filed under: another prompt, text or rubric is another question."""
    return hashlib.sha256("\0".join(message["content"] for message in question).encode()).hexdigest()[:16]


def _refuse_own_judge(judge: str, systems: Iterable[str]) -> None:
    """A model prefers its own words: `DataError` when the judge, or the base that it is, wrote some of the texts."""
    for system in systems:
        if system != HUMAN and _plain(judge) in _names(system):
            raise DataError(
                f"{judge} is asked to judge texts of {system}, which is the same model: it would prefer its own. "
                "Take another judge with --model, or leave the system out of --systems."
            )


def _names(system: str) -> set[str]:
    """What a system may be called elsewhere: its own name and that of the base under its adapter."""
    names = {_plain(system)}
    names |= {_plain(entry.base) for entry in catalogue() if entry.base and entry.name == system.partition("@")[0]}
    config = Path(system) / "adapter_config.json"
    if config.is_file():
        names.add(_plain(str(read_json(config).get("base_model_name_or_path") or "")))
    return names


def _plain(name: str) -> str:
    """A model's name without organisation, tag, temperature and file format."""
    name = name.rstrip("/").rpartition("/")[2].partition("@")[0].partition(":")[0].lower()
    return name.removesuffix(".gguf").removesuffix("-gguf")
