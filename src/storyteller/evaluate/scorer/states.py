"""What the scorer sees of a window: the model's state at the end of each sentence, and how likely each token was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from storyteller.models.features import Reader, sentence_passage
from storyteller.runs.console import progress

__all__ = ["LAYERS", "WindowStates", "read_windows"]

LAYERS = (18, 24)
"""Of SmolLM2-135M's 30: on the development halves each alone did better than layers 6, 12 and 30, both better than one."""


@dataclass(frozen=True, slots=True)
class WindowStates:
    """A window as read: `states` [sentences, layers * width] float16 at the sentence ends.

    `ids` and `log_likelihoods` [tokens] (nats; empty where the reader makes none), `ends` [sentences] in tokens.
    """

    states: NDArray[np.float16]
    ids: NDArray[np.int64]
    log_likelihoods: NDArray[np.float32]
    ends: NDArray[np.int64]


def read_windows(reader: Reader, windows: Sequence[Sequence[str]], what: str = "reading") -> list[WindowStates]:
    """Read windows, each given as its sentences, from an empty context; in the order given."""
    passages = [sentence_passage(reader.tokenizer, window) for window in windows]
    read: dict[int, WindowStates] = {}
    with progress(len(windows), what) as advance:
        for index, reading in reader.read(passages):
            ends = np.array(reading.ends)
            states = reading.hidden[:, ends - 1].transpose(0, 1).flatten(1)
            read[index] = WindowStates(
                states.float().clamp(-6e4, 6e4).numpy().astype(np.float16),
                np.array(reading.ids),
                reading.log_likelihoods.numpy(),
                ends,
            )
            advance()
    return [read[index] for index in range(len(windows))]
