"""The keys of pretraining, and what the one dial `model.size` stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, Field, model_validator

from storyteller.recipe.section import Section

__all__ = ["PretrainRecipe", "ShapeRecipe", "Size", "TokenizerRecipe", "new_rate", "under_size"]

Size = Literal["1m", "5m", "15m", "42m", "110m"]


class ShapeRecipe(Section):
    """The shape of a new model; `model.size` sets all of it."""

    layers: int = Field(4, ge=1, le=128, description="transformer layers")
    width: int = Field(256, ge=8, le=8192, description="width of the hidden states")
    heads: int = Field(4, ge=1, le=128, description="attention heads; each needs an even share of the width")
    feed_forward: int | None = Field(
        None, ge=8, description="inner width of the feed-forward layers; null: 8/3 of the width, in steps of 32"
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width} into even parts")
        return self

    @property
    def inner(self) -> int:
        """The inner width of the feed-forward layers; with 8/3 a gated one costs what a plain one of 4 does."""
        return self.feed_forward or max(32, round(self.width * 8 / 3 / 32) * 32)


class TokenizerRecipe(Section):
    """The tokenizer that is trained on the corpus before the model is, or the one that is taken over."""

    kind: Literal["bytes", "characters"] = Field(
        "bytes", description="byte-level BPE, or one token for each character of the corpus"
    )
    vocabulary: int = Field(
        8192, ge=272, le=262144, description="tokens, with 256 bytes and the control tokens (bytes)"
    )
    model: str | None = Field(None, description="take the tokenizer of this model instead of training one")


class PretrainRecipe(Section):
    """Training a new model from nothing."""

    objective: Literal["causal", "masked"] = Field(
        "causal", description="causal: the next token (Llama-style); masked: hidden words (ModernBERT-style)"
    )
    tokenizer: TokenizerRecipe = Field(TokenizerRecipe(), description="how text becomes tokens")
    prompted: float = Field(
        0.5, ge=0, le=1, description="causal: share of the stories that follow a request, as in writing"
    )
    masked: float = Field(0.3, gt=0, lt=1, description="masked: share of the tokens that are hidden; BERT took 0.15")
    whole_words: bool = Field(True, description="masked: hide whole words, in Chinese those that rjieba finds")


#: What a size sets where a recipe says nothing. The batch grows and the rate falls with the model; the steps make about
#: 20 tokens a parameter (Hoffmann et al. 2022, arXiv 2203.15556), which on a processor is more than most will wait for.
_SIZES: dict[Size, dict[str, Any]] = {
    "1m": {"shape": (4, 128, 4), "vocabulary": 2048, "context": 256, "rows": 8, "accumulate": 1, "lr": 3e-3},
    "5m": {"shape": (4, 256, 4), "vocabulary": 8192, "context": 512, "rows": 8, "accumulate": 1, "lr": 2e-3},
    "15m": {"shape": (6, 384, 6), "vocabulary": 12288, "context": 512, "rows": 16, "accumulate": 1, "lr": 1.5e-3},
    "42m": {"shape": (11, 512, 8), "vocabulary": 16384, "context": 1024, "rows": 8, "accumulate": 4, "lr": 1e-3},
    "110m": {"shape": (12, 768, 12), "vocabulary": 32768, "context": 1024, "rows": 16, "accumulate": 8, "lr": 6e-4},
}
_SHAPE_RATE = 1e-3
"""The rate of a shape without a size: that of the middle one of a few layers."""

_STEPS: dict[Size, int] = {"1m": 10_000, "5m": 25_000, "15m": 37_000, "42m": 26_000, "110m": 17_000}


def under_size(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a recipe with those of its `model.size` and of pretraining laid under them.

    A `model.shape` alone makes a recipe one of pretraining, too. A length (steps, epochs or minutes) takes the place of
    the size's own. Values of an unknown size are returned as they are: the check of the key itself names the sizes.
    """
    given = {key: _plain(value) for key, value in values.items()}
    model, train = given.get("model"), given.get("train") or {}
    size: Any = model.get("size") if isinstance(model, Mapping) else None
    if size is None and isinstance(model, Mapping) and model.get("shape") is not None:
        return _over({"model": {"method": "full"}, "pretrain": {}, "train": {"lr": _SHAPE_RATE}}, given)
    if size not in get_args(Size) or not isinstance(train, Mapping):
        return dict(values)
    preset = _SIZES[size]
    layers, width, heads = preset["shape"]
    under: dict[str, Any] = {
        "model": {"method": "full", "shape": {"layers": layers, "width": width, "heads": heads}},
        "data": {"context": preset["context"]},
        "pretrain": {"tokenizer": {"vocabulary": preset["vocabulary"]}},
        "train": {name: preset[name] for name in ("rows", "accumulate", "lr")}
        | {"schedule": "cosine", "floor": 0.1, "warmup": 0.03, "weight_decay": 0.1},
    }
    if not any(train.get(name) is not None for name in ("steps", "epochs", "minutes")):
        under["train"]["steps"] = _STEPS[size]
    return _over(under, given)


def new_rate(size: Size | None) -> float:
    """The learning rate that a new model of a size, or of a shape alone, begins with."""
    return _SHAPE_RATE if size is None else float(_SIZES[size]["lr"])


def _plain(value: Any) -> Any:
    """A section as the mapping of what was given in it."""
    return value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value


def _over(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in top.items():
        old = result.get(key)
        # A section that is null is one of which nothing was said.
        if isinstance(old, Mapping) and (isinstance(value, Mapping) or value is None):
            result[key] = _over(old, value or {})
        else:
            result[key] = value
    return result
