"""Training under a changed input: noise on the embeddings (NEFTune), or the change that hurts most (FGM, FreeLB).

Nothing touches the embedding's weights: what is added stands on its output, for one forward pass. So frozen embeddings
(an adapter's base) are perturbed as well as trained ones, and there is nothing to restore.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from storyteller.recipe.robustness import PerturbRecipe

__all__ = ["Perturbation", "passes_in_step"]


def passes_in_step(recipe: PerturbRecipe | None) -> int:
    """How many forward and backward passes each micro-batch costs."""
    if recipe is None or recipe.method == "neftune":
        return 1
    return 2 if recipe.method == "fgm" else recipe.ascent


class Perturbation:
    """What is added to a model's input embeddings, pass by pass.

    NEFTune (Jain et al. 2023, arXiv 2310.05914): uniform noise, scaled by alpha / sqrt(tokens x width) of each story.
    FGM (Miyato et al. 2017, arXiv 1605.07725): one pass as it is, one moved by `radius` along the gradient; both teach.
    FreeLB (Zhu et al. 2020, arXiv 1909.11764): from random noise `ascent` steps uphill, projected into the ball of
    `radius`; the gradients of all passes are averaged. Norms are taken story by story, and the radius is a share of the
    norm of the story's own embeddings, so that it means the same for every model and length.
    """

    def __init__(self, model: Any, recipe: PerturbRecipe) -> None:
        """Hook into the input embeddings of `model`; outside of `passes` they stay what they are."""
        self.recipe = recipe
        self._segments: Tensor | None = None
        self._delta: Tensor | None = None
        self._radius: Tensor | None = None
        self._handle = model.get_input_embeddings().register_forward_hook(self._add)

    def passes(self, segment_ids: Tensor) -> Iterator[tuple[float, bool]]:
        """For each pass over a batch its share of the loss, and whether it is the last.

        Between two of them the caller has done a forward and a backward pass. `segment_ids` [rows, context] tell the
        stories of the batch apart; padding (0) is never moved.
        """
        count = passes_in_step(self.recipe)
        self._segments, self._delta = segment_ids, None
        try:
            for number in range(count):
                yield 1 / count, number == count - 1
                if number < count - 1:
                    self._climb()
        finally:
            self._segments = self._delta = self._radius = None

    def close(self) -> None:
        """Take the hook off."""
        self._handle.remove()

    def _add(self, module: nn.Module, arguments: Any, embedded: Tensor) -> Tensor:
        if self._segments is None or embedded.shape[:2] != self._segments.shape:
            return embedded
        if self._delta is None:
            self._delta = self._begin(embedded.detach().float(), self._segments)
        return embedded + self._delta.to(embedded.dtype)

    def _begin(self, embedded: Tensor, segments: Tensor) -> Tensor:
        told = segments.gt(0).unsqueeze(2)
        if self.recipe.method == "fgm":
            delta = torch.zeros_like(embedded)
        else:
            width = _per_segment(told[..., 0].float(), segments) * embedded.shape[2]
            delta = (2 * torch.rand_like(embedded) - 1) / width.clamp(min=1).sqrt().unsqueeze(2) * told
        if self.recipe.method == "neftune":
            return delta * self.recipe.noise
        self._radius = self.recipe.radius * _norms(embedded, segments)
        return (delta * self._radius).requires_grad_()

    def _climb(self) -> None:
        """Move along the gradient that the last pass has left."""
        if self._delta is None or self._radius is None or self._segments is None or self._delta.grad is None:
            return  # a batch without a label
        slope = torch.nan_to_num(self._delta.grad.float()) * self._segments.gt(0).unsqueeze(2)
        uphill = slope / _norms(slope, self._segments).clamp(min=torch.finfo(torch.float32).tiny)
        length = 1.0 if self.recipe.method == "fgm" else self.recipe.stride
        delta = self._delta.detach() + length * self._radius * uphill
        norms = _norms(delta, self._segments)
        self._delta = (delta * (self._radius / norms.clamp(min=1e-30)).clamp(max=1.0)).requires_grad_()


def _norms(values: Tensor, segments: Tensor) -> Tensor:
    """The Euclidean norm of each position's whole story, [rows, context, 1]; `values` [rows, context, width]."""
    # A gradient's squares may be too small for float32, so the largest value is taken out first.
    top = float(values.abs().max()) if values.numel() else 0.0
    if top == 0.0 or not math.isfinite(top):
        return torch.zeros_like(values[..., :1])
    return (_per_segment((values / top).square().sum(2), segments).sqrt() * top).unsqueeze(2)


def _per_segment(values: Tensor, segments: Tensor) -> Tensor:
    """The sum of `values` [rows, context] over each position's segment."""
    totals = values.new_zeros(values.shape[0], int(segments.max()) + 1).scatter_add(1, segments, values)
    return totals.gather(1, segments)
