from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.adapters import tiny_ensemble
from tests.tiny import tiny_model

from storyteller.ensemble.likelihood import MixtureModel
from storyteller.errors import ModelError
from storyteller.generate.mixture import MixtureEngine, open_mixture
from storyteller.models import adapt, load_model, locate, save_model
from storyteller.models.ensemble_file import Ensemble, Member, Rule, write_ensemble
from storyteller.recipe import ModelRecipe

IDS = [1, 45, 87, 9, 200, 14, 33]


def in_writing(engine: MixtureEngine, first: int = 2) -> list[float]:
    return [float(engine.feed(IDS[:place])[IDS[place]]) for place in range(first, len(IDS))]


@pytest.mark.parametrize(
    ("rule", "weights"),
    [("arithmetic", (0.5, 0.3, 0.2)), ("geometric", (0.5, 0.3, 0.2)), ("contrastive", (1.5, -0.3, -0.2))],
)
def test_a_text_is_as_likely_as_in_writing(
    tiny_llama: Path, tmp_path: Path, rule: Rule, weights: tuple[float, ...]
) -> None:
    located = locate(tiny_ensemble(tiny_llama, tmp_path, weights, rule))
    found = MixtureModel(located).log_probabilities(torch.tensor(IDS), 2)
    np.testing.assert_allclose(found, in_writing(open_mixture(located, "torch")), atol=5e-3)


@pytest.mark.parametrize("kind", ["divergence", "sure"])
def test_gates_are_those_of_writing(tiny_llama: Path, tmp_path: Path, kind: str) -> None:
    engine = open_mixture(locate(tiny_ensemble(tiny_llama, tmp_path)), "torch")
    seen, before = [], 0.0
    for place in range(2, len(IDS)):
        said = engine.feed(IDS[:place]).said
        apart, before = engine.spent.divergence - before, engine.spent.divergence
        seen.append(apart if kind == "divergence" else float(np.exp(said[0].max())))
    # A gate that half of the tokens pass.
    located = locate(tiny_ensemble(tiny_llama, tmp_path / "gated", gate={kind: sorted(seen)[2] + 1e-5}))
    engine, model = open_mixture(located, "torch"), MixtureModel(located)
    np.testing.assert_allclose(model.log_probabilities(torch.tensor(IDS), 2), in_writing(engine), atol=5e-3)
    assert engine.spent.mixed == model.mixer.spent.mixed
    assert 0 < engine.spent.mixed < engine.spent.tokens


def test_whole_models_are_read_side_by_side(tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        tiny_model(tmp_path / name, seed=seed)
    write_ensemble(tmp_path, Ensemble(members=(Member(model="a"), Member(model="b"))))
    expected = in_writing(open_mixture(locate(tmp_path), "torch"), first=1)
    found = MixtureModel(locate(tmp_path)).log_probabilities(torch.tensor(IDS), 1)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_what_is_no_ensemble_is_refused(tiny_llama: Path) -> None:
    with pytest.raises(ModelError, match="no ensemble"):
        MixtureModel(locate(tiny_llama))


def test_members_of_any_method_over_one_base(tiny_llama: Path, tmp_path: Path) -> None:
    """A prefix, bottlenecks and LoRA over the same base: only factors can share a pass, so each reads by itself."""
    for method in ("prefix", "bottleneck", "lora"):
        model = adapt(load_model(locate(tiny_llama)), ModelRecipe(method=method), 1)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter += 0.1
        save_model(model, tmp_path / method, tokenizer_from=tiny_llama, check=False)
    members = (Member(model="prefix"), Member(model="bottleneck"), Member(model="lora"))
    write_ensemble(tmp_path, Ensemble(members=members))
    expected = in_writing(open_mixture(locate(tmp_path), "torch"), first=1)
    found = MixtureModel(locate(tmp_path)).log_probabilities(torch.tensor(IDS), 1)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    alone = [load_model(locate(tmp_path / member.model), merge=True) for member in members]
    with torch.inference_mode():
        chances = [model(input_ids=torch.tensor([IDS])).logits[0].softmax(-1) for model in alone]
    mixed = [float(sum(chance[at - 1, IDS[at]] for chance in chances) / 3) for at in range(1, len(IDS))]
    np.testing.assert_allclose(np.exp(found), mixed, atol=1e-4)
