"""Random adapters for the tiny models, and an ensemble of them in a folder."""

from __future__ import annotations

from pathlib import Path

from storyteller.models import Located, load_model
from storyteller.models.ensemble_file import Ensemble, Member, Rule, write_ensemble

__all__ = ["damage", "tiny_adapter", "tiny_ensemble"]


def tiny_adapter(base: Path, out: Path, seed: int = 0, rank: int = 4, size: float = 0.1, **settings: object) -> Path:
    """Write a PEFT folder whose factors are random: unlike a fresh adapter, it changes what the base says."""
    import torch
    from peft import LoraConfig, get_peft_model

    settings = {"target_modules": "all-linear", "use_rslora": True, "lora_alpha": rank, **settings}
    model = get_peft_model(load_model(Located("tiny", base, str(base))), LoraConfig(r=rank, **settings))  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * size
    model.save_pretrained(out)
    return out


def tiny_ensemble(
    base: Path,
    folder: Path,
    weights: tuple[float, ...] = (0.5, 0.3, 0.2),
    rule: Rule = "arithmetic",
    **settings: object,
) -> Path:
    """Write an ensemble of random adapters of `base`, one for each weight, in folders of their own beside its file."""
    members = []
    for number, weight in enumerate(weights):
        tiny_adapter(base, folder / f"member-{number}", seed=number, rank=2 + 2 * number)
        members.append(Member(model=f"member-{number}", weight=weight))
    write_ensemble(folder, Ensemble.model_validate({"members": members, "rule": rule, **settings}))
    return folder


def damage(weights: Path) -> str:
    """Put a NaN into a tensor of a safetensors file, and return the tensor's name."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(weights)
    name = sorted(tensors)[-1]
    tensors[name].view(-1)[0] = float("nan")
    save_file(tensors, weights, metadata={"format": "pt"})
    return name
