"""Stories into tokens: requests rendered by one template, examples cut to fit, shards on disk, packed batches.

A `Request` is what a writer may ask for. `template` renders it as ids, the same in training and in use, over the
`tokenizer` of the model. In training nobody asked: `conditions` finds in each story what might have been asked
(with `names`, `vocabulary` and, in words, `wording`), `examples` cuts stories into parts that fit the context, and
`tokenizing` writes them as `shards`. `batches` packs them: a batch is a pure function of seed and step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from storyteller.lazy import late
from storyteller.tokens.request import Character, Request, Task

if TYPE_CHECKING:
    from storyteller.tokens.batches import NO_LABEL, Batch
    from storyteller.tokens.replay import ReplayShards
    from storyteller.tokens.shards import Shards
    from storyteller.tokens.template import TEMPLATE_FILE, Example, Template
    from storyteller.tokens.tokenizer import StoryTokenizer
    from storyteller.tokens.tokenizing import tokenize
    from storyteller.tokens.wording import LENGTH_BANDS, length_band, request_text

__all__ = [
    "LENGTH_BANDS",
    "NO_LABEL",
    "TEMPLATE_FILE",
    "Batch",
    "Character",
    "Example",
    "ReplayShards",
    "Request",
    "Shards",
    "StoryTokenizer",
    "Task",
    "Template",
    "length_band",
    "request_text",
    "tokenize",
]

# numpy and the tokenizers library are not needed for `--help`.
__getattr__ = late(
    __name__,
    {
        "LENGTH_BANDS": "wording",
        "NO_LABEL": "batches",
        "TEMPLATE_FILE": "template",
        "Batch": "batches",
        "Example": "template",
        "ReplayShards": "replay",
        "Shards": "shards",
        "StoryTokenizer": "tokenizer",
        "Template": "template",
        "length_band": "wording",
        "request_text": "wording",
        "tokenize": "tokenizing",
    },
)
