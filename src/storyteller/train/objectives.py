"""What is minimised: an objective is a module that turns a batch into the sum of its token losses.

Losses are summed here and divided once, by the target count of the whole optimizer step over all processes; so four
micro-batches of two rows give the gradients of one batch of eight, whatever their lengths.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from storyteller.errors import ModelError
from storyteller.recipe.robustness import ContrastiveRecipe
from storyteller.train.attention import segment_bounds, use_packed_attention
from storyteller.train.contrastive import contrastive_loss
from storyteller.train.own_logits import as_own_logits, probe_ids

__all__ = ["CausalObjective", "MaskedObjective", "linear_cross_entropy", "linear_loss", "packed_attention_mask"]

Judge = Callable[[Tensor, slice, bool], tuple[Tensor, Tensor | None]]
"""From logits [chunk, vocabulary] float32 (which it may write over) and their rows to the summed loss and, when it is
wanted, the loss's gradient by the logits."""

CHUNK = 96
"""Rows of logits alive at once: of 49,152 float32 they are 19 MB. Over 32 MB the C library gives memory back to the system
with every chunk, and getting it again takes longer than a product."""

_CHUNK_TRAINED = 512
"""Where the output layer learns, each chunk adds a whole gradient of it: 113 MB at a width of 576."""

_CHUNK_GPU = 2048
"""On a GPU: 400 MB for the same vocabulary."""


class CausalObjective(nn.Module):
    """Next-token cross-entropy of a transformers causal model on packed rows.

    `forward` takes the tensors of a batch, each [rows, context] int64: `input_ids`, `labels` (the token to be predicted
    from this position; -100 where there is no loss), `position_ids` (restart in each segment), `segment_ids` (0 is
    padding). It returns the summed loss in nats, a float32 scalar. In training mode, and only there, targets are smoothed by
    `smoothing` and the `contrastive` loss is added, so that what is measured stays the likelihood. Without `packed`,
    attention is one masked call on every device: segments of other lengths in each batch could not be compiled once.

    Raises `ModelError` for a model whose own logits are others than those that the loss is made of.
    """

    def __init__(
        self,
        model: nn.Module,
        smoothing: float = 0.0,
        contrastive: ContrastiveRecipe | None = None,
        *,
        packed: bool = True,
    ) -> None:
        super().__init__()
        self.model = model
        self.smoothing, self.contrastive = smoothing, contrastive
        self._packed = packed and use_packed_attention(model)
        self._check_logits()

    @torch.no_grad()
    def _check_logits(self) -> None:
        ids = probe_ids(self._causal)
        places = torch.arange(ids.shape[1], device=ids.device).unsqueeze(0)
        # Behind another text, so that neither path may take the row for one text.
        row = torch.cat([ids[:, :1], ids], 1), torch.cat([places[:, :1], places], 1)
        segments = torch.cat([torch.ones_like(ids[:, :1]), torch.full_like(ids, 2)], 1)
        packed, training = self._packed, self.model.training
        self.model.eval()
        try:
            # Compiled layers would be compiled for this length, too.
            with torch.compiler.set_stance("force_eager"):
                for self._packed in {packed, False}:  # on the processor, and on a GPU
                    last = self.states(*row, segments)[0, -1]
                    if not as_own_logits(self.model, ids, last.to(self.head.dtype) @ self.head.T):
                        raise ModelError(
                            f"a model of the type {self._causal.config.model_type} cannot be trained: its logits are not the "
                            "product of its last states and its output layer (they are scaled, capped or shifted), or its "
                            "layers do not take the mask of packed rows, so the loss would be another model's. Name another "
                            "one as model.base, such as smollm2-135m-instruct."
                        )
        finally:
            self._packed = packed
            self.model.train(training)

    def forward(self, input_ids: Tensor, labels: Tensor, position_ids: Tensor, segment_ids: Tensor) -> Tensor:
        """The summed loss of the batch."""
        hidden = self.states(input_ids, position_ids, segment_ids)
        # The output layer is a fifth of a 135M model's work: only positions that have a target pay for it.
        chosen = labels.ne(-100)
        smoothing = self.smoothing if self.training else 0.0
        loss = linear_cross_entropy(hidden[chosen], self.head, labels[chosen], smoothing=smoothing)
        return loss + self.likeness(hidden, labels, segment_ids) if self.training else loss

    def likeness(self, hidden: Tensor, labels: Tensor, segment_ids: Tensor) -> Tensor:
        """The summed `contrastive` loss of the states with its weight, a float32 scalar; 0 without one."""
        if self.contrastive is None:
            return torch.zeros((), device=hidden.device)
        return self.contrastive.weight * contrastive_loss(hidden, labels, segment_ids, self.contrastive.margin)

    @property
    def head(self) -> Tensor:
        """The output layer's weights [vocabulary, width]."""
        weight: Tensor = self._causal.get_output_embeddings().weight
        return weight

    @property
    def _causal(self) -> Any:
        model: Any = self.model
        return model.get_base_model() if hasattr(model, "get_base_model") else model

    def states(self, input_ids: Tensor, position_ids: Tensor, segment_ids: Tensor) -> Tensor:
        """The last hidden state of each position, [rows, context, width]."""
        from storyteller.generate.torch_batch import apart, layer_masks

        causal = self._causal
        body = getattr(causal, causal.base_model_prefix)
        if self._packed and segment_ids.device.type == "cpu":
            # A mask of four dimensions is taken as it is; this one is never read.
            mask, segments = segment_ids.new_ones(1, 1, 1, 1, dtype=torch.bool), segment_bounds(segment_ids)
            hidden: Tensor = body(
                input_ids=input_ids, position_ids=position_ids, attention_mask=mask, segments=segments, use_cache=False
            ).last_hidden_state
        elif _whole(segment_ids):
            # Positions that are the usual ones need not be told; told, they would be searched for several texts in a row.
            hidden = body(input_ids=input_ids, use_cache=False).last_hidden_state
        else:
            masks = layer_masks(causal.config, packed_attention_mask(segment_ids), apart(position_ids))
            hidden = body(
                input_ids=input_ids, position_ids=position_ids, attention_mask=masks, use_cache=False
            ).last_hidden_state
        return hidden


class MaskedObjective(nn.Module):
    """Cross-entropy of the hidden tokens under a transformers masked model (ModernBERT's classes) on packed rows.

    `forward` takes the tensors of a batch as `CausalObjective` does, but a label stands at its own token's place. It
    returns the summed loss in nats, a float32 scalar.
    """

    def __init__(self, model: nn.Module, *, packed: bool = True) -> None:
        super().__init__()
        self.model = model
        self._packed = packed and use_packed_attention(model)

    def forward(self, input_ids: Tensor, labels: Tensor, position_ids: Tensor, segment_ids: Tensor) -> Tensor:
        """The summed loss of the batch."""
        model: Any = self.model
        mask: Tensor | None
        if self._packed and segment_ids.device.type == "cpu":
            more: dict[str, Any] = {"segments": segment_bounds(segment_ids)}
            mask = segment_ids.new_ones(1, 1, 1, 1, dtype=torch.bool)
        elif _whole(segment_ids):
            more, mask = {}, None
        else:
            more, mask = {}, segment_ids.unsqueeze(2).eq(segment_ids.unsqueeze(1)).unsqueeze(1)
        hidden = model.model(
            input_ids=input_ids,
            position_ids=position_ids,
            # ModernBERT has two kinds of layers; ours are all of the first.
            attention_mask={"full_attention": mask, "sliding_attention": mask},
            **more,
        ).last_hidden_state
        chosen = labels.ne(-100)
        return linear_cross_entropy(model.head(hidden[chosen]), model.decoder.weight, labels[chosen])


def _whole(segment_ids: Tensor) -> bool:
    """Whether each row is one text from its first place to its last: then no mask is needed, and attention is faster."""
    return bool(segment_ids.eq(1).all())


def packed_attention_mask(segment_ids: Tensor) -> Tensor:
    """The boolean mask [rows, 1, context, context] under which each token sees its own segment's past, and no other.

    Padding (segment 0) sees padding, so that no softmax is over nothing.
    """
    same = segment_ids.unsqueeze(2).eq(segment_ids.unsqueeze(1))
    return same.tril().unsqueeze(1)


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, labels: Tensor, chunk: int | None = None, smoothing: float = 0.0
) -> Tensor:
    """The summed cross-entropy of `hidden @ weight.T` against `labels`, without ever holding all logits.

    Shapes: `hidden` [n, width], `weight` [vocabulary, width], `labels` [n]. The gradient of each chunk is made while its
    logits are there (the trick of Liger kernels, Hsu et al. 2024, arXiv 2410.10989), so the backward pass costs nothing.
    `smoothing` spreads that share of each target evenly over the vocabulary (Szegedy et al. 2016, arXiv 1512.00567).
    """
    cross_entropy = functools.partial(_cross_entropy, labels, smoothing)
    result: Tensor = _LinearLoss.apply(hidden, weight, cross_entropy, chunk or _chunk(hidden, weight))  # type: ignore[no-untyped-call]
    return result


def linear_loss(hidden: Tensor, weight: Tensor, judge: Judge, chunk: int | None = None) -> Tensor:
    """The summed loss that `judge` finds in `hidden @ weight.T`, chunk by chunk as in `linear_cross_entropy`."""
    result: Tensor = _LinearLoss.apply(hidden, weight, judge, chunk or _chunk(hidden, weight))  # type: ignore[no-untyped-call]
    return result


def _chunk(hidden: Tensor, weight: Tensor) -> int:
    if hidden.device.type == "cuda":
        return _CHUNK_GPU
    return _CHUNK_TRAINED if weight.requires_grad else CHUNK


def _cross_entropy(
    labels: Tensor, smoothing: float, logits: Tensor, rows: slice, wants_slope: bool
) -> tuple[Tensor, Tensor | None]:
    target = labels[rows].unsqueeze(1)
    told = logits.gather(1, target)
    if smoothing:
        told = (1 - smoothing) * told + smoothing * logits.mean(1, keepdim=True)
    # All over the logits themselves: to get another tensor of their size costs as much as what is done with it.
    peak = logits.amax(1, keepdim=True)
    total = logits.sub_(peak).exp_().sum(1, keepdim=True)
    loss = (peak + total.log() - told).sum()
    if not wants_slope:
        return loss, None
    # d loss / d logits = softmax - one-hot (smoothed).
    slope = logits.div_(total)
    if smoothing:
        slope -= smoothing / slope.shape[1]
    slope.scatter_add_(1, target, torch.full_like(target, smoothing - 1.0, dtype=slope.dtype))
    return loss, slope


class _LinearLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, judge: Judge, chunk: int) -> Tensor:
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        wants_hidden, wants_weight = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
        inputs, matrix = hidden.to(dtype), weight.to(dtype)
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if wants_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
        with torch.autocast(device, enabled=False):
            for start in range(0, hidden.shape[0], chunk):
                rows = slice(start, start + chunk)
                part, slope = judge((inputs[rows] @ matrix.T).float(), rows, wants_hidden or wants_weight)
                loss += part
                if slope is None:
                    continue
                slope = slope.to(dtype)
                if grad_hidden is not None:
                    grad_hidden[rows] = (slope @ matrix).to(hidden.dtype)
                if grad_weight is not None:
                    grad_weight += (slope.T @ inputs[rows]).float()
        ctx.gradients = (grad_hidden, None if grad_weight is None else grad_weight.to(weight.dtype))
        return loss

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (scale,) = outputs
        grad_hidden, grad_weight = ctx.gradients
        return (
            None if grad_hidden is None else grad_hidden * scale.to(grad_hidden.dtype),
            None if grad_weight is None else grad_weight * scale.to(grad_weight.dtype),
            None,
            None,
        )
