"""Adapters that are ours rather than PEFT's: how they are found on a model, written, and laid over one again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from storyteller.errors import ModelError
from storyteller.runs.files import read_json, write_json

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MERGEABLE", "OwnAdapter", "adapter_kind", "lay_own", "own_adapter", "save_own"]

MERGEABLE = ("LORA", "ADALORA", "IA3")
"""Kinds whose effect can be had by other weights of the base; the others add something that no weight can be."""


class OwnAdapter(Protocol):
    """What lies on a model as its `own_adapter`, a module with everything that is trained."""

    def config(self) -> dict[str, Any]:
        """`adapter_config.json`, but for the base's name."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """`adapter_model.safetensors`."""
        ...

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over tensors of the same names and shapes."""
        ...


def own_adapter(model: Any) -> OwnAdapter | None:
    """The adapter of ours that lies on `model`, or None."""
    found: OwnAdapter | None = getattr(model, "own_adapter", None)
    return found


def adapter_kind(folder: Path) -> str:
    """The kind of the adapter in a folder as PEFT names it; `ModelError` when its settings cannot be read."""
    try:
        return str(read_json(folder / "adapter_config.json")["peft_type"])
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ModelError(f"{folder}/adapter_config.json cannot be read ({error!r}); take another copy of it.") from None


def save_own(model: Any, folder: Path) -> None:
    """Write the adapter of ours that lies on `model` as PEFT would."""
    from safetensors.torch import save_file

    adapter = own_adapter(model)
    assert adapter is not None, "only a model with an adapter of ours is saved here"
    tensors = {name: value.cpu().contiguous() for name, value in adapter.tensors().items()}
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    write_json(folder / "adapter_config.json", adapter.config() | {"base_model_name_or_path": model.name_or_path})


def lay_own(model: Any, folder: Path) -> bool:
    """Lay the adapter in `folder` over `model` if it is one of ours, and say whether it is.

    Raises `ModelError` when it does not fit the model or its files are damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    kind = adapter_kind(folder)
    if kind not in ("BOTTLENECK", "PROMPT_TUNING", "PREFIX_TUNING"):
        return False
    config = read_json(folder / "adapter_config.json")
    if config.get("prefix_projection") or config.get("num_transformer_submodules", 1) not in (1, None):
        raise ModelError(
            f"the adapter in {folder} is of a form that Storyteller does not read (a projection, or an encoder's prompt). "
            "Save the projected prefix instead; PEFT does so by itself."
        )
    try:
        adapter = _fresh(model, kind, config)
        tensors = load_file(folder / "adapter_model.safetensors")
        expected = {name: value.shape for name, value in adapter.tensors().items()}
        if {name: value.shape for name, value in tensors.items()} != expected:
            raise ValueError("its weights have other names or shapes")
        adapter.load(tensors)
        model.requires_grad_(False)  # as PEFT does with what it loads
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ModelError(
            f"the adapter in {folder} cannot be laid over {model.name_or_path} ({reason}). It was made for another base, "
            "or its files are damaged."
        ) from None
    return True


def _fresh(model: Any, kind: str, config: dict[str, Any]) -> OwnAdapter:
    if kind == "BOTTLENECK":
        from storyteller.models.adapters.bottleneck import lay_bottlenecks
        from storyteller.recipe.methods import BottleneckRecipe

        known = {name: config[name] for name in BottleneckRecipe.model_fields}
        return lay_bottlenecks(model, config["target_modules"], BottleneckRecipe.model_validate(known))
    from storyteller.models.adapters.virtual import lay_virtual_tokens

    return lay_virtual_tokens(model, kind, int(config["num_virtual_tokens"]))
