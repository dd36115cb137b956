"""Writing with a model: from logits to a story that ends well.

`Storyteller` is the door: `Storyteller.load().write("A talking seal")` yields tokens. Behind it an `Engine` gives the
logits of the next token (`torch` for every model, `llama` for speed on a CPU), `sampling` draws one of them,
`stopping` finds a good end, `writing` is the loop that joins them, and `library` keeps what was told as files.
`Storyteller.tell_many` writes many stories at once: `many` drives the same loops over a `BatchEngine`. `remote` asks a
model behind an OpenAI-compatible address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storyteller.lazy import late

if TYPE_CHECKING:
    from storyteller.generate.constraint import Cast, Constraint, Fresh, Line, Together
    from storyteller.generate.engine import ENGINES, BatchEngine, Engine, EngineName, open_batch, open_engine
    from storyteller.generate.library import save_story
    from storyteller.generate.many import write_many
    from storyteller.generate.remote import RemoteModel
    from storyteller.generate.sampling import Draw, Sampler, SamplingSettings
    from storyteller.generate.stopping import FinishReason
    from storyteller.generate.storyteller import Storyteller
    from storyteller.generate.writing import Alternative, Token, Told, Writing

__all__ = [
    "ENGINES",
    "Alternative",
    "BatchEngine",
    "Cast",
    "Constraint",
    "Draw",
    "Engine",
    "EngineName",
    "FinishReason",
    "Fresh",
    "Line",
    "RemoteModel",
    "Sampler",
    "SamplingSettings",
    "Storyteller",
    "Together",
    "Token",
    "Told",
    "Writing",
    "open_batch",
    "open_engine",
    "save_story",
    "write_many",
]

__getattr__ = late(
    __name__,
    {
        "Cast": "constraint",
        "Constraint": "constraint",
        "Fresh": "constraint",
        "Line": "constraint",
        "Together": "constraint",
        "ENGINES": "engine",
        "BatchEngine": "engine",
        "Engine": "engine",
        "EngineName": "engine",
        "open_batch": "engine",
        "open_engine": "engine",
        "save_story": "library",
        "write_many": "many",
        "RemoteModel": "remote",
        "Draw": "sampling",
        "Sampler": "sampling",
        "SamplingSettings": "sampling",
        "FinishReason": "stopping",
        "Storyteller": "storyteller",
        "Alternative": "writing",
        "Token": "writing",
        "Told": "writing",
        "Writing": "writing",
    },
)
