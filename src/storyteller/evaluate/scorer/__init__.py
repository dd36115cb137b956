"""How coherent a story is, by a scorer that learned from stories with faults put in, without a human rating.

    normalise -> windows -> states (one pass of the frozen base) -> head + excess likelihood -> calibration
                                                                 -> domain: say "not mine" instead of guessing

`training` makes the faulty versions, `fit` a scorer of them; `scripts/train_scorer.py` makes the one in `weights/`,
whose card says what it was trained on and how it agrees with human ratings.
"""

from __future__ import annotations

from storyteller.evaluate.scorer.scorer import CoherenceScorer, Score

__all__ = ["CoherenceScorer", "Score"]
