"""The ways to train few weights instead of all: a section of the recipe for each."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from storyteller.recipe.section import Section

__all__ = [
    "AdaloraRecipe",
    "BottleneckRecipe",
    "DoraRecipe",
    "Ia3Recipe",
    "LoraRecipe",
    "Method",
    "PrefixRecipe",
    "PromptRecipe",
    "QloraRecipe",
]

Method = Literal["full", "lora", "dora", "adalora", "qlora", "bottleneck", "prompt", "prefix", "ia3"]

Names = Annotated[list[str], Field(min_length=1)]
Targets = Literal["all-linear"] | Names


class LoraRecipe(Section):
    """Low-rank adaptation (Hu et al. 2021), scaled by alpha/sqrt(rank) when rank-stabilised (Kalajdzievski 2023)."""

    rank: int = Field(16, ge=1, le=1024, description="rank of the two factors")
    alpha: float = Field(16.0, gt=0, description="scale of the update before division by rank or its root")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the adapter's input")
    rank_stabilised: bool = Field(True, description="divide alpha by sqrt(rank) instead of rank")
    targets: Targets = Field(
        "all-linear", description="module names to adapt, or all-linear: every linear layer but the output layer"
    )


class DoraRecipe(LoraRecipe):
    """LoRA on the direction of each weight column, with its length trained apart (Liu et al. 2024, arXiv 2402.09353)."""


class AdaloraRecipe(Section):
    """LoRA whose ranks move, while it trains, to the layers that need them (Zhang et al. 2023, arXiv 2303.10512)."""

    rank: int = Field(8, ge=1, le=1024, description="mean rank of a layer at the end: the budget")
    first_rank: int = Field(12, ge=2, le=1536, description="rank of every layer at the start")
    alpha: float = Field(16.0, gt=0, description="scale of the update before division by first_rank")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the adapter's input")
    targets: Targets = Field("all-linear", description="as in model.lora")
    warm_share: float = Field(0.1, ge=0, lt=1, description="share of the steps before ranks begin to fall")
    final_share: float = Field(0.3, ge=0, lt=1, description="share of the steps, the last, in which ranks are fixed")
    every: int | None = Field(None, ge=1, description="steps between allocations; null: about fifty in a run")
    orthogonality: float = Field(0.1, ge=0, description="weight of the factors' distance from orthogonality")

    @model_validator(mode="after")
    def _ranks_and_shares_fit(self) -> Self:
        if self.rank >= self.first_rank:
            raise ValueError(
                f"adalora: rank ({self.rank}) must be under first_rank ({self.first_rank}), which it falls from"
            )
        if self.warm_share + self.final_share >= 1:
            raise ValueError("adalora: warm_share and final_share leave no steps in which ranks could move")
        return self


class QloraRecipe(LoraRecipe):
    """LoRA over a base kept in four bits (Dettmers et al. 2023, arXiv 2305.14314); needs a GPU and bitsandbytes."""

    double: bool = Field(True, description="quantise the quantisation constants, too")


class BottleneckRecipe(Section):
    """Small networks after sub-layers: down, a nonlinearity, up, and the input added."""

    kind: Literal["houlsby", "pfeiffer"] = Field(
        "pfeiffer",
        description="houlsby (2019): after attention and feed-forward; pfeiffer (2021): after the feed-forward only",
    )
    width: int = Field(64, ge=1, le=4096, description="width of the middle")
    activation: Literal["relu", "gelu", "silu", "tanh"] = Field("gelu", description="the nonlinearity")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the adapter's output")


class PromptRecipe(Section):
    """Virtual tokens before every text, of which only the embeddings are trained (Lester et al. 2021, arXiv 2104.08691)."""

    tokens: int = Field(20, ge=1, le=1024, description="virtual tokens, which take as many positions of the context")
    text: str | None = Field(
        None,
        min_length=1,
        description="text that they begin as, repeated or cut to fit; null: drawn from the vocabulary",
    )


class PrefixRecipe(PromptRecipe):
    """Keys and values before every text, trained in every layer (Li and Liang 2021, arXiv 2101.00190).

    They begin as the keys and values that the model itself makes of the text or the tokens drawn.
    """


class Ia3Recipe(Section):
    """A factor on each key, value and feed-forward activation (Liu et al. 2022, arXiv 2205.05638)."""

    targets: Literal["auto"] | Names = Field(
        "auto", description="module names to scale; auto: keys, values and the feed-forward's last layer"
    )
