"""A small model writes, and a larger one only where the score of what it wrote is low."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

from storyteller.ensemble.ranking import Scorer
from storyteller.errors import StorytellerError
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
    taken only if it is better; where it fails, or is stopped with Ctrl-C, a message says so and the small model's story
    stands. Options as in `tell`.
    """
    told = small.tell(request, **options)
    (score,) = scorer([told.text], request)
    if score >= threshold and told.doubt is None:
        return Cascaded(told, score, escalated=False)
    try:
        other = large().tell(request, **options)
    except (StorytellerError, KeyboardInterrupt) as error:
        say(f"the larger model told nothing ({str(error) or 'stopped'}); this is the smaller one's story")
        return Cascaded(told, score, escalated=True)
    (better,) = scorer([other.text], request)
    if _worth(other, better) > _worth(told, score):
        return Cascaded(other, better, escalated=True)
    return Cascaded(told, score, escalated=True)


def _worth(told: Told, score: float) -> tuple[bool, float]:
    """What stories are ordered by; a score that is no number says the least."""
    return told.doubt is None, score if isfinite(score) else -inf
