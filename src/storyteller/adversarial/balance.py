"""What is steered while a refinement goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from storyteller.adversarial.rewards import Scale

__all__ = ["LEAST_DIVERGENCE", "Balance"]

LEAST_DIVERGENCE = 1e-3


@dataclass
class Balance:
    """What is steered while the run goes on, and saved with it."""

    divergence: float
    rate: float = 1.0
    rollbacks: int = 0
    entropy: float = 0.0
    seconds: float = 0.0
    realism: Scale = field(default_factory=Scale)
    coherence: Scale = field(default_factory=Scale)

    def steer(self, drift: float, target: float | None) -> None:
        """Raise the divergence's weight while the drift is over its target, lower it while it is well under."""
        if target is not None and drift > 1.5 * target:
            self.divergence = max(self.divergence, LEAST_DIVERGENCE) * 1.1
        elif target is not None and drift < 0.5 * target:
            self.divergence = max(self.divergence / 1.1, min(self.divergence, LEAST_DIVERGENCE))

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Balance:
        """The balance that `asdict` wrote."""
        scales = {name: Scale(**values[name]) for name in ("realism", "coherence")}
        return cls(**{**values, **scales})
