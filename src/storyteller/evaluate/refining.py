"""What an adversarial refinement is watched by: judges and diversity on its dev stories, sharing nothing with its critic."""

from __future__ import annotations

from collections.abc import Sequence

from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.evaluate.degeneration import degeneration
from storyteller.evaluate.diversity import distinct, self_bleu
from storyteller.evaluate.judges import Family, judge
from storyteller.evaluate.matching import equalise
from storyteller.evaluate.ngrams import within_budget, words

__all__ = ["check_refinement", "score_refinement"]


def score_refinement(
    human: Sequence[str], drawn: Sequence[str], works: Sequence[str], language: Language
) -> dict[str, float]:
    """The figures of drawn texts against the human texts beside them: `judge_auc` (the mean of the word and the character
    judge), each judge's own, both probes, and `distinct_2`, `self_bleu`, `rep_4`.

    A monitor has few texts, so its probes are figures here and no gate (the critic's data pass a gate of their own).
    Distinct-2 counts the first half of the human texts' tokens, the same number whatever the model wrote. Raises
    `DataError` when there are too few texts for a judge.
    """
    pairs = equalise(human, drawn, language)
    if not pairs.kept:
        raise DataError("no drawn text can be brought to the length of the human one beside it.")
    sources = [works[i] for i in pairs.kept]
    figures: dict[str, float] = {}
    families: tuple[Family, ...] = ("word", "char")
    for family in families:
        verdict = judge(
            pairs.human,
            pairs.system,
            prompts=sources,
            works=sources,
            language=language,
            family=family,
            allow=("length", "punctuation", "duplicates"),
        )
        if verdict.auc is None:
            raise DataError(verdict.refused or "the judge came to no verdict.")
        figures[f"judge_{family}"] = verdict.auc.value
        figures |= {f"probe_{name}": found.value for name, found in verdict.probes.items()}
    figures["judge_auc"] = (figures["judge_word"] + figures["judge_char"]) / 2
    tokens = [words(text) for text in drawn]
    # With half of the human tokens as the budget, stories that become shorter are counted over as many.
    budget = max(2, sum(len(words(text)) for text in human) // 2)
    counted = within_budget(tokens, min(budget, sum(map(len, tokens))))
    figures["distinct_2"] = distinct(counted, 2)
    figures["self_bleu"] = float(self_bleu(tokens).mean()) if len(tokens) > 1 else 0.0
    faults = degeneration(drawn, language)
    figures["rep_4"] = sum(fault.rep_4 for fault in faults) / len(faults)
    return figures


def check_refinement(human: Sequence[str], works: Sequence[str], language: Language) -> None:
    """Raise `DataError` where no drawn texts could be judged beside these: they are too few, or of too few works.

    The judges tell them from themselves, which takes a second or two.
    """
    score_refinement(human, human, works, language)
