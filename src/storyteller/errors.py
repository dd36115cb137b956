"""Every error that Storyteller raises on purpose.

    StorytellerError
    ├── RecipeError        a recipe cannot be read, or one of its keys or values is wrong
    ├── DataError          a corpus, a story file or a token shard cannot be used
    ├── ModelError         a model, an adapter or a tokenizer cannot be found, fetched or loaded
    ├── CheckpointError    a checkpoint or a run folder is damaged or does not fit
    ├── TrainingError      training cannot start or cannot go on
    ├── GenerationError    a story cannot be written as asked
    └── StudioError        the studio cannot start, or cannot keep or show what it is asked for

A message says what is wrong, where, and what to do next. The command prints it without a traceback and exits with 2.
"""

from __future__ import annotations

__all__ = [
    "CheckpointError",
    "DataError",
    "GenerationError",
    "ModelError",
    "RecipeError",
    "StorytellerError",
    "StudioError",
    "TrainingError",
]


class StorytellerError(Exception):
    """The root of the tree; catch it to catch everything that Storyteller raises on purpose."""


class RecipeError(StorytellerError):
    """A recipe cannot be read, or one of its keys or values is wrong."""


class DataError(StorytellerError):
    """A corpus, a story file or a token shard cannot be used."""


class ModelError(StorytellerError):
    """A model, an adapter or a tokenizer cannot be found, fetched or loaded."""


class CheckpointError(StorytellerError):
    """A checkpoint or a run folder is damaged or does not fit."""


class TrainingError(StorytellerError):
    """Training cannot start or cannot go on."""


class GenerationError(StorytellerError):
    """A story cannot be written as asked."""


class StudioError(StorytellerError):
    """The studio cannot start, or cannot keep or show what it is asked for."""
