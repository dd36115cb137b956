"""What this machine has and what Storyteller will use of it."""

from __future__ import annotations

import os
import platform
import shutil
from typing import Any

from storyteller.errors import StorytellerError
from storyteller.runs import environment, home

__all__ = ["examine"]


def examine() -> dict[str, Any]:
    """Findings by name, each a short sentence or a version."""
    import torch

    from storyteller.models import catalogue
    from storyteller.models.precision import resolve_precision

    precision, why = resolve_precision("auto")
    folder = home()
    beside = next(parent for parent in (folder, *folder.parents) if parent.exists())
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none (everything works on the processor)"
    return {
        **{name: version or "MISSING: pip install it" for name, version in environment()["versions"].items()},
        "python": platform.python_version(),
        "processor": f"{os.cpu_count()} cores, {torch.get_num_threads()} threads used",
        "gpu": gpu,
        "precision": f"{precision}: {why}",
        "home": f"{folder} ({shutil.disk_usage(beside).free / 1e9:.0f} GB free, "
        f"{'writable' if os.access(beside, os.W_OK) else 'NOT writable: set STORYTELLER_HOME'})",
        "models": ", ".join(_installed(catalogue())) or "none yet: storyteller models pull smollm2-135m-instruct",
    }


def _installed(entries: Any) -> list[str]:
    try:
        return [entry.name for entry in entries if entry.installed]
    except StorytellerError:
        return []
