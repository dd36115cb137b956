"""LoRA whose ranks move to the layers that need them (Zhang et al. 2023, "AdaLoRA", arXiv 2303.10512).

A layer's delta is B diag(E) A. Every few steps the directions that mattered least, over all layers, lose their entry in E.
PEFT has the layers and the scores; what it leaves to a loop, and most loops forget, is `Allocation`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from storyteller.errors import TrainingError
from storyteller.models.adapters.targets import chosen_linear, is_transposed, refuse_adapted, short_names
from storyteller.models.quiet import quiet
from storyteller.recipe.methods import AdaloraRecipe

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Allocation", "apply_adalora", "ranks", "saved_ranks"]

_AT_LEAST = 4
_SCORES = ("ipt", "exp_avg_ipt", "exp_avg_unc")


def apply_adalora(model: Any, recipe: AdaloraRecipe, seed: int = 0) -> Any:
    """Freeze `model` and lay an adapter of `first_rank` over it: a `peft.PeftModel` that computes what the model did.

    Its ranks stay until an `Allocation` moves them. Raises `ModelError` when a name in `recipe.targets` matches no linear
    layer, or when the model has an adapter already.
    """
    import torch
    from peft import AdaLoraConfig, get_peft_model

    refuse_adapted(model)
    targets = chosen_linear(model, recipe.targets, "model.adalora.targets")
    config = AdaLoraConfig(
        task_type="CAUSAL_LM",
        init_r=recipe.first_rank,
        target_r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        orth_reg_weight=recipe.orthogonality,
        target_modules=short_names(model, targets),
        fan_in_fan_out=is_transposed(model, targets),
        total_step=1 << 30,  # the steps are known when the model has been timed; see `Allocation`
    )
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(seed)
        return get_peft_model(model, config)


class Allocation:
    """The allocator of a run of `steps` steps: what the loop calls before and after each optimizer step.

    Its state is the smoothed scores of every direction and, once the ranks are fixed, which directions stay.
    """

    def __init__(self, model: Any, recipe: AdaloraRecipe, steps: int) -> None:
        """Set the schedule; raises `TrainingError` when the run is too short to move ranks in."""
        if steps < _AT_LEAST:
            raise TrainingError(
                f"AdaLoRA cannot move ranks in {steps} steps; give {_AT_LEAST} or more, or take model.method=lora."
            )
        self._tuner, self._weight = model.base_model, recipe.orthogonality
        config = self._config = self._tuner.peft_config[self._tuner.trainable_adapter_name]
        config.total_step = steps
        config.tinit = min(round(recipe.warm_share * steps), steps - 3)
        config.tfinal = min(round(recipe.final_share * steps), steps - config.tinit - 2)
        config.deltaT = recipe.every or max(1, steps // 50)

    def add_penalty_gradient(self, scale: float = 1.0) -> None:
        """Add to each factor's gradient that of its distance from orthogonality, times the recipe's weight and `scale`.

        By hand, once a step: in the loss it would be counted once a micro-batch and process, and shown as loss.
        """
        import torch

        factors = [
            parameter
            for name, parameter in self._tuner.named_parameters()
            if parameter.requires_grad and ("lora_A" in name or "lora_B" in name)
        ]
        if not self._weight or not factors:
            return
        with torch.autocast(factors[0].device.type, enabled=False):
            distances = []
            for factor in factors:
                product = factor @ factor.T if factor.shape[0] < factor.shape[1] else factor.T @ factor
                distances.append(torch.linalg.matrix_norm(product - torch.eye(*product.shape, device=product.device)))
            penalty = torch.stack(distances).mean() * (self._weight * scale)
        for factor, gradient in zip(factors, torch.autograd.grad(penalty, factors), strict=True):
            factor.grad = gradient if factor.grad is None else factor.grad + gradient

    def allocate(self, step: int) -> None:
        """Score every direction and, when it is time, mask the least; after optimizer step `step` (from 1).

        The gradients of the step have to be there still. Where they are no numbers, as in a step that float16 leaves out,
        they count nothing: one such would stay in the smoothed scores for good, and no rank would move any more.
        """
        import torch

        for parameter in self._tuner.parameters():
            if parameter.grad is not None:
                torch.nan_to_num_(parameter.grad, nan=0.0, posinf=0.0, neginf=0.0)
        self._tuner.update_and_allocate(step)

    def tensors(self) -> dict[str, Tensor]:
        """The allocator's state by name, for a checkpoint."""
        import torch

        allocator, pattern = self._tuner.rankallocator, self._config.rank_pattern or {}
        scores = {
            f"{kind}/{name}": value.detach().cpu().contiguous()
            for kind in _SCORES
            for name, value in getattr(allocator, kind).items()
        }
        return scores | {f"stays/{name}": torch.tensor(mask) for name, mask in pattern.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `tensors` gave."""
        allocator = self._tuner.rankallocator
        places = {name: parameter.device for name, parameter in self._tuner.model.named_parameters()}
        allocator.reset_ipt()
        pattern = {}
        for key, value in tensors.items():
            kind, _, name = key.partition("/")
            if kind == "stays":
                pattern[name] = value.tolist()
            else:
                getattr(allocator, kind)[name] = value.to(places[name])
        self._config.rank_pattern = pattern or None


def ranks(model: Any) -> dict[str, list[bool]]:
    """Which directions of each layer are in use, by the name of its E; the rank is how many are."""
    return {
        name: parameter.detach().ne(0).view(-1).tolist()
        for name, parameter in model.base_model.model.named_parameters()
        if ".lora_E." in name
    }


@contextlib.contextmanager
def saved_ranks(model: Any, *, pruned: bool) -> Iterator[None]:
    """Let PEFT write and read the model's weights as they are in memory, or `pruned`, without what is not in use.

    PEFT prunes what it writes, and the very model that it reads into, as soon as a rank was moved; but a run that goes on
    needs all directions, since what is masked today may be back tomorrow. Nothing happens for other methods.
    """
    config = model.peft_config[model.active_adapter]
    if config.peft_type != "ADALORA":
        yield
        return
    pattern, config.rank_pattern = config.rank_pattern, ranks(model) if pruned else None
    try:
        yield
    finally:
        config.rank_pattern = pattern
