"""Weights found by trying: greedy soups and points of the simplex, scored by a function that is passed in.

Those of an arithmetic mixture need no trying: one reading by every member tells which are likeliest (`mixture_weights`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from storyteller.ensemble.merging import (
    Method,
    Recipe,
    check_members,
    merge,
    merge_tensor,
    open_adapters,
    open_models,
)
from storyteller.ensemble.stream import Weights
from storyteller.errors import ModelError
from storyteller.models import Located, load_model, locate
from storyteller.models.adapters.factors import Factors
from storyteller.models.load import on_gpu
from storyteller.runs import read_json, write_json
from storyteller.runs.console import say

__all__ = ["Trial", "greedy_soup", "merged_into", "merged_over", "mixture_weights", "search", "simplex_search"]


@dataclass(frozen=True, slots=True)
class Trial:
    """Weights that were tried, and their score: higher is better."""

    weights: tuple[float, ...]
    score: float


def greedy_soup(score: Callable[[tuple[float, ...]], float], members: int) -> list[Trial]:
    """Every trial of a greedy soup, the members alone first (Wortsman et al. 2022, arXiv 2203.05482).

    From the best member on, each next best is stirred in with an equal share, and stays in if the score rises.
    """
    alone = [Trial(_equal([member], members), score(_equal([member], members))) for member in range(members)]
    order = sorted(range(members), key=lambda member: -_worth(alone[member].score))
    trials, inside, best = list(alone), order[:1], best_of(alone).score
    for member in order[1:]:
        weights = _equal([*inside, member], members)
        trials.append(Trial(weights, score(weights)))
        if trials[-1].score > best:
            inside, best = [*inside, member], trials[-1].score
    return trials


def simplex_search(
    score: Callable[[tuple[float, ...]], float], members: int, trials: int = 20, seed: int = 0
) -> list[Trial]:
    """Trials of weights that sum to 1: each member alone, all equal, random points, then points near the best so far.

    Random search finds good weights of few members as fast as a grid that is laid anew (Bergstra and Bengio 2012).
    """
    if seed < 0:
        raise ModelError(f"the seed is {seed}; it must be 0 or more.")
    random = np.random.default_rng(seed)
    points = [_equal([member], members) for member in range(members)] + [_equal(range(members), members)]
    done = [Trial(point, score(point)) for point in points[:trials]]
    while len(done) < trials:
        if len(done) - len(points) < (trials - len(points)) / 2:
            drawn = random.dirichlet(np.ones(members))
        else:
            # About a tenth of the simplex around the best; the half adds back what a weight of 0 could never leave.
            drawn = random.dirichlet(20 * np.asarray(best_of(done).weights) + 0.5)
        weights = _rounded(drawn)
        done.append(Trial(weights, score(weights)))
    return done


def mixture_weights(logs: NDArray[np.float32], least: float = 1e-5) -> tuple[float, ...]:
    """The weights under which an arithmetic mixture finds the tokens likeliest, from what each member alone gave them.

    `logs` are log-probabilities `[members, tokens]`. By expectation and maximisation (Dempster et al. 1977), which cannot
    miss: the likelihood is concave in the weights. It ends when no weight moves by `least`; all sum to 1. A member that
    gave a token no finite number has the weight 0. Raises `ModelError` where no member is left.
    """
    sound = np.isfinite(logs.sum(axis=1))
    if not sound.any():
        raise ModelError("no member of the ensemble gives finite logits. Their weights are damaged.")
    logs = np.asarray(logs[sound], dtype=np.float64)
    # Each token's greatest chance is 1: only the ratios count, and none of them vanishes.
    chances = np.exp(logs - logs.max(axis=0))
    weights = np.full(len(chances), 1 / len(chances))
    done = False
    while not done:
        shares = weights[:, None] * chances
        moved = (shares / shares.sum(axis=0)).mean(axis=1)
        done, weights = np.abs(moved - weights).max() < least, moved
    found = np.zeros(len(sound))
    found[sound] = weights
    return _rounded(found)


def _rounded(weights: NDArray[np.float64]) -> tuple[float, ...]:
    """Weights to four places that sum to 1; the largest takes what rounding leaves, for it stays above 0."""
    rounded = [round(float(weight), 4) for weight in weights]
    largest = rounded.index(max(rounded))
    rounded[largest] = round(rounded[largest] + 1 - sum(rounded), 4)
    return tuple(rounded)


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the highest score, the first of equals; raises `ModelError` where no score is a number."""
    best = max(trials, key=lambda trial: _worth(trial.score))
    if math.isnan(best.score):
        raise ModelError(
            f"none of {len(trials)} trials has a score that is a number: no merged model predicts the stories that it is "
            "measured on. Look at what each member scores with storyteller evaluate."
        )
    return best


def _worth(score: float) -> float:
    """What scores are ordered by; one that is no number is the least."""
    return -math.inf if math.isnan(score) else score


def search(
    sources: Sequence[str | Path],
    out: Path,
    score: Callable[[Any], float],
    method: Method = "linear",
    *,
    trials: int = 20,
    scales: Sequence[float] = (1.0,),
    density: float = 0.5,
    seed: int = 0,
    rank: int | None = None,
    base: str | None = None,
) -> dict[str, Any]:
    """Merge models with the weights that `score` finds best, and return the report with every trial.

    `score(model)` is called with a transformers model: the adapters' base with each merged delta added at full rank, or
    the merged whole model; higher is better. `soup` is a greedy soup, the other methods search the simplex in `trials`
    trials; `scales` other than 1 are tried with the best weights (LITI), of whole models with their `base`. The report
    stands in `out`, in `merge.json` under `search`: each trial, and of the best its `score` and that of the folder as it
    is `written`, which is an adapter's after the cut to `rank`. Raises `ModelError`.
    """
    if len(sources) < 2:
        raise ModelError("to search weights takes two models or more.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ModelError(f"{out} is there already; name a new folder with --out.")
    members = [locate(source) for source in sources]
    check_members(members, rank, base)
    own: Method = "linear" if method == "soup" else method
    recipe = Recipe(own, _equal(range(len(members)), len(members)), density, seed=seed)
    for scale in scales:
        replace(recipe, scale=scale)  # a wrong one is told before anything is tried
    located = locate(base) if base else None
    found, scaled = _try(members, located, recipe, score, scales, None if method == "soup" else trials)
    best = best_of(found)
    scale = max(scaled, key=lambda scale: _worth(scaled[scale]))
    report = merge(
        sources, out, own, weights=best.weights, scale=scale, density=density, seed=seed, rank=rank, base=base
    )
    report["search"] = {
        "space": "greedy soup"
        if method == "soup"
        else f"simplex, {trials} trials: corners, centre, random, near the best",
        "seed": seed,
        "trials": [asdict(trial) for trial in found],
        "scales": [{"scale": scale, "score": value} for scale, value in scaled.items()],
        "best": {"weights": best.weights, "scale": scale, "score": scaled[scale]},
    }
    report["search"]["best"]["written"] = score(on_gpu(load_model(locate(out.resolve()), merge=True)))
    write_json(out / "merge.json", read_json(out / "merge.json") | {"search": report["search"]})
    return report


def _try(
    members: Sequence[Located],
    base: Located | None,
    recipe: Recipe,
    score: Callable[[Any], float],
    scales: Sequence[float],
    trials: int | None,
) -> tuple[list[Trial], dict[float, float]]:
    """The trials of weights, of a greedy soup where `trials` is None, and the score of the best ones by scale."""
    far = replace(recipe, scale=next((scale for scale in scales if scale != 1), 1.0))
    model, laid = _merging(members, base, far)

    def tried(weights: tuple[float, ...], scale: float = 1.0) -> float:
        with laid(replace(recipe, weights=weights, scale=scale)):
            result = score(model)
        say(f"weights {', '.join(f'{weight:.3f}' for weight in weights)}, scale {scale:g}: score {result:.5f}")
        return result

    count = len(members)
    found = greedy_soup(tried, count) if trials is None else simplex_search(tried, count, trials, recipe.seed)
    best = best_of(found)
    return found, {1.0: best.score} | {scale: tried(best.weights, scale) for scale in scales if scale != 1}


def _merging(
    members: Sequence[Located], base: Located | None, recipe: Recipe
) -> tuple[Any, Callable[[Recipe], AbstractContextManager[None]]]:
    """A model, and what makes it the merged one within a block; `recipe` is the one that asks most of them."""
    model = on_gpu(load_model(replace(members[0], adapter=None)))
    if members[0].adapter:
        adapters = [
            {layer: (down.to(model.device), up.to(model.device)) for layer, (down, up) in factors.items()}
            for factors in open_adapters(members)
        ]
        return model, lambda recipe: merged_into(model, adapters, recipe)
    opened, below = open_models(members, base, recipe)
    return model, lambda recipe: merged_over(model, opened, below, recipe)


@contextmanager
def merged_over(model: Any, opened: Sequence[Weights], below: Weights | None, recipe: Recipe) -> Iterator[None]:
    """From the block on, `model` has the merged weights of whole models, one tensor after the other."""
    # Those that the file leaves out are tied to others of it.
    own = dict(model.named_parameters(remove_duplicate=False))
    for name in opened[0].names:
        if name in own:
            own[name].data.copy_(merge_tensor(name, opened, below, recipe))
    yield


@contextmanager
def merged_into(model: Any, adapters: Sequence[Factors], recipe: Recipe) -> Iterator[None]:
    """Within the block, `model` has the merged delta of the adapters added to its weights, at full rank."""
    from transformers.pytorch_utils import Conv1D

    kept = {}
    for layer in sorted({layer for factors in adapters for layer in factors}):
        module = model.get_submodule(layer)
        transposed = isinstance(module, Conv1D)
        weight = module.weight
        kept[weight] = weight.data
        shape = weight.T.shape if transposed else weight.shape
        deltas = [
            factors[layer][1] @ factors[layer][0] if layer in factors else torch.zeros(shape, device=weight.device)
            for factors in adapters
        ]
        delta = recipe(deltas, layer) * recipe.scale
        weight.data = weight.data + (delta.T if transposed else delta).to(weight.dtype)
    try:
        yield
    finally:
        for weight, data in kept.items():
            weight.data = data


def _equal(inside: Sequence[int], members: int) -> tuple[float, ...]:
    return tuple(1 / len(inside) if member in inside else 0.0 for member in range(members))
