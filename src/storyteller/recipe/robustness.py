"""The keys of training on little data, after other data, and from a teacher; every one of them is off by default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from storyteller.recipe.section import Section

__all__ = ["AugmentRecipe", "ContinualRecipe", "ContrastiveRecipe", "DistilRecipe", "PerturbRecipe"]


class PerturbRecipe(Section):
    """Noise (`neftune`) or the worst case (`fgm`, `freelb`) on the embeddings of what is read, in training only."""

    method: Literal["neftune", "fgm", "freelb"] = Field(description="random noise, one step uphill, or several")
    noise: float = Field(
        5.0, gt=0, description="neftune: alpha; the noise has the length alpha / sqrt(3) in each story"
    )
    radius: float = Field(0.05, gt=0, description="fgm, freelb: longest change, as a share of the embeddings' norm")
    ascent: int = Field(
        3, ge=2, le=16, description="freelb: passes, each after a step uphill; it costs as many times more"
    )
    stride: float = Field(0.5, gt=0, description="freelb: length of a step uphill, as a share of the radius")


class ContrastiveRecipe(Section):
    """SimCTG: tokens of one story must not have states that are all alike, for that is how a model comes to loop."""

    weight: float = Field(1.0, gt=0, description="weight beside the likelihood")
    margin: float = Field(0.5, gt=0, le=2, description="cosine similarity that is kept below 1 - margin")


class AugmentRecipe(Section):
    """Variants of the training stories, made when they are tokenized; dev and test stay as they are."""

    copies: int = Field(1, ge=1, le=16, description="variants of each story, besides the story itself")
    names: bool = Field(True, description="give people and places other names, the same all through a story")
    synonyms: float = Field(0.15, ge=0, le=1, description="chance that a word with a synonym is exchanged for it")

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.names and not self.synonyms:
            raise ValueError("names and synonyms are both off, so the variants would be copies; leave out augment")
        return self


class ContinualRecipe(Section):
    """Learning something new without forgetting the old; the old corpus is scored before and after, always."""

    old: Path | Annotated[list[Path], Field(min_length=1)] = Field(
        description="the folder, written by `storyteller prepare`, of what the base has learnt already; or several"
    )
    replay: float = Field(
        0.0, ge=0, lt=1, description="share of the packed rows that come from the old corpus; several take turns"
    )
    ewc: float = Field(0.0, ge=0, description="weight of the penalty for leaving the old weights; 1: as if old = new")
    fisher_rows: int = Field(64, ge=1, description="ewc: old examples from which the weights' importance is measured")
    stack: bool = Field(False, description="lora: lay a new adapter over the base's own, instead of going on with that")
    evaluate_rows: int = Field(64, ge=1, description="packed dev rows of an old corpus in its score")

    @property
    def corpora(self) -> list[Path]:
        """The old corpus, or all of them."""
        return self.old if isinstance(self.old, list) else [self.old]


class DistilRecipe(Section):
    """A teacher with the same tokenizer: the student learns what it finds likely, not only what was written."""

    teachers: list[str] = Field(min_length=1, description="models of the same tokenizer; several are mixed evenly")
    weight: float = Field(0.5, gt=0, le=1, description="weight of the teacher's word; the rest is the text's own")
    temperature: float = Field(2.0, gt=0, le=100, description="both distributions are flattened by it")
    top: int | None = Field(None, ge=1, description="only the teacher's likeliest tokens; null: all of them")
