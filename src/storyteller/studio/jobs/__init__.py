"""Training from the studio: a durable queue, a child process for each training, and what the page shows of it.

`intake` saves what a writer hands over, `queue` keeps the jobs in the studio's database, `training` knows the two commands
and reads their folders, `supervisor` starts processes that outlive the server and brings all of it forward a step at a
time, and `jobs` is what the rest of the studio calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storyteller.lazy import late

if TYPE_CHECKING:
    from storyteller.studio.jobs.jobs import Jobs

__all__ = ["Jobs"]

__getattr__ = late(__name__, {"Jobs": "jobs"})
