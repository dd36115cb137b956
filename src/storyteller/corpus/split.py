"""Splits by group: what shares an author, a work, a prompt or its wording stays on one side."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from storyteller.corpus.duplicates import components

__all__ = ["SPLITS", "Split", "assign", "group"]

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")


def group(rows: NDArray[Any], kin: NDArray[np.int64], largest: float) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Group labels of the stories in `rows`, and how many stories lost which tie because their group was too large.

    Ties are those of `kin` (never cut), author, work and prompt (0 is none). While a group holds over `largest` of all
    stories, its stories lose the tie of the author, then of the prompt, then of the work.
    """
    ties = {name: np.array(rows[name]) for name in ("author", "prompt", "work")}
    cut: dict[str, int] = {}
    while True:
        labels = kin
        for keys in ties.values():
            labels = components(labels, *_linked(keys))
        sizes = np.bincount(labels, minlength=len(labels))
        big = sizes[labels] > max(1.0, largest * len(rows))
        name = next((name for name, keys in ties.items() if (keys[big] != 0).any()), None)
        if name is None:
            return labels, cut
        cut[name] = cut.get(name, 0) + int((ties[name][big] != 0).sum())
        ties[name][big] = 0


def assign(rows: NDArray[Any], labels: NDArray[np.int64], *, dev: float, test: float, seed: int) -> NDArray[np.uint8]:
    """The split (index into `SPLITS`) of each story: whole groups, in an order drawn by hash, in each language.

    Dev and test take every next group that they have room for; the rest is training. A language of three groups or
    more has stories in every split that has a share.
    """
    groups, members = np.unique(labels, return_inverse=True)
    sizes = np.bincount(members)
    keys = np.full(len(groups), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(keys, members, np.array(rows["text"]))
    order = np.argsort(_mixed(keys, seed), kind="stable")
    languages = np.array(rows["language"])[groups]  # a group of two languages counts with its first story's
    chosen = np.zeros(len(groups), np.uint8)
    for language in np.unique(languages):
        mine = order[languages[order] == language]
        total = int(sizes[mine].sum())
        wanted = {split: share * total for split, share in ((1, dev), (2, test)) if share > 0}
        filled = dict.fromkeys(wanted, 0)
        for index in mine:
            split = next((s for s in wanted if filled[s] + sizes[index] <= wanted[s]), 0)
            chosen[index] = split
            if split:
                filled[split] += int(sizes[index])
        if len(mine) < 3:
            continue
        for split in [split for split in wanted if not filled[split]]:
            training = mine[chosen[mine] == 0]
            chosen[training[np.argmin(sizes[training])]] = split
    if len(groups) >= 3:
        _fill_empty(chosen, sizes, [split for split, share in ((1, dev), (2, test)) if share > 0], order)
    return chosen[members]


def _fill_empty(chosen: NDArray[np.uint8], sizes: NDArray[Any], wanted: list[int], order: NDArray[Any]) -> None:
    """Give a split that stayed empty the smallest training group: for languages of a group or two each."""
    for split in wanted:
        if not (chosen == split).any():
            training = order[chosen[order] == 0]
            chosen[training[np.argmin(sizes[training])]] = split


def _linked(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each story that has a key, and the first story that has the same."""
    having = np.flatnonzero(keys)
    _, first, inverse = np.unique(keys[having], return_index=True, return_inverse=True)
    return having, having[first[inverse]]


def _mixed(keys: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """splitmix64 (Steele et al. 2014) of keys and seed: an order that has nothing to do with the texts."""
    x = keys ^ np.uint64((seed * 0x9E3779B97F4A7C15) % 2**64)
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
