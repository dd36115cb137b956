"""Storyteller turns a language model into a storyteller, and gives a writer a place to work with it.

>>> from storyteller import Storyteller
>>> Storyteller.load().tell("A lighthouse keeper finds a talking seal.", words=300, seed=7).text

The names below are the door for Python; they are imported when they are first used, so that this import stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storyteller.lazy import late

if TYPE_CHECKING:
    from storyteller.errors import StorytellerError
    from storyteller.generate import SamplingSettings, Storyteller, Token, Told, Writing
    from storyteller.tokens import Character, Request

__all__ = [
    "Character",
    "Request",
    "SamplingSettings",
    "Storyteller",
    "StorytellerError",
    "Token",
    "Told",
    "Writing",
    "__version__",
]

__version__ = "0.1.0"

__getattr__ = late(
    __name__,
    {
        "Character": "tokens",
        "Request": "tokens",
        "SamplingSettings": "generate",
        "Storyteller": "generate",
        "StorytellerError": "errors",
        "Token": "generate",
        "Told": "generate",
        "Writing": "generate",
    },
)
