"""From read examples to a scorer: head, word frequencies, domain and calibration, each on the stories meant for it."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from storyteller.errors import DataError
from storyteller.evaluate.scorer.domain import fit_domain
from storyteller.evaluate.scorer.head import Head, fit_head, prefix_features
from storyteller.evaluate.scorer.scorer import Calibration, CoherenceScorer, voices_of
from storyteller.evaluate.scorer.states import WindowStates
from storyteller.evaluate.scorer.training import Example
from storyteller.models.features import Reader
from storyteller.tokens import StoryTokenizer

__all__ = ["accuracy_by_fault", "fit_scorer", "held_out", "token_frequencies"]

Floats = NDArray[np.float32]
Read = tuple[Example, WindowStates]

STRENGTH = 3e-5


def held_out(example: Example, tenths: int = 1) -> bool:
    """Whether the example's story is kept from training, for calibration: a tenth of the stories, by their name."""
    return zlib.crc32(example.story.encode()) % 10 < tenths


def token_frequencies(tokenizer: StoryTokenizer, texts: Iterable[str]) -> Floats:
    """The log-probability of each token in `texts` [vocabulary], half a count added to each."""
    counts = np.full(tokenizer.vocabulary_size, 0.5)
    for text in texts:
        counts += np.bincount(tokenizer.encode(text), minlength=len(counts))
    frequencies: Floats = np.log(counts / counts.sum()).astype(np.float32)
    return frequencies


def fit_scorer(
    reader: Reader, training: Sequence[Read], kept: Sequence[Read], frequencies: Floats, strength: float = STRENGTH
) -> CoherenceScorer:
    """A scorer whose head and domain come from `training`, and whose calibration comes from `kept`, other stories.

    The windows of `kept` need their likelihoods. Raises `DataError` without at least 50 stories in each.
    """
    for name, part in (("training", training), ("calibration", kept)):
        if (stories := len({example.story for example, _ in part})) < 50:
            raise DataError(f"{stories} stories for {name}: 50 are the least that a scorer is fitted on.")
    features = np.stack([prefix_features(window)[-1] for _, window in training])
    faulty = [example.fault is not None for example, _ in training]
    head = fit_head(features, faulty, [example.group for example, _ in training], strength)
    domain = fit_domain([window for _, window in training], [window for _, window in kept])
    return CoherenceScorer(reader, head, frequencies, domain, _calibrate(head, frequencies, kept))


def accuracy_by_fault(scorer: CoherenceScorer, kept: Sequence[Read]) -> dict[str, tuple[float, int]]:
    """How often a story scores higher than its version with each fault, and how many pairs that rests on."""
    logits = [
        scorer.calibration.logit(voices_of(scorer.head(window), window, scorer.frequencies)) for _, window in kept
    ]
    whole = {example.group: logit for (example, _), logit in zip(kept, logits, strict=True) if example.fault is None}
    won: dict[str, list[float]] = {}
    for (example, _), logit in zip(kept, logits, strict=True):
        if example.fault is not None:
            first = whole[example.group]
            won.setdefault(example.fault, []).append(float(first > logit) + 0.5 * (first == logit))
    return {fault: (float(np.mean(values)), len(values)) for fault, values in sorted(won.items())}


def _calibrate(head: Head, frequencies: Floats, kept: Sequence[Read]) -> Calibration:
    """Equal weights: what weights the faults alone would give was worse against people (development halves)."""
    from sklearn.linear_model import LogisticRegression

    voices = np.array([voices_of(head(window), window, frequencies) for _, window in kept])
    means, scales = voices.mean(0), voices.std(0)
    whole = np.array([example.fault is None for example, _ in kept])
    line = LogisticRegression(class_weight="balanced", C=1e6)
    line.fit(((voices - means) / scales).sum(1, keepdims=True), whole)
    return Calibration(
        tuple(means.tolist()), tuple(scales.tolist()), float(line.coef_[0, 0]), float(line.intercept_[0])
    )
