"""The layers of a model that adapters may lie on, by their names."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from storyteller.errors import ModelError

__all__ = ["chosen_linear", "is_transposed", "linear_names", "refuse_adapted", "short_names", "sublayer_outputs"]


def linear_names(model: Any) -> list[str]:
    """The full names of every linear layer (GPT-2's Conv1D too) but the output layer."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    output = model.get_output_embeddings()
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, Conv1D)) and module is not output
    ]


def chosen_linear(model: Any, wanted: str | Sequence[str], key: str) -> list[str]:
    """The layers that a name, or the end of a dotted name, picks out; `all-linear` is all of them.

    Raises `ModelError`, with the model's own names and the nearest one, when a name picks none; `key` is the recipe's.
    """
    linear = linear_names(model)
    if isinstance(wanted, str):
        return linear
    chosen: set[str] = set()
    for target in wanted:
        found = [name for name in linear if name == target or name.endswith(f".{target}")]
        if not found:
            own = sorted({name.rsplit(".", 1)[-1] for name in linear})
            near = difflib.get_close_matches(target, [*own, *linear], n=1, cutoff=0.0)
            raise ModelError(
                f"{key}: {target!r} is no linear layer of this model. Its layers are {', '.join(own)}; "
                f"the nearest is {near[0]!r}."
            )
        chosen.update(found)
    return [name for name in linear if name in chosen]


def short_names(model: Any, targets: Sequence[str]) -> list[str]:
    """`targets` by their last names (q_proj) where those mean the same layers, for a legible adapter_config.json."""
    last = {name.rsplit(".", 1)[-1] for name in targets}
    same = {name for name in linear_names(model) if name.rsplit(".", 1)[-1] in last} == set(targets)
    return sorted(last) if same else sorted(targets)


def is_transposed(model: Any, targets: Sequence[str]) -> bool:
    """Whether the layers keep their matrices transposed, as GPT-2's do."""
    from transformers.pytorch_utils import Conv1D

    return any(isinstance(model.get_submodule(name), Conv1D) for name in targets)


def sublayer_outputs(model: Any) -> list[tuple[str, str]]:
    """For each decoder layer, the names of the linear layers that end its attention and its feed-forward part.

    Of the linear layers in one part the last one that gives the model's width is its end; attention comes first. Raises
    `ModelError` for a model whose layers do not have these two parts, such as a mixture of experts.
    """
    width = model.get_input_embeddings().weight.shape[1]
    names = linear_names(model)
    layers: dict[str, dict[str, str]] = {}
    plain = True
    for name in names:
        parts = name.split(".")
        number = next((i for i, part in enumerate(parts) if part.isdigit()), None)
        layer = model.get_submodule(name)
        if number is None or (layer.out_features if hasattr(layer, "out_features") else layer.nf) != width:
            continue
        # model.layers.3 | self_attn | o_proj: the layer, its part, and the linear layer in that.
        plain = plain and len(parts) <= number + 3
        layers.setdefault(".".join(parts[: number + 1]), {})[parts[number + 1]] = name
    ends = [tuple(parts.values()) for parts in layers.values()]
    if not ends or not plain or any(len(pair) != 2 for pair in ends):
        own = ", ".join(sorted({name.rsplit(".", 1)[-1] for name in names})) or "none"
        raise ModelError(
            "this model cannot take this method: its layers are not one attention and one feed-forward part each. "
            f"Its linear layers are {own}; model.method=lora lies on any of them."
        )
    return [(attention, forward) for attention, forward in ends]


def refuse_adapted(model: Any) -> None:
    """Raise `ModelError` when an adapter lies on the model already."""
    from peft import PeftModel

    if isinstance(model, PeftModel) or getattr(model, "own_adapter", None) is not None:
        raise ModelError("the model has an adapter already; load it with the adapter merged in to adapt it further.")
