"""Ensembles: several storytellers made one, in their weights, or by choosing among what they write.

    new_ensemble(folder, ["a", "b"])  a folder that every command takes as a model, mixed anew at each token
    merge(["a", "b"], out)            one adapter or model of several (linear, SLERP, TIES, DARE, task arithmetic, soup)
    search(["a", "b"], out, score)    the same with the weights that score best
    draft_many -> rank -> show        candidates by several members, calibrated, ranked, a varied few of them
    relay(...)                        sentence by sentence the best of several members' drafts; any tokenizers
    cascade(...)                      a larger model only where the smaller one's story scores low
    tell_examples(...)                what an ensemble writes, to train one adapter on

Mixing at each token is generating, so its engine lives in `generate.mixture` and its file in `models.ensemble_file`.
What a good text is, is never decided here: scores come in as functions.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from storyteller.ensemble.cascading import Cascaded, cascade
    from storyteller.ensemble.distil import tell_examples
    from storyteller.ensemble.drafts import Draft, draft_many, rank, show
    from storyteller.ensemble.folder import describe_ensemble, new_ensemble
    from storyteller.ensemble.likelihood import MixtureModel
    from storyteller.ensemble.merging import METHODS, Method, merge
    from storyteller.ensemble.ranking import Scorer
    from storyteller.ensemble.relaying import Relayed, relay
    from storyteller.ensemble.searching import search

__all__ = [
    "METHODS",
    "Cascaded",
    "Draft",
    "Method",
    "MixtureModel",
    "Relayed",
    "Scorer",
    "cascade",
    "describe_ensemble",
    "draft_many",
    "merge",
    "new_ensemble",
    "rank",
    "relay",
    "search",
    "show",
    "tell_examples",
]

_HOMES = {
    "METHODS": "merging",
    "Cascaded": "cascading",
    "Draft": "drafts",
    "Method": "merging",
    "MixtureModel": "likelihood",
    "Relayed": "relaying",
    "Scorer": "ranking",
    "cascade": "cascading",
    "describe_ensemble": "folder",
    "draft_many": "drafts",
    "merge": "merging",
    "new_ensemble": "folder",
    "rank": "drafts",
    "relay": "relaying",
    "search": "searching",
    "show": "drafts",
    "tell_examples": "distil",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
