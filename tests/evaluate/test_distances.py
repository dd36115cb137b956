from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from storyteller.errors import DataError
from storyteller.evaluate.distances import kid, kid_floor, mauve
from storyteller.evaluate.statistics import Bootstrap


def cloud(seed: int, number: int, shift: float = 0.0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(number, 16)) + shift


def names(number: int) -> list[str]:
    return [str(index) for index in range(number)]


def test_kid_is_the_unbiased_estimate() -> None:
    x, y, labels = cloud(0, 80), cloud(1, 80, 0.3), names(80)

    def kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        a, b = (side * 4 / np.linalg.norm(side, axis=1, keepdims=True) for side in (a, b))
        return np.asarray((a @ b.T / 16 + 1) ** 3)

    def apart(matrix: NDArray[np.float64]) -> float:
        return float((matrix.sum() - np.trace(matrix)) / (80 * 79))  # pairs of one work are left out

    expected = apart(kernel(x, x)) + apart(kernel(y, y)) - 2 * apart(kernel(x, y))
    assert kid(x, y, labels, labels).value == pytest.approx(expected)


def test_kid_of_the_same_distribution_is_0_and_the_floor_says_how_nearly() -> None:
    labels = names(100)
    values = [kid(cloud(seed, 100), cloud(seed + 50, 100), labels, labels).value for seed in range(30)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(30)
    floor = kid_floor(cloud(0, 200), names(200))
    assert floor.low is not None
    assert floor.high is not None
    assert floor.low < 0 < floor.high
    assert np.std(values) < floor.high < 5 * np.std(values)


def test_two_systems_are_compared_on_the_same_works() -> None:
    labels = names(150)
    human, near, far = cloud(0, 150), cloud(1, 150, 0.3), cloud(2, 150, 0.6)
    bootstrap = Bootstrap(labels)
    near_kid, far_kid = (kid(human, system, labels, labels, bootstrap) for system in (near, far))
    low = (far_kid - near_kid).interval().low
    assert low is not None
    assert low > 0
    whole = near_kid.interval()
    assert whole.low is not None
    assert whole.high is not None
    assert whole.low < whole.value < whole.high


def test_mauve_is_that_of_its_authors_given_the_same_histograms() -> None:
    compute = pytest.importorskip("mauve.compute_mauve")
    from storyteller.evaluate.distances import _area

    chance = np.random.default_rng(3)
    p, q = chance.dirichlet(np.ones(20), 2)
    curve = compute.get_divergence_curve_for_multinomials(p, q, np.linspace(1e-6, 1 - 1e-6, 25), 5)
    x, y = curve.T
    area = compute.compute_area_under_curve
    theirs = 0.5 * (area(x[np.argsort(x)], y[np.argsort(x)]) + area(y[np.argsort(y)], x[np.argsort(y)]))
    assert _area(p, q) == pytest.approx(theirs)


def test_mauve_is_near_that_of_its_authors_given_the_same_features() -> None:
    package = pytest.importorskip("mauve")
    human, system = cloud(0, 300), cloud(1, 300, 0.25)
    ours = mauve(human, system, seeds=3)
    theirs = [
        package.compute_mauve(
            p_features=human.astype(np.float32), q_features=system.astype(np.float32), num_buckets=30, seed=seed
        ).mauve_star
        for seed in range(3)
    ]
    assert ours.value == pytest.approx(np.mean(theirs), abs=0.12)
    assert ours.value < ours.ceiling
    assert ours.n == 300
    assert ours.ceiling_n == 150
    assert mauve(human, cloud(2, 300, 0.6), seeds=3).value < ours.value


def test_too_few_texts_are_no_number() -> None:
    with pytest.raises(DataError, match="too few for MAUVE"):
        mauve(cloud(0, 249), cloud(1, 300))
    with pytest.raises(DataError, match="too few for KID"):
        kid(cloud(0, 20), cloud(1, 20), names(20), names(20))
    with pytest.raises(DataError, match="needs two works"):
        kid(cloud(0, 60), cloud(1, 60), ["one"] * 60, names(60))
