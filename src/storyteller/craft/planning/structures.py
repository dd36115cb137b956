"""Ways in which a story can go, as data: steps with the beginnings of sentences that a model has only to end."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib import resources
from typing import Any

from storyteller.corpus.story import Form, Language
from storyteller.errors import GenerationError

__all__ = ["ROLES", "Step", "Structure", "structure_named", "structures", "structures_for"]

#: The parts that people play in a frame, in the order in which people are given.
ROLES = ("hero", "other", "third")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a structure, with frames such as `But {other} would not let {hero}`."""

    title: str
    frames: tuple[str, ...]

    def possible(self, people: int) -> list[str]:
        """The frames in which nobody stands who is not there."""
        missing = ROLES[people:]
        return [frame for frame in self.frames if not any(f"{{{role}}}" in frame for role in missing)]


@dataclass(frozen=True, slots=True)
class Structure:
    """A way in which a story can go."""

    id: str
    name: str
    forms: tuple[Form, ...]
    steps: tuple[Step, ...]


@functools.cache
def structures(language: Language) -> tuple[Structure, ...]:
    """All structures in a language; the data stand beside this file."""
    import yaml

    text = resources.files(__package__).joinpath(f"structures_{language}.yaml").read_text(encoding="utf-8")
    return tuple(_structure(name, record) for name, record in yaml.safe_load(text).items())


def structures_for(form: Form, language: Language) -> list[Structure]:
    """The structures that suit a form, the most general first."""
    return [structure for structure in structures(language) if form in structure.forms]


def structure_named(name: str, language: Language) -> Structure:
    """The structure with an id; raises `GenerationError` for another name."""
    found = {structure.id: structure for structure in structures(language)}
    if name not in found:
        raise GenerationError(f"no structure is called {name!r}. There are: {', '.join(found)}.")
    return found[name]


def roles_in(frame: str) -> Collection[str]:
    """The roles that a frame names."""
    return re.findall(r"\{(\w+)\}", frame)


def _structure(name: str, record: dict[str, Any]) -> Structure:
    steps = tuple(Step(step["title"], tuple(step["frames"])) for step in record["steps"])
    return Structure(name, record["name"], tuple(record["forms"]), steps)
