"""Adversarial refinement: a storyteller and a critic trained against each other, watched, and taken back when it fails.

`stage` holds it together. `refinement` is its step in the training loop: `rollouts` draw stories with the weights that are
trained (`policy`: with the adapter the policy, without it the reference), `groups` lays a prompt and its stories out in
one row, `reading` reads them once for the divergence and for the `critic`, `rewards` says what each token is worth, and
`gail`, `coop`, `pairs` or `iq` is the loss of the `update`. `adversary` keeps the critic in balance, `monitors` watches,
`final` decides what is shipped, `report` tells it. `using` puts the critic to work. `style` and `style_critics`
are an experiment beside it: another style for a passage, learned without pairs. Importing a part imports torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storyteller.lazy import late

if TYPE_CHECKING:
    from storyteller.adversarial.measuring import Score
    from storyteller.adversarial.stage import dry_run, refine

__all__ = ["Score", "dry_run", "refine"]

__getattr__ = late(
    __name__,
    {"Score": "measuring", "dry_run": "stage", "refine": "stage"},
)
