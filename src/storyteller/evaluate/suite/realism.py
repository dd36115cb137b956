"""Realism: how well independent judges tell a system from people, and how far its texts lie from theirs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.evaluate.findings import Gate, Metric
from storyteller.evaluate.judges import GATE, Family, Override, Verdict, judge
from storyteller.evaluate.matching import Matched, equalise
from storyteller.evaluate.statistics import Resampled, auc
from storyteller.evaluate.suite.bench import Bench, Part
from storyteller.evaluate.suite.meanings import Meanings

__all__ = ["JUDGED", "measure_judges"]

#: Shares by which the lengths of a pair may differ, tried one after the other.
TOLERANCES = (0.1, 0.05, 0.02)

#: Faults whose texts hold parts of other texts: a judge that has learned these as people's is right less often than a coin.
BORROWED = ("splice", "replace", "words")

_AUC = "0.5: the judge cannot tell the system from people; 1: it always can. "
JUDGED: dict[Family, Metric] = {
    "word": Metric(
        "auc_word", "judge of words (AUC)", "realism", "lower", _AUC + "It sees words and pairs of words.",
        "Sees choice of words, no plot: shuffled sentences pass.",
    ),
    "char": Metric(
        "auc_char", "judge of letters (AUC)", "realism", "lower", _AUC + "It sees runs of characters.",
        "Sees spelling, endings and marks, no plot: shuffled sentences pass.",
    ),
    "embedding": Metric(
        "auc_embedding", "judge of meanings (AUC)", "realism", "lower", _AUC + "It sees what sentences mean.",
        "Sees what a small embedder sees.",
    ),
}  # fmt: skip


def measure_judges(bench: Bench, meanings: Meanings, allow: Collection[Override] = ()) -> Part:
    """The AUC of each family of judges for every system beside people, behind the gate of the probes.

    Texts are matched in length to the person's text on the same prompt first. Where punctuation alone gives a model
    away, all systems are judged by their words without it, and a note says so.
    """
    part = Part()
    if bench.human is None:
        part.notes.append("Realism was not judged: there are no texts by people on these prompts.")
        return part
    pairs: dict[str, _Pairs] = {}
    verdicts: dict[str, Verdict | str] = {}
    for label in bench.labels:
        if bench.answers[label][0].finish in BORROWED:
            part.put(JUDGED["word"], label, "it borrows passages of people's, which a judge would meet again")
        elif label != bench.human:
            pairs[label], verdicts[label] = _match(bench, label, meanings, allow)
    for label, verdict in verdicts.items():
        _gate(part, label, verdict)
    marked = [label for label in bench.models if _given_away(verdicts[label])]
    if marked and "punctuation" not in allow:
        part.notes.append(
            f"Punctuation alone tells {', '.join(marked)} from people, so all judges see words without punctuation."
        )
        verdicts = {label: _judged(pair, "word", meanings, allow, False) for label, pair in pairs.items()}
    marks = not marked or "punctuation" in allow
    for label, pair in pairs.items():
        if not marks:
            _gate(part, label, verdicts[label])
        part.add(JUDGED["word"], [label], lambda label: _area(bench, verdicts[label]))
        for family in ("char", "embedding"):
            verdict = _judged(pair, family, meanings, allow, marks)
            part.add(JUDGED[family], [label], lambda label, v=verdict: _area(bench, v))  # type: ignore[misc]
    return part


@dataclass(frozen=True)
class _Pairs:
    """Texts of a system beside people's on the same prompts, matched in length."""

    matched: Matched
    prompts: list[str]
    works: list[str]
    language: Language

    @classmethod
    def of(cls, bench: Bench, label: str, tolerance: float) -> _Pairs:
        """The pairs whose lengths can be brought within a share of each other."""
        assert bench.human
        written = {answer.prompt_id: answer.text for answer in bench.answers[bench.human]}
        prompts = bench.prompts(label)
        matched = equalise(
            [written[prompt] for prompt in prompts], bench.texts(label), bench.language, tolerance=tolerance
        )
        clusters = bench.clusters(label)
        return cls(matched, [prompts[i] for i in matched.kept], [clusters[i] for i in matched.kept], bench.language)


def _match(bench: Bench, label: str, meanings: Meanings, allow: Collection[Override]) -> tuple[_Pairs, Verdict | str]:
    """A system's texts beside people's, matched ever more closely until length alone tells nothing, and the first verdict."""
    for tolerance in TOLERANCES:
        pairs = _Pairs.of(bench, label, tolerance)
        verdict = _judged(pairs, "word", meanings, allow, True)
        if isinstance(verdict, str) or verdict.probes["length"].value <= GATE:
            break
    return pairs, verdict


def _judged(
    pairs: _Pairs, family: Family, meanings: Meanings, allow: Collection[Override], punctuation: bool
) -> Verdict | str:
    """The verdict of one family, or why there is none."""
    human, system = pairs.matched.human, pairs.matched.system
    try:
        vectors = meanings.judged(human, system, punctuation=punctuation) if family == "embedding" else None
        return judge(
            human,
            system,
            prompts=pairs.prompts,
            works=pairs.works,
            language=pairs.language,
            family=family,
            embeddings=(vectors[0], vectors[1]) if vectors else None,
            embedder=meanings.name or None,
            punctuation=punctuation,
            # Two passages of a work may quote the same verse; they stand in one fold then.
            allow=("duplicates", *allow),
        )
    except DataError as why:
        return str(why)


def _given_away(verdict: Verdict | str) -> bool:
    return isinstance(verdict, Verdict) and verdict.probes["punctuation"].value > GATE


def _gate(part: Part, label: str, verdict: Verdict | str) -> None:
    if isinstance(verdict, Verdict):
        part.gates += [
            Gate(label, probe, area, GATE, area.value <= GATE, probe in verdict.overridden)
            for probe, area in verdict.probes.items()
        ]


def _area(bench: Bench, verdict: Verdict | str) -> Resampled:
    """The AUC on the bench's own bootstrap, so that it is paired with the other systems'."""
    if isinstance(verdict, str):
        raise DataError(verdict)
    if verdict.refused:
        raise DataError(verdict.refused)
    return auc(bench.bootstrap, verdict.human, verdict.system, verdict.clusters, verdict.clusters)
