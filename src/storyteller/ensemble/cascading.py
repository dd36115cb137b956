"""A small model writes, and a larger one only where the score of what it wrote is low."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from storyteller.ensemble.ranking import Scorer
from storyteller.generate import Storyteller, Told
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
    NaN cannot vouch for a story. The larger model's story is taken only if it scores higher. Options as in `tell`.
    """
    told = small.tell(request, **options)
    (score,) = scorer([told.text], request)
    if score >= threshold and told.doubt is None:
        return Cascaded(told, score, escalated=False)
    other = large().tell(request, **options)
    (better,) = scorer([other.text], request)
    if not better > score and told.doubt is None:
        return Cascaded(told, score, escalated=True)
    return Cascaded(other, better, escalated=True)
