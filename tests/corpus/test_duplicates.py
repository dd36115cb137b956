from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus.duplicates import Sketches, components, near_duplicates, similar, sketch
from storyteller.corpus.story import Language


def words(seed: int, count: int = 300) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choice("abcdefghij") for _ in range(5)) for _ in range(count)]


def characters(seed: int, count: int = 400) -> list[str]:
    draw = random.Random(seed)
    return [chr(0x4E00 + draw.randrange(3000)) for _ in range(count)]


def changed(tokens: list[str], every: int) -> list[str]:
    return [f"x{index}" if index % every == 0 else token for index, token in enumerate(tokens)]


def jaccard(left: list[str], right: list[str], size: int) -> float:
    a, b = ({tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)} for tokens in (left, right))
    return len(a & b) / len(a | b)


def test_sketches_estimate_jaccard() -> None:
    cases: list[tuple[Language, str, int]] = [("en", " ", 3), ("zh", "", 5)]
    for language, joint, size in cases:
        for every in (60, 12, 5):
            left = words(1) if language == "en" else characters(1)
            right = changed(left, every)
            if language == "zh":
                right = [token[0] if token[0] != "x" else "龘" for token in right]
            pair = [sketch(joint.join(tokens), language)[None] for tokens in (left, right)]
            assert abs(similar(*pair)[0] - jaccard(left, right, size)) < 0.15


def on_disk(folder: Path, rows: NDArray[np.uint16]) -> Sketches:
    rows.tofile(folder / "sketches.bin")
    return Sketches(folder / "sketches.bin", len(rows))


def test_finds_near_duplicates_and_kin_and_nothing_else(tmp_path: Path) -> None:
    base = words(1)
    texts = [base, words(2), changed(base, 60), words(3), changed(base, 11), *(words(seed) for seed in range(10, 60))]
    twins, kin = near_duplicates(on_disk(tmp_path, np.array([sketch(" ".join(text), "en") for text in texts])), 0.8)
    assert twins[2] == 0
    assert twins[4] == 4
    assert kin[4] == kin[2] == 0
    assert len(set(kin)) == len(texts) - 2


def test_many_equal_stories_are_one_cluster(tmp_path: Path) -> None:
    sketches = np.repeat(sketch(" ".join(words(1)), "en")[None], 3000, axis=0)
    twins, _ = near_duplicates(on_disk(tmp_path, sketches), 0.8)
    assert not twins.any()


def test_components_are_labelled_by_their_first() -> None:
    labels = components(np.arange(7), np.array([5, 3, 6]), np.array([3, 1, 4]))
    assert labels.tolist() == [0, 1, 2, 1, 4, 1, 4]
