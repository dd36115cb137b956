"""The loss: as torch computes it, without its logits; and packed rows are as good as rows of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy

from storyteller.models import adapt, apply_lora, load_model, locate
from storyteller.recipe import LoraRecipe, ModelRecipe
from storyteller.recipe.robustness import ContrastiveRecipe
from storyteller.train.contrastive import contrastive_loss
from storyteller.train.objectives import CausalObjective, linear_cross_entropy, packed_attention_mask

_LENGTHS = (5, 21, 1, 13)
_CONTEXT = 48


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 40), st.integers(1, 9), st.integers(2, 30), st.integers(1, 50), st.booleans(),
    st.sampled_from([0.0, 0.1, 0.7]), st.integers(0, 99),
)  # fmt: skip
def test_linear_cross_entropy_is_cross_entropy(
    n: int, width: int, vocabulary: int, chunk: int, frozen: bool, smoothing: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(n, width, generator=generator).requires_grad_()
    weight = torch.randn(vocabulary, width, generator=generator).requires_grad_(not frozen)
    labels = torch.randint(vocabulary, (n,), generator=generator)
    expected = cross_entropy(hidden @ weight.T, labels, reduction="sum", label_smoothing=smoothing)
    wanted = torch.autograd.grad(3 * expected, [hidden] if frozen else [hidden, weight])
    loss = linear_cross_entropy(hidden, weight, labels, chunk, smoothing)
    given = torch.autograd.grad(3 * loss, [hidden] if frozen else [hidden, weight])
    assert torch.allclose(loss, expected, atol=1e-4, rtol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-5, rtol=1e-4) for a, b in zip(given, wanted, strict=True))
    with torch.no_grad():
        loss = linear_cross_entropy(hidden, weight, labels, chunk, smoothing)
        assert torch.allclose(loss, expected, atol=1e-4, rtol=1e-5)


def test_large_logits_do_not_overflow() -> None:
    hidden, weight = torch.full((2, 1), 1e3), torch.tensor([[1e3], [-1e3], [0.0]])
    assert linear_cross_entropy(hidden, weight, torch.tensor([0, 0])) == 0
    assert linear_cross_entropy(hidden, weight, torch.tensor([1, 1])) == 4e6


def test_the_logits_of_a_batch_are_never_all_there() -> None:
    sizes = []

    class Spy(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            if isinstance(result, Tensor) and result.dim() == 2:
                sizes.append(result.shape[0] if result.shape[1] == 30 else 0)
            return result

    with Spy():
        linear_cross_entropy(torch.randn(40, 4).requires_grad_(), torch.randn(30, 4), torch.zeros(40).long(), 8)
    assert max(sizes) == 8


@pytest.fixture(params=["llama", "gpt2", "llama with lora", "llama with prefix"])
def model(request: pytest.FixtureRequest, tiny_llama: Path, tiny_gpt2: Path) -> Any:
    loaded = load_model(locate(tiny_gpt2 if request.param == "gpt2" else tiny_llama))
    if "prefix" in request.param:
        return adapt(loaded, ModelRecipe(method="prefix"), 1, []).eval()
    return apply_lora(loaded, LoraRecipe()).eval() if "lora" in request.param else loaded


@pytest.fixture(params=["by segments", "by mask"])
def objective(request: pytest.FixtureRequest, model: Any) -> CausalObjective:
    objective = CausalObjective(model).eval()
    if request.param == "by mask":
        objective._packed = False
    return objective


def batch(lengths: tuple[int, ...], context: int, seed: int = 0) -> dict[str, Tensor]:
    """One row of packed segments with random tokens; about half of the positions have a label."""
    chance = torch.Generator().manual_seed(seed)
    tensors = {
        name: torch.zeros(1, context, dtype=torch.int64) for name in ("input_ids", "position_ids", "segment_ids")
    }
    tensors["labels"] = torch.full((1, context), -100)
    start = 0
    for number, length in enumerate(lengths, start=1):
        rows = slice(start, start + length)
        ids = torch.randint(3, 300, (length + 1,), generator=chance)
        learned = torch.rand(length, generator=chance) < 0.5
        learned[-1] = True
        tensors["input_ids"][0, rows] = ids[:-1]
        tensors["labels"][0, rows] = torch.where(learned, ids[1:], -100)
        tensors["position_ids"][0, rows] = torch.arange(length)
        tensors["segment_ids"][0, rows] = number
        start += length
    return tensors


def alone(tensors: dict[str, Tensor], number: int) -> dict[str, Tensor]:
    """One segment of a packed row as a row of its own, without padding."""
    mine = tensors["segment_ids"][0] == number
    found = {name: tensor[:, mine] for name, tensor in tensors.items()}
    return found | {"segment_ids": torch.ones_like(found["segment_ids"])}


def test_packed_and_unpacked_losses_agree(objective: CausalObjective) -> None:
    packed = batch(_LENGTHS, _CONTEXT)
    with torch.inference_mode():
        one_by_one = [float(objective(**alone(packed, number))) for number in range(1, len(_LENGTHS) + 1)]
        together = float(objective(**packed))
    assert abs(together - sum(one_by_one)) < 1e-4 * len(_LENGTHS)


def test_the_loss_is_that_of_transformers_itself(objective: CausalObjective, model: Any) -> None:
    packed = batch((21,), 21)
    with torch.inference_mode():
        logits = model(input_ids=packed["input_ids"]).logits[0]
        expected = cross_entropy(logits, packed["labels"][0], ignore_index=-100, reduction="sum")
        assert abs(float(objective(**packed)) - float(expected)) < 1e-3


def test_packed_and_unpacked_logits_agree(objective: CausalObjective, model: Any) -> None:
    """By the loss of each single position, which says the same as its logits for the label."""
    packed = batch(_LENGTHS, _CONTEXT)
    with torch.inference_mode():
        for position in torch.nonzero(packed["labels"][0] >= 0).flatten().tolist():
            number = int(packed["segment_ids"][0, position])
            one = packed["labels"].clone()
            one[:] = -100
            one[0, position] = packed["labels"][0, position]
            single = packed | {"labels": one}
            assert abs(float(objective(**single)) - float(objective(**alone(single, number)))) < 1e-4


def test_no_segment_influences_another(objective: CausalObjective) -> None:
    one = batch(_LENGTHS, _CONTEXT)
    only_second = one["labels"].where(one["segment_ids"] == 2, -100)
    other = batch(_LENGTHS, _CONTEXT, seed=1)
    mixed = one["input_ids"].where(one["segment_ids"] == 2, other["input_ids"])
    with torch.inference_mode():
        first = objective(**one | {"labels": only_second})
        second = objective(**one | {"labels": only_second, "input_ids": mixed})
    assert abs(float(first - second)) < 1e-5


def test_padding_teaches_nothing(objective: CausalObjective) -> None:
    packed, longer = batch(_LENGTHS, 40), batch(_LENGTHS, _CONTEXT)
    longer["input_ids"][longer["segment_ids"] == 0] = 77
    with torch.inference_mode():
        assert abs(float(objective(**packed)) - float(objective(**longer))) < 1e-4


def test_both_code_paths_have_the_same_gradients(tiny_llama: Path) -> None:
    gradients = []
    for packed in (True, False):
        objective = CausalObjective(load_model(locate(tiny_llama)).requires_grad_(True))
        assert objective._packed
        objective._packed = packed
        objective(**batch(_LENGTHS, _CONTEXT)).backward()
        gradients.append({name: p.grad for name, p in objective.named_parameters()})
    for name, value in gradients[0].items():
        assert torch.allclose(value, gradients[1][name], atol=1e-3, rtol=1e-3), name


def test_gradient_checkpointing_changes_no_gradient(tiny_llama: Path) -> None:
    gradients = []
    for saving in (False, True):
        model = load_model(locate(tiny_llama))
        if saving:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        objective = CausalObjective(apply_lora(model, LoraRecipe())).train()
        objective(**batch(_LENGTHS, _CONTEXT)).backward()
        gradients.append([p.grad for p in objective.parameters() if p.requires_grad])
    assert gradients[0]
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_a_batch_without_a_label_has_no_loss_and_no_gradient(tiny_llama: Path) -> None:
    objective = CausalObjective(load_model(locate(tiny_llama)).requires_grad_(True))
    tensors = batch(_LENGTHS, _CONTEXT)
    loss = objective(**tensors | {"labels": torch.full_like(tensors["labels"], -100)})
    loss.backward()
    assert float(loss) == 0
    assert all(p.grad is None or not p.grad.any() for p in objective.parameters())


def test_the_mask_keeps_segments_apart() -> None:
    mask = packed_attention_mask(torch.tensor([[1, 1, 2, 0, 0]]))[0, 0].int()
    assert mask.tolist() == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 1]]


def test_only_training_is_smoothed_and_contrasted(model: Any) -> None:
    tensors = batch(_LENGTHS, _CONTEXT)
    plain = CausalObjective(model)
    changed = CausalObjective(model, smoothing=0.2, contrastive=ContrastiveRecipe(weight=0.5))
    with torch.inference_mode():
        assert float(plain.eval()(**tensors)) == float(changed.eval()(**tensors))
        assert float(plain.train()(**tensors)) != float(changed.train()(**tensors))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.floats(0.1, 1.5))
def test_the_contrastive_loss_is_that_of_its_formula(seed: int, margin: float) -> None:
    torch.manual_seed(seed)
    tensors, hidden = batch(_LENGTHS, _CONTEXT, seed), torch.randn(1, _CONTEXT, 3)
    expected = 0.0
    for number in range(1, len(_LENGTHS) + 1):
        places = torch.nonzero(tensors["segment_ids"][0] == number).flatten().tolist()
        for i in places:
            if int(tensors["labels"][0, i]) >= 0 and len(places) > 1:
                alike = [float(cosine_similarity(hidden[0, i], hidden[0, j], dim=0)) for j in places if j != i]
                expected += sum(max(0.0, margin - 1 + one) for one in alike) / len(alike)
    loss = contrastive_loss(hidden, tensors["labels"], tensors["segment_ids"], margin)
    assert float(loss) == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_the_contrastive_loss_pushes_states_apart() -> None:
    tensors = batch((8,), 8)
    torch.manual_seed(0)
    hidden = (torch.ones(1, 8, 4) + 0.1 * torch.randn(1, 8, 4)).requires_grad_()
    losses = []
    for _ in range(20):
        loss = contrastive_loss(hidden, tensors["labels"], tensors["segment_ids"], 0.5)
        (slope,) = torch.autograd.grad(loss, hidden)
        losses.append(float(loss.detach()))
        hidden = (hidden - slope).detach().requires_grad_()
    assert losses[-1] < losses[0] / 2
