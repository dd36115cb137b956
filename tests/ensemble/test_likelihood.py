from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.adapters import tiny_ensemble
from tests.tiny import tiny_model

from storyteller.ensemble.likelihood import MixtureModel
from storyteller.errors import ModelError
from storyteller.generate.mixture import open_mixture
from storyteller.models import locate
from storyteller.models.ensemble_file import Ensemble, Member, write_ensemble

IDS = [1, 45, 87, 9, 200, 14, 33]


@pytest.mark.parametrize(
    ("rule", "weights", "gate"),
    [
        ("arithmetic", (0.5, 0.3, 0.2), {}),
        ("geometric", (0.5, 0.3, 0.2), {"divergence": 0.02}),
        ("arithmetic", (0.5, 0.3, 0.2), {"sure": 0.05}),
        ("contrastive", (1.5, -0.3, -0.2), {}),
    ],
)
def test_a_text_is_as_likely_as_in_writing(
    tiny_llama: Path, tmp_path: Path, rule: str, weights: tuple[float, ...], gate: dict[str, float]
) -> None:
    located = locate(tiny_ensemble(tiny_llama, tmp_path, weights, rule, gate=gate))  # type: ignore[arg-type]
    engine = open_mixture(located, "torch")
    expected = [float(engine.feed(IDS[:place])[IDS[place]]) for place in range(2, len(IDS))]
    found = MixtureModel(located).log_probabilities(torch.tensor(IDS), 2)
    np.testing.assert_allclose(found, expected, atol=5e-3)
    if gate:
        assert 0 < engine.spent.mixed < len(expected)


def test_whole_models_are_read_side_by_side(tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        tiny_model(tmp_path / name, seed=seed)
    write_ensemble(tmp_path, Ensemble(members=(Member(model="a"), Member(model="b"))))
    engine = open_mixture(locate(tmp_path), "torch")
    expected = [float(engine.feed(IDS[:place])[IDS[place]]) for place in range(1, len(IDS))]
    found = MixtureModel(locate(tmp_path)).log_probabilities(torch.tensor(IDS), 1)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_what_is_no_ensemble_is_refused(tiny_llama: Path) -> None:
    with pytest.raises(ModelError, match="no ensemble"):
        MixtureModel(locate(tiny_llama))
