"""Saving a model or an adapter in the field's own formats, and proving that what was saved is what was trained."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from storyteller.errors import ModelError
from storyteller.models.adapters.adalora import saved_ranks
from storyteller.models.adapters.own import own_adapter, save_own
from storyteller.models.load import is_masked, load_model
from storyteller.models.location import locate
from storyteller.models.quiet import quiet
from storyteller.runs.files import read_json, write_json

__all__ = ["TOLERANCE", "reload_difference", "save_model"]

#: The largest difference in logits between a model and its reloaded copy. Equal weights give 0 in one process.
TOLERANCE = 1e-3

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "storyteller_template.json",
)

_PROMPTS = ("Once upon a time, on 3 islands,", "从前有一座灯塔，")


def save_model(model: Any, folder: Path, *, tokenizer_from: Path, check: bool = True) -> float | None:
    """Write `model` to `folder` as transformers (or, with an adapter, PEFT) reads it, with the tokenizer's files.

    With `check` the folder is loaded again and the logits of fixed prompts compared: the largest difference is
    returned, None without `check`. Raises `ModelError` when it is over `TOLERANCE`. The folder's other files stay.
    """
    from peft import PeftModel

    folder.mkdir(parents=True, exist_ok=True)
    card = folder / "README.md"
    described = card.exists()
    with quiet():
        if own_adapter(model) is not None:
            save_own(model, folder)
        elif isinstance(model, PeftModel):
            # What is checked is handed on: a checkpoint keeps what AdaLoRA has put out of use, the rest does not.
            with saved_ranks(model, pruned=check):
                # `auto` would ask the hub whether the base's vocabulary was resized.
                model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
            _name_base(folder, model.get_base_model().name_or_path)
            if not described:  # peft's form with nothing filled in; the run writes a real card
                card.unlink(missing_ok=True)
        else:
            model.save_pretrained(folder, safe_serialization=True)
    for name in _TOKENIZER_FILES:
        if (tokenizer_from / name).is_file() and tokenizer_from.resolve() != folder.resolve():
            shutil.copyfile(tokenizer_from / name, folder / name)
    return reload_difference(model, folder) if check else None


def _name_base(folder: Path, base: str) -> None:
    path = folder / "adapter_config.json"
    write_json(path, read_json(path) | {"base_model_name_or_path": base})


def reload_difference(model: Any, folder: Path) -> float:
    """The largest difference in logits between `model` and what `folder` loads to; `ModelError` over `TOLERANCE`."""
    import torch
    from tokenizers import Tokenizer

    from storyteller.models.masked import load_masked

    load = load_masked if is_masked(folder) else load_model
    reloaded = load(locate(folder), dtype=str(model.dtype).removeprefix("torch."))  # type: ignore[arg-type]
    reloaded.to(model.device)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    training = model.training
    model.eval()
    difference = 0.0
    with torch.inference_mode():
        for prompt in _PROMPTS:
            ids = torch.tensor([tokenizer.encode(prompt).ids], device=model.device)
            logits = (model(input_ids=ids).logits.float(), reloaded(input_ids=ids).logits.float())
            difference = max(difference, float((logits[0] - logits[1]).abs().max()))
    model.train(training)
    if not difference <= TOLERANCE:  # also when it is not a number
        raise ModelError(
            f"{folder} was saved but does not reload to the same model: logits differ by {difference:.2g}, more than "
            f"{TOLERANCE}. Do not use it; keep the checkpoint it came from and report this."
        )
    return difference
