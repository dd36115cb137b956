"""One model spread over the processes: each holds a share of the weights, gradients and moments (FSDP2, `fully_shard`).

The whole model stays beside it in ordinary memory, and is filled from the shares when it is saved or tells samples. So what
is written, read and compared is the same as without sharding; the price is one copy of the weights per process, not on the
GPU. Zhao et al. 2023, arXiv 2304.11277; PyTorch's `torch.distributed.fsdp.fully_shard`.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from storyteller.errors import TrainingError
from storyteller.recipe import Recipe, TrainRecipe
from storyteller.train.optim import build_optimizer, trainable

__all__ = ["Sharding", "check_sharding", "layers", "whole"]

_NAMES = ("layers", "layer", "h", "blocks")

_METHODS = ("full", "lora", "dora")


def check_sharding(recipe: Recipe, accelerator: Accelerator) -> bool:
    """Whether this run is to be sharded; `TrainingError` when the recipe asks for what cannot be."""
    train, method = recipe.train, "full" if recipe.pretrain is not None else recipe.model.method
    if train.parallel != "sharded" or accelerator.num_processes == 1:
        return False
    if method not in _METHODS:
        raise TrainingError(
            f"train.parallel=sharded goes with model.method {', '.join(_METHODS)}, not {method}; set it to data."
        )
    if train.precision == "float16" or train.compile:
        raise TrainingError(
            "train.parallel=sharded does not go with float16 or train.compile; take bfloat16 or float32."
        )
    # They reach into the weights or the inputs of a model that is whole.
    others = {"train.perturb": train.perturb, "continual": recipe.continual, "distil": recipe.distil}
    if given := [name for name, section in others.items() if section is not None]:
        raise TrainingError(f"train.parallel=sharded does not go with {' and '.join(given)}; set it to data.")
    return True


def whole(value: Any) -> Any:
    """A tensor that is spread over the processes as a plain one; all processes must ask. Anything else as it is."""
    from torch.distributed.tensor import DTensor

    return value.full_tensor() if isinstance(value, DTensor) else value


class Sharding:
    """The `objective` that is trained, spread over all processes, beside the `whole` one that is saved."""

    def __init__(self, whole: nn.Module, accelerator: Accelerator) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        self._whole = whole
        self.objective = copy.deepcopy(whole)
        mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
        for layer in layers(self.objective):
            fully_shard(layer, mesh=mesh)
        fully_shard(self.objective, mesh=mesh)

    def begin(self, recipe: TrainRecipe, moments_of: torch.optim.Optimizer) -> torch.optim.Optimizer:
        """Give every process its share of the whole model's weights, and an optimizer with its share of `moments_of`."""
        self._reshard()
        optimizer = build_optimizer(self.objective, recipe)
        parameters = dict(self.objective.named_parameters())
        with torch.no_grad():
            for name, parameter in self._whole.named_parameters():
                shard: Any = parameters[name]
                shard.to_local().copy_(_share(parameter.detach(), shard).to_local())
                state = moments_of.state.get(parameter)
                if state:
                    optimizer.state[shard] = {
                        key: value if value.dim() == 0 else _share(value, shard) for key, value in state.items()
                    }
        return optimizer

    def pull(self, moments_of: torch.optim.Optimizer, optimizer: torch.optim.Optimizer, *, keep: bool) -> None:
        """Fill the whole model, and the moments of `moments_of`, from all processes' shares; kept only where `keep`."""
        self._reshard()
        parameters = trainable(self.objective)
        with torch.no_grad():
            for name, parameter in trainable(self._whole).items():
                shard = parameters[name]
                weights: Tensor = whole(shard.detach())
                state = {key: whole(value) for key, value in optimizer.state.get(shard, {}).items()}
                if keep:
                    parameter.copy_(weights)
                    moments_of.state[parameter] = {key: value.to(parameter.device) for key, value in state.items()}

    def _reshard(self) -> None:
        """Let go of weights that a pass has gathered and no backward pass has let go: after measuring, the outermost ones."""
        from torch.distributed.fsdp import FSDPModule

        for module in self.objective.modules():
            if isinstance(module, FSDPModule):
                module.reshard()


def _share(tensor: Tensor, like: Any) -> Any:
    """This process's share of a tensor that every process has, spread as `like` is."""
    from torch.distributed.tensor import distribute_tensor

    device = like.device_mesh.device_type
    return distribute_tensor(tensor.to(device), like.device_mesh, like.placements, src_data_rank=None)


def layers(model: nn.Module) -> list[nn.Module]:
    """The layers of a transformer: the longest list of modules in it, of those by a name that layers go by if there are any.

    By the name, because Houlsby's adapters are two for each layer, and experts may be more than there are layers.
    """
    lists = {name: list(one) for name, one in model.named_modules() if isinstance(one, nn.ModuleList)}
    named = [one for name, one in lists.items() if name.rpartition(".")[2] in _NAMES]
    return max(named or lists.values(), key=len, default=[])
