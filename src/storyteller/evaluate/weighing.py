"""The weights of a mixture, from what its members say of held-out stories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from storyteller.ensemble.likelihood import MixtureModel
from storyteller.ensemble.searching import mixture_weights
from storyteller.evaluate.loss import measure_losses
from storyteller.evaluate.loss_report import choose_stories, widest_window
from storyteller.models import locate
from storyteller.tokens import StoryTokenizer, Template

__all__ = ["weigh_mixture"]


def weigh_mixture(folder: str | Path, data: Path, *, limit: int | None = 16, max_tokens: int = 256) -> dict[str, Any]:
    """The weights under which the arithmetic mixture of an ensemble's members predicts the dev split of a corpus best.

    Every member reads each story once, after the request that names its form, title and length. In bits per byte: each
    member `alone`, all with `equal` weights, `mixed` with those that were found. A member that gives no finite numbers has
    the weight 0 and None `alone`, and the others alone are equal. Raises `ModelError` and `DataError`.
    """
    located = locate(folder)
    model = MixtureModel(located)
    tokenizer = StoryTokenizer.load(located.folder)
    template = Template.load(located.template_folder, tokenizer)
    stories = choose_stories(data, "dev", limit, None)
    losses = measure_losses(
        model, tokenizer, stories, context=widest_window([located]), max_tokens=max_tokens, template=template
    )
    size = sum(loss.bytes for loss in losses)
    logs = np.concatenate(model.heard, axis=1)
    weights = mixture_weights(logs)
    names = model.mixer.members

    def bits(shares: Sequence[float]) -> float:
        asked = np.flatnonzero(shares)
        top = logs[asked].max(axis=0)
        mixed = np.log(np.asarray(shares)[asked] @ np.exp(logs[asked] - top)) + top
        return float(-mixed.sum() / math.log(2) / size)

    alone = [bits(one) for one in np.eye(len(names)).tolist()]
    sound = [math.isfinite(value) for value in alone]
    return {
        "weights": dict(zip(names, weights, strict=True)),
        "alone": {name: value if math.isfinite(value) else None for name, value in zip(names, alone, strict=True)},
        "equal": bits([number / sum(sound) for number in sound]),
        "mixed": bits(weights),
        "stories": len(stories),
        "tokens": int(logs.shape[1]),
    }
