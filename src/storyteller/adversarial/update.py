"""One optimizer step of the policy over groups: what all trainers share. They differ in the loss of a micro-batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from storyteller.adversarial.groups import Rows, lay_out
from storyteller.adversarial.policy import Policy, Tokens
from storyteller.train.optim import trainable

__all__ = ["Batch", "Lesson", "Loss", "batches", "k3", "take_step"]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the policy learns at one prompt: drawn stories with a weight and a reference log-probability for each token,
    and the human story, which comes last in the row. `entropy` is the reference's mean on the drawn tokens.
    """

    prompt: Sequence[int]
    stories: Sequence[Sequence[int]]
    weights: Sequence[Tensor]
    reference: Sequence[Tensor]
    human: Sequence[int]
    entropy: float = 0.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Some lessons as tensors, each [n] over the stories' tokens; on human tokens `weight` and `reference` are 0.

    `lesson` [n] is the place in the batch of the lesson that a token belongs to, and `entropy` [lessons of the batch] the
    reference's mean on each lesson's drawn tokens;
    `drawn_tokens`, `human_tokens` and `lessons` count the whole step, over all of its batches: the divisors.
    """

    rows: Rows
    drawn: Tensor
    temperature: Tensor
    weight: Tensor
    reference: Tensor
    lesson: Tensor
    entropy: Tensor
    drawn_tokens: int
    human_tokens: int
    lessons: int


Loss = Callable[[Tokens, Batch], tuple[Tensor, dict[str, float]]]
"""The part of the step's loss that one batch holds, and figures that add up over batches."""


def batches(
    lessons: Sequence[Lesson], rows: int, temperature: float, pad_id: int, device: torch.device
) -> Iterator[Batch]:
    """The lessons in batches of `rows`; drawn tokens at `temperature`, human ones at 1."""
    drawn_tokens = sum(len(story) for lesson in lessons for story in lesson.stories)
    human_tokens = sum(len(lesson.human) for lesson in lessons)
    for start in range(0, len(lessons), rows):
        part = lessons[start : start + rows]
        branches = [[*lesson.stories, *([lesson.human] if lesson.human else [])] for lesson in part]
        layout = lay_out([lesson.prompt for lesson in part], branches, pad_id, device)
        weight, reference, drawn, owner = [], [], [], []
        for number, lesson in enumerate(part):
            human = torch.zeros(len(lesson.human))
            weight += [*lesson.weights, human]
            reference += [*lesson.reference, human]
            drawn += [torch.ones(sum(map(len, lesson.stories))), human]
            owner.append(torch.full((len(drawn[-2]) + len(human),), number))
        is_drawn = torch.cat(drawn).to(device).bool()
        yield Batch(
            rows=layout,
            drawn=is_drawn,
            temperature=torch.where(is_drawn, temperature, 1.0),
            weight=torch.cat(weight).to(device),
            reference=torch.cat(reference).to(device),
            lesson=torch.cat(owner).to(device),
            entropy=torch.tensor([lesson.entropy for lesson in part], device=device),
            drawn_tokens=max(1, drawn_tokens),
            human_tokens=max(1, human_tokens),
            lessons=len(lessons),
        )


def take_step(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    parts: Iterator[Batch],
    loss_of: Loss,
    *,
    rate: float,
    clip: float | None,
) -> dict[str, float]:
    """Add up the gradients of all parts and step; the summed figures, and `grad_norm` before clipping.

    With a gradient that is no number nothing is stepped: the figures say so, and the monitors act on it.
    """
    figures: dict[str, float] = {"loss": 0.0}
    for part in parts:
        hidden, _ = policy.read(part.rows)
        loss, told = loss_of(policy.tokens(hidden, part.rows.labels, part.temperature), part)
        loss.backward()  # type: ignore[no-untyped-call]
        figures["loss"] += float(loss.detach())
        for name, value in told.items():
            figures[name] = figures.get(name, 0.0) + value
    parameters: list[nn.Parameter] = list(trainable(policy.model).values())
    figures["grad_norm"] = float(torch.nn.utils.clip_grad_norm_(parameters, clip or math.inf))
    if math.isfinite(figures["grad_norm"]) and math.isfinite(figures["loss"]):
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("share", 1.0)  # of a layer, see `train.layer_decay`
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return figures


def k3(logprob: Tensor, reference: Tensor) -> Tensor:
    """exp(d) - d - 1 with d = log reference - log policy, per token drawn from the policy.

    Its mean is KL(policy || reference), without bias and never negative (Schulman 2020, "Approximating KL divergence").
    As a loss, its mean gradient is that of KL(reference || policy), which pulls back where the policy drops what the
    reference says; near the reference both are the same to second order.
    """
    d = (reference - logprob).clamp(-20, 20)
    return d.exp() - d - 1
