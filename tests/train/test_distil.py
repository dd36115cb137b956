"""Distillation: the loss is Hinton's, a perfect student has none of it, and a student comes nearer to its teacher."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny import tiny_model
from tests.train.conftest import MakeRecipe
from tests.train.test_objectives import batch
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from storyteller.errors import TrainingError
from storyteller.models import load_model, locate
from storyteller.recipe.robustness import DistilRecipe
from storyteller.tokens import StoryTokenizer
from storyteller.train import finetune
from storyteller.train.distil import DistilObjective, build_objective, linear_distillation
from storyteller.train.objectives import CausalObjective


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 12), st.integers(2, 20), st.floats(0.1, 1), st.floats(0.5, 4), st.none() | st.integers(1, 25),
    st.integers(1, 3), st.floats(0, 0.5), st.integers(0, 99),
)  # fmt: skip
def test_the_loss_and_its_gradient_are_those_of_torch(
    n: int, vocabulary: int, weight: float, heat: float, top: int | None, teachers: int, smoothing: float, seed: int
) -> None:
    torch.manual_seed(seed)
    hidden, head = torch.randn(n, 5).requires_grad_(), torch.randn(vocabulary, 5).requires_grad_()
    labels = torch.randint(vocabulary, (n,))
    told = [(torch.randn(n, 3 + i), torch.randn(vocabulary, 3 + i)) for i in range(teachers)]
    recipe = DistilRecipe(teachers=["t"], weight=weight, temperature=heat, top=top)
    wanted = torch.stack([(states @ other.T / heat).softmax(1) for states, other in told]).mean(0)
    if top is not None and top < vocabulary:
        least = wanted.topk(top).values[:, -1:]
        wanted = wanted.where(wanted >= least, 0.0)
        wanted = wanted / wanted.sum(1, keepdim=True)
    logits = hidden @ head.T
    apart = kl_div(log_softmax(logits / heat, 1), wanted, reduction="sum")
    own = cross_entropy(logits, labels, reduction="sum", label_smoothing=smoothing)
    expected = (1 - weight) * own + weight * heat**2 * apart
    found = linear_distillation(hidden, head, labels, told, recipe, smoothing)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3)
    slopes = [torch.autograd.grad(2 * loss, [hidden, head]) for loss in (expected, found)]
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-3) for a, b in zip(*slopes, strict=True))


def test_who_is_the_teacher_has_nothing_to_learn(tiny_llama: Path) -> None:
    student, teacher = (load_model(locate(tiny_llama)) for _ in range(2))
    objective = DistilObjective(CausalObjective(student), [teacher], DistilRecipe(teachers=["t"], weight=1.0))
    tensors = batch((5, 21), 32)
    assert abs(float(objective.train()(**tensors).detach())) < 1e-2
    assert float(objective.eval()(**tensors).detach()) > 1
    assert {name.split(".")[0] for name, _ in objective.named_parameters()} == {"student"}


def test_what_a_recipe_adds_to_the_loss_is_there_with_a_teacher(small: MakeRecipe, tiny_llama: Path) -> None:
    tensors = batch((5, 21), 32)

    def loss(*more: str, mode: bool = True) -> float:
        recipe = small(f"distil={{teachers: [{tiny_llama}], weight: 0.5}}", *more)
        located = locate(tiny_llama)
        objective = build_objective(recipe, load_model(located), StoryTokenizer.load(located.folder))
        return float(objective.train(mode)(**tensors).detach())

    for addition in ("train.label_smoothing=0.3", "train.contrastive={weight: 1.0}"):
        assert abs(loss(addition) - loss()) > 1e-2
        assert loss(addition, mode=False) == loss(mode=False)


def test_a_run_brings_the_student_nearer(small: MakeRecipe, tmp_path: Path) -> None:
    teacher = tiny_model(tmp_path / "teacher", seed=7)
    recipe = small(f"distil={{teachers: [{teacher}], weight: 1.0, temperature: 1.0}}", "train.steps=20",
                   "model.method=full", "train.lr=0.003")  # fmt: skip
    run = finetune(recipe, tmp_path / "run")
    losses = [line["loss"] for line in run.metrics() if line["split"] == "train"]
    assert losses[-1] < losses[0] / 2


def test_another_tokenizer_is_refused(small: MakeRecipe, tmp_path: Path) -> None:
    teacher = tiny_model(tmp_path / "teacher", vocabulary=330)
    with pytest.raises(TrainingError, match="another tokenizer"):
        finetune(small(f"distil.teachers=[{teacher}]"), tmp_path / "run")


def test_a_teacher_who_reads_less_is_refused(small: MakeRecipe, tmp_path: Path) -> None:
    """Beyond its last position one kind of model falls over, and another teaches what it never learned."""
    teacher = tiny_model(tmp_path / "teacher", seed=7)
    config = json.loads((teacher / "config.json").read_text())
    (teacher / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 16}))
    with pytest.raises(TrainingError, match="reads 16 tokens at most"):
        finetune(small(f"distil.teachers=[{teacher}]"), tmp_path / "run")
