"""The members of a loaded ensemble, and the weights that they have in one turn after another."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from storyteller.errors import GenerationError
from storyteller.generate.mixture import MixtureEngine
from storyteller.models.ensemble_file import named_weights

if TYPE_CHECKING:
    from storyteller.generate import Storyteller

__all__ = ["Members"]


class Members:
    """Who writes in an ensemble, and how much each counts; a model that is none has no members.

    One model serves all projects and `/v1`, so every turn begins anew, with the weights of the ensemble's file or a project's.
    """

    def __init__(self, teller: Storyteller) -> None:
        self._name, self._project = teller.name, ""
        self._mixture = mixture = teller.engine if isinstance(teller.engine, MixtureEngine) else None
        self._own = dict(zip(mixture.members, mixture.weights, strict=True)) if mixture else {}
        self._lock = threading.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """What they are called."""
        return tuple(self._own)

    @property
    def dropped(self) -> tuple[str, ...]:
        """The names of those whose weights are damaged, so that the others write without them."""
        return self._mixture.dropped if self._mixture else ()

    def begin(self, project: str = "", weights: Mapping[str, float] | None = None) -> None:
        """Begin a turn, that of a project where one is named, with these weights or else the file's.

        Members that are not named get no weight. Raises `GenerationError` for weights that are not for this model.
        """
        with self._lock:
            self._project = project
            self._set(weights or self._own)

    def change(self, project: str, weights: Mapping[str, float]) -> None:
        """Let what a project is writing go on with these weights, or else the file's; in another's turn, nothing happens."""
        with self._lock:
            if project == self._project:
                self._set(weights or self._own)

    def _set(self, weights: Mapping[str, float]) -> None:
        if self._mixture is None:
            if weights:
                raise GenerationError(f"{self._name} is no ensemble, so it has no members to weigh.")
            return
        try:
            self._mixture.weights = named_weights(weights, self.names, self._mixture.mixer.rule)
        except ValueError as error:
            raise GenerationError(f"{error}.") from None
