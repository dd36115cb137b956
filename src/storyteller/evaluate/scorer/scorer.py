"""Scores stories for coherence: a learned head, what words are likely beyond their frequency, and a doubt."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus import Language, count_words, identify_language
from storyteller.errors import ModelError
from storyteller.evaluate.scorer.domain import Domain
from storyteller.evaluate.scorer.head import Head
from storyteller.evaluate.scorer.normalise import normalise
from storyteller.evaluate.scorer.states import WindowStates, read_windows
from storyteller.evaluate.scorer.windows import windows_of
from storyteller.models import DEFAULT_BASE, locate
from storyteller.models.features import Reader
from storyteller.runs.files import read_json, write_atomic, write_json

__all__ = ["SHIPPED", "Calibration", "CoherenceScorer", "Score", "voices_of"]

SHIPPED = Path(__file__).with_name("weights")
"""The head that comes with the package, and the card that says what it was trained on."""
DOMAIN_ARRAYS = ("mean", "scale", "components", "spread")
FEWEST_WORDS = 15

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Score:
    """The coherence of a text.

    `value` is the chance, by the calibration, that a text with this score is a story as written and not one with a
    fault put in, where both are equally frequent; None outside the domain, and `why_not` says why. `logit` is its
    log odds, there whenever the text could be read at all (else NaN). `per_sentence` is how much each sentence raised
    or lowered the head's score of its window; the first of a window counts from zero. `log_likelihood` is the base
    model's own, in nats a token: minus the logarithm of the perplexity.
    """

    value: float | None
    logit: float
    log_likelihood: float
    per_sentence: tuple[float, ...]
    in_domain: bool
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Two voices of the same weight, standardised by `means` and `scales`, then Platt's line (1999) to log odds."""

    means: tuple[float, ...]
    scales: tuple[float, ...]
    slope: float
    offset: float

    def logit(self, voices: Sequence[float]) -> float:
        """Log odds of a window's voices, see `voices_of`."""
        parts = zip(voices, self.means, self.scales, strict=True)
        return self.slope * sum((voice - mean) / scale for voice, mean, scale in parts) + self.offset


@dataclass(frozen=True, slots=True)
class CoherenceScorer:
    """Reads a story in windows of about 80 words with a frozen base model and scores each; the mean is the story's.

    It was trained on English prose. What it cannot see: whether a story is any good, faults between far-apart windows,
    facts about the world that a 135M model does not know.
    """

    reader: Reader
    head: Head
    frequencies: Floats
    domain: Domain
    calibration: Calibration

    @classmethod
    def load(cls, folder: Path = SHIPPED, model: str | Path = DEFAULT_BASE) -> CoherenceScorer:
        """The scorer of a folder (`scorer.safetensors`, `scorer.json`) on its base model.

        Raises `ModelError` when the folder is no scorer, or was made on another base.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            arrays = {
                name: array.astype(np.float32) for name, array in load_file(folder / "scorer.safetensors").items()
            }
            card = read_json(folder / "scorer.json")
            head = Head(arrays["head.mean"], arrays["head.scale"], arrays["head.weights"])
            mean, scale, components, spread = (arrays[f"domain.{name}"] for name in DOMAIN_ARRAYS)
            domain = Domain(mean, scale, components, spread, card["domain"]["rest"], card["domain"]["limit"])
            numbers = card["calibration"]
            calibration = Calibration(
                tuple(numbers["means"]), tuple(numbers["scales"]), numbers["slope"], numbers["offset"]
            )
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{folder} holds no coherence scorer ({error}). Make one with scripts/train_scorer.py, "
                "or leave the folder out to take the one that comes with the package."
            ) from error
        reader = Reader.open(locate(model), card["layers"])
        if len(head.weights) != 2 * len(card["layers"]) * reader.width:
            raise ModelError(f"The scorer in {folder} was made on {card['base']}; {model} has states of another width.")
        return cls(reader, head, arrays["frequencies"], domain, calibration)

    def save(self, folder: Path, card: dict[str, Any]) -> None:
        """Write the head and its card to `folder`; arrays in float16, numbers in JSON."""
        from safetensors.numpy import save

        arrays = {"frequencies": self.frequencies}
        for name in ("mean", "scale", "weights"):
            arrays[f"head.{name}"] = getattr(self.head, name)
        for name in DOMAIN_ARRAYS:
            arrays[f"domain.{name}"] = getattr(self.domain, name)
        half = {name: np.ascontiguousarray(array, dtype=np.float16) for name, array in arrays.items()}
        write_atomic(folder / "scorer.safetensors", save(half))
        domain = {"rest": self.domain.rest, "limit": self.domain.limit}
        numbers = {"layers": list(self.reader.layers), "calibration": asdict(self.calibration), "domain": domain}
        write_json(folder / "scorer.json", numbers | card)

    def score(self, texts: Sequence[str], language: Language = "en", words: int | None = None) -> list[Score]:
        """A score for each text, in order.

        `words` reads only so many words of each (about), for speed or for comparing at equal length. Chinese texts
        are out of the domain: there is no head for them yet.
        """
        windows: list[list[list[str]]] = []
        reasons: list[str] = []
        for text in texts:
            plain = normalise(text)
            if words is not None:
                plain = " ".join(plain.split(" ")[:words])
            reasons.append(_refusal(plain, language))
            readable = not reasons[-1]
            windows.append(windows_of(plain) if readable else [])
        flat = list(itertools.chain.from_iterable(windows))
        states = iter(read_windows(self.reader, flat, "scoring") if flat else [])
        return [
            self._score([next(states) for _ in own]) if own else Score(None, float("nan"), float("nan"), (), False, why)
            for own, why in zip(windows, reasons, strict=True)
        ]

    def _score(self, windows: list[WindowStates]) -> Score:
        logits, deltas, distances = [], [], []
        for window in windows:
            scores = self.head(window)
            logits.append(self.calibration.logit(voices_of(scores, window, self.frequencies)))
            deltas += np.diff(scores, prepend=0).tolist()
            distances.append(self.domain.distance(window))
        logit, far = float(np.mean(logits)), float(np.mean(distances)) > self.domain.limit
        why = "it does not look like the English prose that the scorer was trained on" if far else ""
        value = None if far else float(1 / (1 + np.exp(-logit)))
        likelihood = float(np.concatenate([window.log_likelihoods for window in windows]).mean())
        return Score(value, logit, likelihood, tuple(deltas), not far, why)


def voices_of(scores: Floats, window: WindowStates, frequencies: Floats) -> tuple[float, float]:
    """What the calibration mixes: the head's score of the window and its excess likelihood, in nats a token.

    `scores` are the head's for each prefix. Excess likelihood is the mean log-likelihood of the tokens after the first
    sentence beyond their frequency alone: SLOR (Pauls and Klein 2012), in which rare words cost nothing and words that
    do not follow do. A token that only completes a run of three tokens read before gains nothing: to a language model
    a loop is the most likely of stories.
    """
    gains = np.where(_repeated(window.ids), 0.0, window.log_likelihoods - frequencies[window.ids])
    start = int(window.ends[0]) if len(window.ends) > 1 else 0
    return float(scores[-1]), float(gains[start:].mean())


def _repeated(ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which tokens end a run of three that stood in the window before."""
    runs = list(zip(ids, ids[1:], ids[2:], strict=False))
    seen: set[tuple[int, ...]] = set()
    marks = [False, False]
    for run in runs:
        marks.append(run in seen)
        seen.add(run)
    return np.array(marks[: len(ids)])


def _refusal(text: str, language: Language) -> str:
    if language != "en":
        return "the scorer is not trained for Chinese"
    if count_words(text, "en") < FEWEST_WORDS:
        return f"it has fewer than {FEWEST_WORDS} words"
    found = identify_language(text)
    return "" if found == "en" else "it is not English prose"
