"""An engine that says what it is told to, for tests of everything around a model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from storyteller.tokens import StoryTokenizer

__all__ = ["ScriptedEngine"]


class ScriptedEngine:
    """Wants to write `text` and then to end; when it may not end, it writes `text` again."""

    name = "scripted"

    def __init__(self, tokenizer: StoryTokenizer, text: str, context: int = 1024) -> None:
        self.context = context
        self.vocabulary_size = tokenizer.vocabulary_size
        self.longest = 0
        self._script = tokenizer.encode(text)
        self._stop = tokenizer.stop_ids[0]
        self._said = 0

    def feed(self, ids: Sequence[int]) -> NDArray[np.float32]:
        assert len(ids) < self.context
        self.longest = max(self.longest, len(ids))
        logits = np.zeros(self.vocabulary_size, dtype=np.float32)
        place = self._said % len(self._script)
        logits[self._script[place]] = 100.0
        if self._said and place == 0:
            logits[self._stop] = 200.0
        self._said += 1
        return logits

    def close(self) -> None:
        pass
