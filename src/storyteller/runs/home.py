"""Where Storyteller keeps what it downloads and what it writes: one folder, named by `STORYTELLER_HOME`."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["home", "models_home", "stories_home", "studio_home"]


def home() -> Path:
    """The one folder for cache, stories and settings: `$STORYTELLER_HOME`, or `~/.storyteller`."""
    named = os.environ.get("STORYTELLER_HOME")
    return Path(named).expanduser() if named else Path.home() / ".storyteller"


def models_home() -> Path:
    """The folder of fetched and converted models; it can be deleted and is filled again on demand."""
    return home() / "models"


def stories_home() -> Path:
    """The folder in which `storyteller write` saves every story."""
    return home() / "stories"


def studio_home() -> Path:
    """The folder of the studio: its database, the keys of connected servers, backups of what a restore replaced."""
    return home() / "studio"
