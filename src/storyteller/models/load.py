"""Loading a located model into PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from storyteller.errors import ModelError
from storyteller.models.adapters.adalora import saved_ranks
from storyteller.models.adapters.own import lay_own, own_adapter
from storyteller.models.entries import find_entry
from storyteller.models.location import Located
from storyteller.models.quiet import quiet
from storyteller.runs.files import read_json

if TYPE_CHECKING:
    from torch import nn

    from storyteller.models.precision import Precision

__all__ = ["count_parameters", "is_masked", "load_model", "load_weights", "on_gpu", "positions_of"]


def load_model(located: Located, *, dtype: Precision = "float32", merge: bool = False, **options: Any) -> Any:
    """The model in `dtype` on the CPU, in evaluation mode, with its adapter laid over it or, with `merge`, merged in.

    Merging happens in float32 whatever `dtype` is; an adapter that no weights can replace (bottlenecks, virtual tokens)
    stays laid over the model. `options` go to transformers, for a base in four bits. Raises `ModelError` when the files
    do not make up a causal model.
    """
    import torch
    from transformers import AutoModelForCausalLM

    if located.ensemble is not None:
        raise ModelError(
            f"{located.name} is an ensemble, which is no single set of weights. Name one of its members "
            f"({', '.join(member.name for member in located.members)}), or make one of them: storyteller ensemble merge"
        )
    entry = find_entry(located.name)
    if entry is not None and not entry.writes:
        raise ModelError(f"{entry.name} {entry.about}; take one that writes: storyteller models list")
    if is_masked(located.folder):
        raise ModelError(
            f"{located.name} is a masked model: it fills blanks (storyteller fill) and reads texts, but it cannot write. "
            "Name a causal model."
        )
    merging = merge and located.adapter is not None
    with quiet():
        try:
            model = AutoModelForCausalLM.from_pretrained(
                located.folder,
                dtype=torch.float32 if merging else getattr(torch, dtype),
                attn_implementation="sdpa",
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                **options,
            )
        except Exception as error:  # transformers and safetensors have no common error
            raise ModelError(
                f"{located.name}: the model in {located.folder} cannot be loaded ({_first_line(error)}). Fetch it "
                "again, or check that config.json and the weights belong together."
            ) from error
        # What an adapter made on this model will name as its base: a name that `locate` understands on any machine.
        model.name_or_path = located.base
        if located.adapter is not None:
            model = _with_adapter(model, located.adapter)
            if merge:
                whole = model if own_adapter(model) is not None else model.merge_and_unload()
                model = whole.to(getattr(torch, dtype))
    return model.eval()


def on_gpu(model: Any) -> Any:
    """The model on the first GPU, or where it is without one."""
    import torch

    return model.to("cuda") if torch.cuda.is_available() else model


def is_masked(folder: Path) -> bool:
    """Whether the model in a folder is a masked one, as its configuration says."""
    try:
        names = read_json(folder / "config.json").get("architectures") or [""]
    except (OSError, ValueError, AttributeError):
        return False  # whoever loads it says what is wrong
    return str(names[0]).endswith("ForMaskedLM")


def positions_of(folder: Path) -> int | None:
    """The most tokens that the model in a folder reads at once, None where its configuration does not say."""
    try:
        config = read_json(folder / "config.json")
        positions = config.get("max_position_embeddings") or config.get("n_positions")
    except (OSError, ValueError, AttributeError):
        return None
    return positions if isinstance(positions, int) else None


def load_weights(model: nn.Module, folder: Path) -> None:
    """Put the weights that `save_model` wrote to `folder` into `model`, which has the same shape and adapter.

    Raises `ModelError` when a weight is missing, too many, or of another shape; the model is then unchanged.
    """
    from peft import PeftModel, set_peft_model_state_dict
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    own, peft = own_adapter(model), isinstance(model, PeftModel)
    adapted = peft or own is not None
    path = folder / ("adapter_model.safetensors" if adapted else "model.safetensors")
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path} cannot be read ({_first_line(error)}); it may be cut. Take another checkpoint."
        ) from None
    if own is not None:
        expected = own.tensors()
    elif peft:
        from peft import get_peft_model_state_dict

        with saved_ranks(model, pruned=False):
            expected = get_peft_model_state_dict(model, save_embedding_layers=False)
    else:
        expected = model.state_dict()
        tied = {name: shared for name, shared in _tied_names(model).items() if name not in weights}
        weights |= {name: weights[shared] for name, shared in tied.items() if shared in weights}
    wrong = sorted(
        name
        for name in expected.keys() | weights.keys()
        if name not in expected or name not in weights or expected[name].shape != weights[name].shape
    )
    if wrong:
        raise ModelError(f"{path} does not fit the model: {len(wrong)} weights differ, the first is {wrong[0]}.")
    if own is not None:
        own.load(weights)
    elif peft:
        with saved_ranks(model, pruned=False):
            set_peft_model_state_dict(model, weights)
    else:
        model.load_state_dict(weights)


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """How many parameters a model has, and how many of them are trained; tied ones count once."""
    parameters = list(model.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)


def _with_adapter(model: Any, adapter: Path) -> Any:
    if lay_own(model, adapter):
        return model
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, str(adapter), local_files_only=True)
    except Exception as error:  # peft, safetensors and json have no common error
        raise ModelError(
            f"the adapter in {adapter} cannot be laid over {model.name_or_path} ({_first_line(error)}). It was made "
            "for another base, or its files are damaged."
        ) from error


def _tied_names(model: nn.Module) -> dict[str, str]:
    """Parameter names that share their values with another one, which is what a file then stores."""
    first: dict[int, str] = {}
    tied = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if (shared := first.setdefault(id(parameter), name)) != name:
            tied[name] = shared
    return tied


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
