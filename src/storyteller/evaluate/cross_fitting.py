"""Cross-fitting: each text is scored by a classifier that saw no text of its prompt, its work or its near duplicates."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus.duplicates import Sketches, components, near_duplicates, sketch
from storyteller.corpus.story import Language
from storyteller.errors import DataError

__all__ = ["assign_folds", "cross_fit", "linked", "shared_texts"]

_NEAR = 0.8  # Jaccard similarity from which two texts are the same one


def cross_fit(
    matrix: Any, folds: NDArray[np.int64], strength: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Out-of-fold probabilities of being human, for the first half of the rows (human) and the second (system)."""
    from sklearn.linear_model import LogisticRegression

    pairs = len(folds)
    both = np.concatenate([folds, folds])
    human = np.arange(2 * pairs) < pairs
    scores = np.empty(2 * pairs)
    for fold in np.unique(folds):
        train, test = np.flatnonzero(both != fold), np.flatnonzero(both == fold)
        dual = matrix.shape[1] > pairs
        classifier = LogisticRegression(C=strength, solver="liblinear", dual=dual, random_state=0, max_iter=1000)
        classifier.fit(matrix[train], human[train])
        scores[test] = classifier.predict_proba(matrix[test])[:, 1]
    return scores[:pairs], scores[pairs:]


def linked(prompts: Sequence[str], works: Sequence[str] | None) -> list[str]:
    """The cluster of each pair: pairs that share a prompt or a work, directly or over others, have one name."""
    if works is None:
        return list(prompts)
    labels = np.arange(len(prompts))
    for keys in (prompts, [work or f"prompt {prompt}" for work, prompt in zip(works, prompts, strict=True)]):
        first: dict[str, int] = {}
        ours = np.array([first.setdefault(key, place) for place, key in enumerate(keys)], np.int64)
        labels = components(labels, np.arange(len(ours)), ours)
    return [works[int(label)] or prompts[int(label)] for label in labels]


def shared_texts(texts: Sequence[str], clusters: Sequence[str], language: Language) -> list[tuple[int, int]]:
    """Pairs of places whose texts are (nearly) the same though their clusters differ."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sketches"
        np.concatenate([sketch(text, language) for text in texts]).tofile(path)
        twins, _ = near_duplicates(Sketches(path, len(texts)), _NEAR)
    return [(int(twin), place) for place, twin in enumerate(twins) if clusters[twin] != clusters[place]]


def assign_folds(
    clusters: Sequence[str], duplicates: Sequence[tuple[int, int]], folds: int, seed: int
) -> NDArray[np.int64]:
    """The fold of each pair: clusters, joined where they share a text, are dealt out whole, the largest first.

    Raises `DataError` when fewer than `folds` of them are apart, or one holds over half of the pairs.
    """
    groups = _joined(clusters, duplicates)
    _, members, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) < folds:
        raise DataError(
            f"the texts come from {len(sizes)} works, or are the same over works: a judge with {folds} folds needs at "
            f"least {folds} that share nothing."
        )
    if sizes.max() > 0.5 * len(groups):
        raise DataError(
            f"{sizes.max()} of {len(groups)} pairs hang together by a work or by repeated texts, so no judge can be "
            "trained and tested apart. If the system repeats itself, its diversity figures say so."
        )
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled = np.zeros(folds, np.int64)
    fold_of = np.empty(len(sizes), np.int64)
    for group in order:
        fold_of[group] = filled.argmin()
        filled[fold_of[group]] += sizes[group]
    return np.asarray(fold_of[members])


def _joined(clusters: Sequence[str], duplicates: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """The label of what must stand in one fold: clusters, joined where they share a text."""
    labels = np.unique(np.asarray(clusters), return_inverse=True)[1].astype(np.int64)
    first = np.unique(labels, return_index=True)[1]
    left, right = (np.array(side, np.int64) for side in (zip(*duplicates, strict=True) if duplicates else ((), ())))
    joined = components(np.arange(len(first)), labels[left], labels[right])
    return np.asarray(joined[labels])
