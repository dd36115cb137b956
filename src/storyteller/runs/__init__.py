"""Runs: what a stage leaves behind. A run is a folder, and nothing about it lives anywhere else.

`run` is the folder itself, `sinks` writes its metrics, `card` its model card, `console` what the terminal shows meanwhile,
`files` writes everything so that a kill at any moment leaves the old content or the new, `home` is the user's own folder.
"""

from __future__ import annotations

from storyteller.runs.files import file_sha256, read_json, replacing_folder, write_atomic, write_json
from storyteller.runs.home import home, models_home, stories_home
from storyteller.runs.run import Run, environment
from storyteller.runs.sinks import Metrics

__all__ = [
    "Metrics",
    "Run",
    "environment",
    "file_sha256",
    "home",
    "models_home",
    "read_json",
    "replacing_folder",
    "stories_home",
    "write_atomic",
    "write_json",
]
