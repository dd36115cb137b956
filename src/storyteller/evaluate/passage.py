"""The two numbers that a writer may ask of a passage, each where it has something to say.

Human-likeness is the critic's (`adversarial.passages`): where the passage stands among published ones of its length.
Coherence is the learned scorer's (`scorer`), which agrees with people's ratings where a critic of ours does not. Both read
with one model in memory, and neither is a grade.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from storyteller.corpus.language import count_words, identify_language
from storyteller.corpus.story import Language
from storyteller.errors import GenerationError, ModelError
from storyteller.models.entries import DEFAULT_BASE, entry_named
from storyteller.runs import read_json

if TYPE_CHECKING:  # they import torch, and a refusal needs none
    from storyteller.adversarial.numbers import WriterNumbers
    from storyteller.adversarial.passages import PassageCritic
    from storyteller.evaluate.scorer import CoherenceScorer

__all__ = ["FEWEST", "MOST", "Line", "Number", "Passage", "PassageReader", "Reason"]

FEWEST, MOST = 40, 300
"""Words of a passage: with fewer neither number means much, and of more there were too few passages to calibrate on."""

Reason = Literal["", "short", "language", "kind", "length"]
"""Why there is no number: too short, no English, unlike all that it was made from, a length without human passages."""


@dataclass(frozen=True, slots=True)
class Number:
    """From 0 to 100, or None and the reason."""

    value: float | None
    reason: Reason = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """What is said of a passage: its two numbers, its `words` as far as they were read, and its sentences.

    `sentences` together are the text that was read; the number beside each is how much higher the likeness is than
    without it, in points. None where there is no likeness.
    """

    likeness: Number
    coherence: Number
    words: int
    sentences: tuple[tuple[str, float | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """From the scorer's log odds to the chance that is told; fitted on other works than those that the scorer learned from.

    There its own chances are too sure of themselves (docs/results.md, "Two numbers for a passage").
    """

    slope: float
    offset: float

    @classmethod
    def load(cls, folder: Path) -> Line:
        """The line in `folder`; raises `ModelError` when there is none."""
        try:
            told = read_json(folder / "coherence.json")
            return cls(float(told["slope"]), float(told["offset"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{folder} does not say how a coherence is told ({error}). Fit it with scripts/judge_numbers.py."
            ) from error

    def __call__(self, logit: float) -> float:
        """The chance, from 0 to 1."""
        return 1 / (1 + math.exp(-(self.slope * logit + self.offset)))


class PassageReader:
    """Critic, calibration and scorer on one base in memory: 270 MB in bfloat16, twice that in float32."""

    def __init__(self, critic: PassageCritic, numbers: WriterNumbers, scorer: CoherenceScorer, line: Line) -> None:
        self.critic, self.numbers, self.scorer, self.line = critic, numbers, scorer, line

    @classmethod
    def load(cls, folder: Path | None = None) -> PassageReader:
        """With the critic in `folder`, by default the one that comes with the package.

        Raises `ModelError` when the base is not in the cache: nothing is fetched for a number.
        """
        from storyteller.adversarial.numbers import WriterNumbers
        from storyteller.adversarial.passages import SHIPPED, PassageCritic
        from storyteller.evaluate.scorer import CoherenceScorer

        folder = folder or SHIPPED
        if not entry_named(DEFAULT_BASE).installed:
            raise ModelError(
                f"the numbers are read with {DEFAULT_BASE}, which is not on this machine. Fetch it with "
                f"`storyteller models pull {DEFAULT_BASE}`."
            )
        scorer = CoherenceScorer.load()
        return cls(PassageCritic.load(folder, scorer.reader), WriterNumbers.load(folder), scorer, Line.load(folder))

    def tell(self, text: str, language: Language, going_on: Callable[[], bool] = lambda: True) -> Passage:
        """The numbers of the first `MOST` words of a text.

        Between its two passes of the model `going_on` is asked; raises `GenerationError` when the answer is no.
        """
        from storyteller.evaluate.prompts import cut_at_sentence

        if (refused := refusal(text, language)) is not None:
            return refused
        read = cut_at_sentence(text, MOST, language)
        (judgement,) = self.critic.judge([read])
        shown = self.numbers.tell(judgement)
        if not going_on():
            raise GenerationError("nobody waits for these numbers any more.")
        (score,) = self.scorer.score([read])
        parts: list[float | None] = [part for _, part in shown.sentences]
        parts = parts or [None] * len(judgement.sentences)
        return Passage(
            Number(shown.likeness, shown.reason),
            Number(100 * self.line(score.logit)) if score.in_domain else Number(None, "kind"),
            count_words(read, language),
            tuple((sentence, part) for (sentence, _), part in zip(judgement.sentences, parts, strict=True)),
        )


def refusal(text: str, language: Language) -> Passage | None:
    """What is said of a text that no model need be loaded for: that it is Chinese or no prose, or too short."""
    words = count_words(text, language)
    reason: Reason = ""
    if language != "en" or (words >= FEWEST and identify_language(text) != "en"):
        reason = "language"
    elif words < FEWEST:
        reason = "short"
    return Passage(Number(None, reason), Number(None, reason), words) if reason else None
