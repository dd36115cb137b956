"""Merging adapters of one base into one adapter, or whole models into one model: `storyteller ensemble merge`."""

from __future__ import annotations

import math
import shutil
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from storyteller.ensemble.card import write_merge_card
from storyteller.ensemble.low_rank import Pair, compress, compress_dense, inner, join
from storyteller.ensemble.methods import dare, linear, slerp, slerp_weights, task_arithmetic, ties
from storyteller.ensemble.stream import Weights, check_alike, check_finite, write_stream
from storyteller.errors import ModelError
from storyteller.models import Located, locate
from storyteller.models.adapters.factors import Factors, read_factors, write_factors
from storyteller.models.ensemble_file import tokenizer_hash
from storyteller.runs import read_json, replacing_folder, write_json
from storyteller.runs.console import progress

__all__ = [
    "METHODS",
    "Method",
    "Recipe",
    "check_members",
    "merge",
    "merge_factors",
    "merge_tensor",
    "open_adapters",
    "open_models",
]

Method = Literal["linear", "slerp", "task-arithmetic", "ties", "dare", "soup"]
METHODS: tuple[Method, ...] = get_args(Method)

#: Methods that work on what fine-tuning changed; of whole models that takes their base.
_ON_DELTAS = ("task-arithmetic", "ties", "dare")

_COPIED = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
           "storyteller_template.json", "config.json", "generation_config.json")  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """How tensors are merged; raises `ModelError` for what makes no sense.

    `weights` are one for each member: for `task-arithmetic` and `dare` free numbers, otherwise shares that sum to 1.
    `density` is the share of entries that `ties` and `dare` keep, `scale` multiplies the merged delta (LITI, linear
    interpolation towards the base: Ramé et al. 2024, arXiv 2406.16768), `seed` is that of `dare`.
    """

    method: Method
    weights: tuple[float, ...]
    density: float = 0.5
    scale: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ModelError(f"no way of merging is called {self.method!r}. Choose one of: {', '.join(METHODS)}.")
        shown = ", ".join(f"{weight:g}" for weight in self.weights)
        if not all(math.isfinite(number) for number in (*self.weights, self.scale)):
            raise ModelError(f"the weights and the scale must be numbers, not {shown} and {self.scale:g}.")
        if self.method == "slerp" and len(self.weights) != 2:
            raise ModelError(f"slerp goes from one model to another, and there are {len(self.weights)}.")
        if self.method not in ("task-arithmetic", "dare"):
            if min(self.weights) < 0:
                raise ModelError(
                    f"{self.method} takes no negative weights, and these are {shown}; task-arithmetic does."
                )
            if abs(sum(self.weights) - 1) > 1e-3:
                raise ModelError(f"the weights must sum to 1, and {shown} sum to {sum(self.weights):g}.")
        if self.method == "soup" and max(self.weights) - min(self.weights) > 1e-3:
            raise ModelError(f"a soup has equal weights, and these are {shown}; linear takes any.")
        if not 0 < self.density <= 1:
            raise ModelError(f"the density is {self.density:g}; it must be above 0 and at most 1.")

    @property
    def shares(self) -> tuple[float, ...]:
        """The weights, of a method that takes shares as they sum to 1 exactly."""
        total = sum(self.weights)
        return self.weights if self.method in ("task-arithmetic", "dare") else tuple(w / total for w in self.weights)

    def __call__(self, tensors: Sequence[Tensor], name: str = "") -> Tensor:
        """The merged tensor, `scale` not yet in it; `name` gives each tensor of a model its own random numbers."""
        if self.method == "slerp":
            return slerp(tensors, self.shares)
        if self.method == "ties":
            return ties(tensors, self.shares, self.density)
        if self.method == "dare":
            return dare(tensors, self.shares, self.density, seed=self.seed + zlib.crc32(name.encode()))
        return (
            task_arithmetic(tensors, self.shares) if self.method == "task-arithmetic" else linear(tensors, self.shares)
        )


def merge(
    sources: Sequence[str | Path],
    out: Path,
    method: Method = "linear",
    *,
    weights: Sequence[float] | None = None,
    density: float = 0.5,
    scale: float = 1.0,
    seed: int = 0,
    rank: int | None = None,
    base: str | None = None,
) -> dict[str, Any]:
    """Merge models into the new folder `out` and return the report, which stands there as `merge.json`.

    Adapters of one base give an adapter of `rank` (by default the largest of theirs); whole models of one architecture
    a whole model, for which the methods on deltas, and a `scale` other than 1, need their `base`; with one every method
    merges deltas, which for `slerp` is another arc. Without `weights` all are equal. See `Recipe` for the rest. Raises
    `ModelError` for what cannot be merged.
    """
    started = time.monotonic()
    if len(sources) < 2:
        raise ModelError("to merge takes two models or more.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ModelError(f"{out} is there already; name a new folder with --out.")
    given = tuple(weights) if weights is not None else (1 / len(sources),) * len(sources)
    if len(given) != len(sources):
        raise ModelError(f"there are {len(given)} weights for {len(sources)} models.")
    recipe = Recipe(method, given, density, scale, seed)
    members = [locate(source) for source in sources]
    check_members(members, rank, base)
    report: dict[str, Any] = {
        "method": method,
        "weights": list(given),
        "density": density if method in ("ties", "dare") else None,
        "scale": scale,
        "seed": seed if method == "dare" else None,
        "base": base or members[0].base,
    }
    with replacing_folder(out) as part:
        if members[0].adapter:
            report |= _merge_adapters(members, recipe, rank, part)
        else:
            report |= _merge_models(members, recipe, locate(base) if base else None, part)
        report["sources"] = [
            {"model": m.name, "weight": weight, "sha256": m.sha256} for m, weight in zip(members, given, strict=True)
        ]
        report["seconds"] = round(time.monotonic() - started, 2)
        _copy_company(members[0], part)
        write_json(part / "merge.json", report)
        write_merge_card(part, out.name, members, report)
    return report


def merge_factors(adapters: Sequence[Factors], recipe: Recipe, rank: int) -> tuple[Factors, float]:
    """The factors of the merged adapter, and the share of its energy (squared norm over all layers) that `rank` lost.

    All but `ties` and `dare` are weighted sums and exact up to there: the deltas' factors are joined, of rank sum(r), and
    cut by singular values. Those two make each layer's deltas in full. A layer that an adapter leaves alone is zero.
    """
    merged: Factors = {}
    energy = lost = 0.0
    layers = sorted({layer for factors in adapters for layer in factors})
    with progress(len(layers), "merging layers") as advance:
        for layer in layers:
            found = [factors.get(layer) for factors in adapters]
            shape = next((down.shape[1], up.shape[0]) for pair in found if pair for down, up in [pair])
            pairs = [pair or (torch.zeros(1, shape[0]), torch.zeros(shape[1], 1)) for pair in found]
            if any((down.shape[1], up.shape[0]) != shape for down, up in pairs):
                raise ModelError(f"the adapters' layers {layer} have different shapes; they are of different bases.")
            if recipe.method in ("ties", "dare"):
                delta = recipe([up @ down for down, up in pairs], layer) * recipe.scale
                pair, whole, gone = compress_dense(delta, rank)
            else:
                sums = _slerp_weights(pairs, recipe) if recipe.method == "slerp" else recipe.shares
                pair, whole, gone = compress(join(pairs, [weight * recipe.scale for weight in sums]), rank)
            merged[layer] = pair
            energy, lost = energy + whole, lost + gone
            advance()
    return merged, lost / energy if energy else 0.0


def _slerp_weights(pairs: Sequence[Pair], recipe: Recipe) -> tuple[float, float]:
    first, second = pairs
    norms = math.sqrt(inner(first, first)), math.sqrt(inner(second, second))
    return slerp_weights(*norms, inner(first, second), recipe.shares[1])


def _merge_adapters(members: Sequence[Located], recipe: Recipe, rank: int | None, folder: Path) -> dict[str, Any]:
    adapters = open_adapters(members)
    wanted = rank or max(down.shape[0] for factors in adapters for down, _ in factors.values())
    merged, lost = merge_factors(adapters, recipe, wanted)
    config = read_json((members[0].adapter or members[0].folder) / "adapter_config.json")
    write_factors(folder, merged, config | {"base_model_name_or_path": members[0].base, "lora_dropout": 0.0})
    return {"kind": "adapter", "rank": wanted, "energy_lost": round(lost, 6)}


def open_adapters(members: Sequence[Located]) -> list[Factors]:
    """The factors of adapters; raises `ModelError` for damaged ones, also where a number is not finite."""
    places = [member.adapter for member in members if member.adapter]
    adapters = [read_factors(place) for place in places]
    for place, factors in zip(places, adapters, strict=True):
        for layer, pair in factors.items():
            for factor in pair:
                check_finite(factor, layer, place)
    return adapters


def open_models(
    members: Sequence[Located], base: Located | None, recipe: Recipe
) -> tuple[list[Weights], Weights | None]:
    """The weights of whole models and of their base, checked to be alike; raises `ModelError`."""
    if base is None and (recipe.method in _ON_DELTAS or recipe.scale != 1):
        raise ModelError(
            f"{recipe.method} with scale {recipe.scale:g} works on what fine-tuning changed: name the model that the "
            "others were made from with --base."
        )
    opened = [Weights(member.folder) for member in members]
    below = Weights(base.folder) if base else None
    for other, located in zip(
        [*opened[1:], *([below] if below else [])], [*members[1:], *([base] if base else [])], strict=True
    ):
        check_alike(opened[0], other, (members[0].name, located.name))
    return opened, below


def _merge_models(members: Sequence[Located], recipe: Recipe, base: Located | None, folder: Path) -> dict[str, Any]:
    opened, below = open_models(members, base, recipe)
    with progress(len(opened[0].names), "merging tensors") as advance:

        def merged(name: str) -> Tensor:
            advance()
            return merge_tensor(name, opened, below, recipe)

        write_stream(folder / "model.safetensors", opened[0], merged)
    return {"kind": "model", "tensors": len(opened[0].names)}


def merge_tensor(name: str, opened: Sequence[Weights], below: Weights | None, recipe: Recipe) -> Tensor:
    """The merged tensor of a name, in the first model's element type; with `below`, their base, the deltas are merged."""
    first = opened[0].read(name)
    if not first.is_floating_point():
        return first
    if below is None:
        return recipe([_read(weights, name) for weights in opened], name).to(first.dtype)
    origin = _read(below, name)
    delta = recipe([_read(weights, name) - origin for weights in opened], name)
    return origin.add(delta, alpha=recipe.scale).to(first.dtype)


def _read(weights: Weights, name: str) -> Tensor:
    tensor = weights.read(name).float()
    check_finite(tensor, name, weights.folder)
    return tensor


def check_members(members: Sequence[Located], rank: int | None = None, base: str | None = None) -> None:
    """Raise `ModelError` unless these models can be merged: alike in kind, base, tokenizer and template.

    A rank is for adapters, and a base that is named for whole models.
    """
    first = members[0]
    for other in members:
        if other.ensemble is not None:
            raise ModelError(f"{other.name} is an ensemble; name the models that are to be merged.")
        if bool(other.adapter) != bool(first.adapter):
            raise ModelError(f"{first.name} and {other.name}: an adapter and a whole model cannot be merged.")
        if other.adapter and other.folder != first.folder:
            raise ModelError(
                f"the adapters {first.name} and {other.name} have different bases ({first.base} and {other.base})."
            )
        if other.folder != first.folder and tokenizer_hash(other.folder) != tokenizer_hash(first.folder):
            raise ModelError(f"{first.name} and {other.name} have different tokenizers, so their weights do not match.")
        if _template(other) != _template(first):
            raise ModelError(f"{first.name} and {other.name} were trained with different templates.")
    if rank is not None and rank < 1:
        raise ModelError(f"the rank is {rank}; it must be 1 or more.")
    if base is not None and not first.adapter:
        below = locate(base)
        if below.adapter is not None or below.ensemble is not None:
            raise ModelError(
                f"the base {base} is {'an ensemble' if below.ensemble else 'an adapter'}, and a base is a whole model. "
                "Merge it first (storyteller models merge NAME --out FOLDER), or name the model below it."
            )
    if first.adapter and base is not None:
        raise ModelError(f"adapters have their base in their files, here {first.base}; leave out --base {base}.")
    if not first.adapter and rank is not None:
        raise ModelError(f"{first.name} is a whole model, which has no rank; leave out --rank {rank}.")


def _template(located: Located) -> Any:
    path = located.template_folder / "storyteller_template.json"
    return read_json(path) if path.is_file() else None


def _copy_company(first: Located, folder: Path) -> None:
    """The files around the weights, those of the first member."""
    origin = first.adapter or first.folder
    for name in _COPIED:
        if (origin / name).is_file():
            shutil.copyfile(origin / name, folder / name)
