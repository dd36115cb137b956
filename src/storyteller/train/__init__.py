"""Training: one loop, and around it what a stage needs.

`drive` is the only loop, `loop` likelihood training in it; `objectives` says what it minimises, `optim` and `schedule` how
it steps, `divergence` when it is lost, `rate_range` which rate to take, `checkpoint` what survives, `estimate` and
`precision` what it will cost, `samples` what it can tell by now. `finetune` and `pretrain` are the stages that put them
together, `stage` is what both have in common: a recipe and prepared stories in, a run folder with a storyteller in it out.
Importing this package imports torch.
"""

from __future__ import annotations

from storyteller.train.finetune import dry_run, finetune
from storyteller.train.interrupt import Interrupted
from storyteller.train.rate_range import find_rate

__all__ = ["Interrupted", "dry_run", "find_rate", "finetune"]
