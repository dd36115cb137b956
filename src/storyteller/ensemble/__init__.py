"""Ensembles: several storytellers made one, in their weights, or by choosing among what they write.

    merge(["a", "b"], out)            one adapter or model of several (linear, SLERP, TIES, DARE, ...)
    search(...)                       the weights that score best on held-out stories
    draft_many(...) -> rank -> show   candidates of several members, calibrated, ranked, a diverse few of them
    relay(...)                        sentence by sentence, the best of several members' drafts; any tokenizers

Mixing at each token is generating, so it lives there: `generate.mixture`, opened by an `ensemble.yaml`
(`models.ensemble_file`), which every command takes in place of a model's name. What a good text is, is never decided
here: scores come in as functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storyteller.lazy import late

if TYPE_CHECKING:
    from storyteller.ensemble.merging import METHODS, Method, merge

__all__ = ["METHODS", "Method", "merge"]

__getattr__ = late(
    __name__,
    {"METHODS": "merging", "Method": "merging", "merge": "merging"},
)
