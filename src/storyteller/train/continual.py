"""Learning on without forgetting: the penalty for leaving weights that mattered, and the score that says whether it helped.

Replay, the other half, is a property of the data (`storyteller.tokens.replay`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from storyteller.errors import CheckpointError, TrainingError
from storyteller.recipe import Recipe
from storyteller.runs import Run, read_json, write_json
from storyteller.runs.console import say
from storyteller.tokens import Shards
from storyteller.train.measure import batch_tensors, own_loss
from storyteller.train.objectives import CausalObjective
from storyteller.train.optim import trainable

__all__ = ["Anchor", "anchor_of", "fisher_information", "score_old", "stored_fisher"]

FISHER_FILE = "fisher.safetensors"
REPORT_FILE = "continual.json"


class Anchor:
    """Elastic weight consolidation (Kirkpatrick et al. 2017, arXiv 1612.00796) at the weights that `model` has now.

    The penalty is strength / 2 * sum F (w - w0)^2 over the trained weights, with F the Fisher information of a token
    of the old corpus. Near w0 it is what the old corpus' mean loss gains, so strength 1 weighs old and new evenly.
    """

    def __init__(self, model: nn.Module, fisher: Mapping[str, Tensor], strength: float) -> None:
        self.strength = strength
        self._held = [
            (parameter, parameter.detach().clone(), fisher[name].to(parameter.device))
            for name, parameter in trainable(model).items()
        ]

    def penalty(self) -> float:
        """The penalty in nats a token, as things stand."""
        terms = [((p.detach() - start).square() * weight).sum() for p, start, weight in self._held]
        return self.strength / 2 * float(sum(terms))

    def pull(self, scale: float = 1.0) -> None:
        """Add the penalty's gradient, times `scale`, to that of the loss."""
        for parameter, start, weight in self._held:
            back = (parameter.detach() - start).mul_(weight).mul_(self.strength * scale).to(parameter.dtype)
            parameter.grad = back if parameter.grad is None else parameter.grad.add_(back)


def fisher_information(
    objective: nn.Module, model: nn.Module, shards: Shards, examples: int, seed: int, accelerator: Accelerator
) -> dict[str, Tensor]:
    """The diagonal of the empirical Fisher information of a target token, for each trained weight, on the CPU.

    From `examples` examples of the training split, each by itself: the square of the gradient of its summed loss, added
    up and divided by all of their targets. Processes share the work. Raises `TrainingError` without any target.
    """
    split = shards.splits["train"]
    order = np.random.default_rng([seed, 1]).permutation(len(split))[:examples]
    parameters = trainable(model)
    totals = {name: torch.zeros_like(p, dtype=torch.float32) for name, p in parameters.items()}
    targets = torch.zeros((), dtype=torch.float32, device=accelerator.device)
    objective.to(accelerator.device).eval()
    for number in order[accelerator.process_index :: accelerator.num_processes].tolist():
        batch = split.stack([[number]], int(split.index[number]["length"]))
        with accelerator.autocast():
            loss = objective(**batch_tensors(batch, accelerator.device))
        loss.backward()
        for name, parameter in parameters.items():
            if parameter.grad is not None:
                totals[name] += parameter.grad.float().square()
        objective.zero_grad(set_to_none=True)
        targets += batch.targets
    objective.train()
    count = float(accelerator.reduce(targets, "sum"))
    if not count:
        raise TrainingError(f"{shards.folder}: no example to measure the weights' importance on; set continual.ewc=0.")
    return {name: (accelerator.reduce(total, "sum") / count).cpu() for name, total in totals.items()}


def stored_fisher(folder: Path, fisher: dict[str, Tensor] | None = None) -> dict[str, Tensor] | None:
    """Keep `fisher` in a run's folder, or read what is kept there (None if nothing is): a resumed run uses the same."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    path = folder / FISHER_FILE
    if fisher is not None:
        part = path.with_suffix(".part")
        save_file({name: tensor.contiguous() for name, tensor in fisher.items()}, part)
        part.replace(path)
        return fisher
    try:
        return load_file(path) if path.is_file() else None
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); delete it, and it is measured again.") from None


def anchor_of(
    recipe: Recipe, model: nn.Module, old: Sequence[Shards], run: Run, accelerator: Accelerator
) -> Anchor | None:
    """What holds the weights where they are now, before a step or a checkpoint changes them; None if nothing does.

    Must be called on a model that has just been made. What was measured when the run began serves when it is resumed.
    """
    if recipe.continual is None or not recipe.continual.ewc:
        return None
    fisher = stored_fisher(run.folder)
    if fisher is None:
        examples = recipe.continual.fisher_rows
        say(f"measuring on {examples} old examples which weights matter")
        each = [
            fisher_information(
                CausalObjective(model), model, shards, math.ceil(examples / len(old)), recipe.data.seed, accelerator
            )
            for shards in old
        ]
        # Each old corpus counts the same, however long it is.
        fisher = {name: sum((one[name] for one in each[1:]), first) / len(old) for name, first in each[0].items()}
        if accelerator.is_main_process:
            stored_fisher(run.folder, fisher)
    return Anchor(model, fisher, recipe.continual.ewc)


def score_old(
    recipe: Recipe, objective: nn.Module, old: Sequence[Shards], run: Run, accelerator: Accelerator, when: str
) -> dict[str, float]:
    """Score the dev split of each old corpus with the model as it is, note it in the run, and return figures for the card.

    `when` is `before` or `after` training; what was noted before a run began stays when it is resumed. Without an old
    corpus nothing happens. Only the main process works; all raise `CheckpointError` when a corpus is no longer the one
    that was scored, since two scores of two corpora say nothing about forgetting.
    """
    if recipe.continual is None:
        return {}
    path, corpora = run.folder / REPORT_FILE, recipe.continual.corpora
    noted: list[dict[str, Any]] = read_json(path).get("corpora", []) if path.is_file() else []
    for scores, corpus, shards in zip(noted, corpora, old, strict=False):
        if scores["shards"] != shards.meta["hash"]:
            raise CheckpointError(
                f"the old corpus of {run.folder} ({corpus}) has changed since the run began (its shards were "
                f"{scores['shards'][:12]}, and are {shards.meta['hash'][:12]}). Prepare it again as it was, or begin a new "
                "run."
            )
    if not accelerator.is_main_process or (when == "before" and noted):
        return {}
    noted = noted or [{"shards": shards.meta["hash"]} for shards in old]
    names = ["old corpus"] if len(old) == 1 else [f"old corpus {corpus}" for corpus in corpora]
    rows, limit = recipe.train.rows, recipe.continual.evaluate_rows
    for name, scores, shards in zip(names, noted, old, strict=True):
        loss, bits = own_loss(objective.to(accelerator.device), shards, rows, recipe.data.context, limit, accelerator)
        say(f"{name} {when} training: dev loss {loss:.4f}  dev bpb {bits:.4f}")
        scores[when] = {"loss": loss, "bits_per_byte": bits}
        if when == "after":
            scores["forgotten_bits_per_byte"] = bits - scores["before"]["bits_per_byte"]
    write_json(path, recipe.continual.model_dump(mode="json") | {"corpora": noted})
    return {
        f"{name}, dev bits per byte, {known}": scores[known]["bits_per_byte"]
        for name, scores in zip(names, noted, strict=True)
        for known in ("before", "after")
        if known in scores
    }
