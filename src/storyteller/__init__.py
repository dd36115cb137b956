"""Storyteller turns a language model into a storyteller, and gives a writer a place to work with it.

>>> from storyteller import Storyteller
>>> Storyteller.load().tell("A lighthouse keeper finds a talking seal.", words=300, seed=7).text

The names below are the door for Python; they are imported when they are first used, so that this import stays light.
"""

from __future__ import annotations

import os
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

# libgomp's threads spin for milliseconds while they wait for one another, and a small model has 450 such waits a token: beside
# another busy process (a training, while somebody writes) text comes some twenty times slower. 500 turns cost nothing that can
# be seen on a quiet machine. The library reads this when it is loaded, by torch or by llama.cpp: so it stands before both.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "500")

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
