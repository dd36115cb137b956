"""The suite: every figure about the texts of several systems, from one bench, into `Findings`.

`bench` lays the texts of all systems side by side, the files named after groups of metrics measure them, `spread` gives
intervals to figures about whole sets of texts, `stories` runs all of it and compares the systems in pairs.
"""

from __future__ import annotations

from storyteller.evaluate.suite.bench import Bench, Part, lay_out
from storyteller.evaluate.suite.stories import measure_stories

__all__ = ["Bench", "Part", "lay_out", "measure_stories"]
