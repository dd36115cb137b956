"""A small model writes, and a larger one only where the score of what it wrote is low."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite, nan
from typing import Any

from storyteller.ensemble.drafts import FAILURES
from storyteller.ensemble.ranking import Scorer
from storyteller.generate import Storyteller, Told
from storyteller.runs.console import say
from storyteller.tokens import Request

__all__ = ["Cascaded", "cascade"]


@dataclass(frozen=True, slots=True)
class Cascaded:
    """What came out, the score that decided, and whether the larger model was asked."""

    told: Told
    score: float
    escalated: bool


def cascade(
    small: Storyteller,
    large: Callable[[], Storyteller],
    request: Request,
    scorer: Scorer,
    threshold: float,
    **options: Any,
) -> Cascaded:
    """The small model's story where it scores `threshold` or more, else the better of the two (Chen et al. 2023, "FrugalGPT").

    `large` opens the larger model when it is first needed, so that nobody waits for one that is not. A score that is
    NaN cannot vouch for a story, and a story that is hardly one is worse than any that is. The larger model's story is
    taken only if it is better. Whatever fails, or is stopped with Ctrl-C, once the small model's story is finished, a
    message says so and that story stands; its score is NaN where it has none. Options as in `tell`.
    """
    told = small.tell(request, **options)
    score, escalated, failing = nan, False, "the smaller model's story has no score"
    try:
        (score,) = scorer([told.text], request)
        if score >= threshold and told.doubt is None:
            return Cascaded(told, score, escalated)
        escalated, failing = True, "the larger model told nothing"
        other = large().tell(request, **options)
        failing = "the larger model's story has no score"
        (better,) = scorer([other.text], request)
    except (KeyboardInterrupt, *FAILURES) as error:
        reason = "stopped" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__
        say(f"{failing} ({reason}); this is the smaller one's story")
        return Cascaded(told, score, escalated)
    if _worth(other, better) > _worth(told, score):
        return Cascaded(other, better, escalated=True)
    return Cascaded(told, score, escalated=True)


def _worth(told: Told, score: float) -> tuple[bool, float]:
    """What stories are ordered by; a score that is no number says the least."""
    return told.doubt is None, score if isfinite(score) else -inf
