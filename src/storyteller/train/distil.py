"""Distillation by logits: a student learns the whole distribution of one teacher, or of the mixture of several.

The teachers read the student's own ids, so all must have one tokenizer. For a teacher with another tokenizer let it tell
stories and train on those (`storyteller.ensemble.distil`).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from storyteller.errors import TrainingError
from storyteller.models import load_model, locate
from storyteller.recipe import Recipe
from storyteller.recipe.robustness import DistilRecipe
from storyteller.tokens import StoryTokenizer
from storyteller.train.objectives import CausalObjective, linear_loss

__all__ = ["DistilObjective", "build_objective", "linear_distillation", "load_teachers"]


def build_objective(recipe: Recipe, model: nn.Module, tokenizer: StoryTokenizer) -> nn.Module:
    """What a recipe minimises on `model`: likelihood, with a teacher when it names one."""
    train = recipe.train
    # Segments of other lengths in each batch could not be compiled once.
    student = CausalObjective(model, train.label_smoothing, train.contrastive, packed=not train.compile)
    if recipe.distil is None:
        return student
    teachers = load_teachers(recipe.distil.teachers, tokenizer, recipe.data.context)
    return DistilObjective(student, teachers, recipe.distil)


def load_teachers(names: Sequence[str], tokenizer: StoryTokenizer, context: int) -> list[Any]:
    """The teachers with their adapters merged in.

    Raises `TrainingError` for one whose tokenizer is not the student's, or who reads fewer than `context` tokens.
    """
    models = []
    for name in names:
        located = locate(name)
        if located.ensemble is not None:
            members = " ".join(member.name for member in located.members)
            raise TrainingError(f"distil.teachers: {name} is an ensemble; name its members instead: {members}.")
        if StoryTokenizer.load(located.folder).sha256 != tokenizer.sha256:
            raise TrainingError(
                f"distil.teachers: {name} has another tokenizer than model.base, so their probabilities cannot be "
                "compared. Let it tell stories (storyteller.ensemble.tell_examples) and fine-tune on those."
            )
        model = load_model(located, dtype="float32", merge=True)
        longest = getattr(model.config, "max_position_embeddings", None) or context
        if context > longest:
            raise TrainingError(
                f"distil.teachers: {name} reads {longest} tokens at most, and data.context is {context}; set it to {longest}."
            )
        models.append(model)
    return models


class DistilObjective(nn.Module):
    """A `CausalObjective` of the student in which, in training mode, teachers have a say; measured, it is the student's."""

    def __init__(self, student: CausalObjective, teachers: Sequence[Any], recipe: DistilRecipe) -> None:
        super().__init__()
        self.student, self.recipe = student, recipe
        # In a tuple, so that they are no part of what is trained, saved or counted.
        self._teachers = tuple(CausalObjective(teacher.requires_grad_(False)).eval() for teacher in teachers)

    def forward(self, input_ids: Tensor, labels: Tensor, position_ids: Tensor, segment_ids: Tensor) -> Tensor:
        """The summed loss of the batch; see `CausalObjective`."""
        if not self.training:
            loss: Tensor = self.student(input_ids, labels, position_ids, segment_ids)
            return loss
        chosen = labels.ne(-100)
        states = self.student.states(input_ids, position_ids, segment_ids)
        told = []
        with torch.no_grad():
            for teacher in self._teachers:
                if teacher.head.device != input_ids.device:
                    teacher.to(input_ids.device)
                told.append((teacher.states(input_ids, position_ids, segment_ids)[chosen], teacher.head))
        loss = linear_distillation(
            states[chosen], self.student.head, labels[chosen], told, self.recipe, self.student.smoothing
        )
        return loss + self.student.likeness(states, labels, segment_ids)


def linear_distillation(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    told: Sequence[tuple[Tensor, Tensor]],
    recipe: DistilRecipe,
    smoothing: float = 0.0,
) -> Tensor:
    """(1 - w) cross-entropy + w T^2 KL(teachers || student at temperature T), summed (Hinton et al. 2015, arXiv 1503.02531).

    Shapes and the cross-entropy's `smoothing` as in `linear_cross_entropy`; `told` has the states [n, width] and the output
    layer of each teacher, whose distributions are averaged. With `recipe.top` only the likeliest tokens of that average
    count, renormalised.
    """
    return linear_loss(hidden, weight, functools.partial(_judge, labels, tuple(told), recipe, smoothing))


def _judge(
    labels: Tensor,
    told: tuple[tuple[Tensor, Tensor], ...],
    recipe: DistilRecipe,
    smoothing: float,
    logits: Tensor,
    rows: slice,
    wants_slope: bool,
) -> tuple[Tensor, Tensor | None]:
    share, heat, target = recipe.weight, recipe.temperature, labels[rows].unsqueeze(1)
    wanted = _mixture([(states[rows], head) for states, head in told], logits.shape[1], recipe)
    plain = logits.log_softmax(1)
    flat = (logits / heat).log_softmax(1)
    # 0 log 0 is 0: where the teachers see no chance, nothing is lost.
    apart = (torch.xlogy(wanted, wanted) - wanted * flat).sum()
    own = (1 - smoothing) * plain.gather(1, target).sum() + smoothing * plain.mean(1).sum()
    loss = share * heat**2 * apart - (1 - share) * own
    if not wants_slope:
        return loss, None
    slope = (1 - share) * (plain.exp_() - smoothing / plain.shape[1]) + (share * heat) * (flat.exp_() - wanted)
    told_by_text = torch.full_like(target, (share - 1) * (1 - smoothing), dtype=slope.dtype)
    return loss, slope.scatter_add_(1, target, told_by_text)


def _mixture(told: Sequence[tuple[Tensor, Tensor]], vocabulary: int, recipe: DistilRecipe) -> Tensor:
    """The teachers' mean distribution at the temperature [chunk, vocabulary]; rows that only pad a vocabulary are left out."""
    total = torch.zeros(told[0][0].shape[0], vocabulary, device=told[0][0].device)
    for states, head in told:
        size = min(vocabulary, head.shape[0])
        logits = (states.to(head.dtype) @ head[:size].T).float()
        total[:, :size] += (logits / recipe.temperature).softmax(1) / len(told)
    if recipe.top is not None and recipe.top < vocabulary:
        best, places = total.topk(recipe.top, dim=1)
        total = torch.zeros_like(total).scatter_(1, places, best / best.sum(1, keepdim=True))
    return total
