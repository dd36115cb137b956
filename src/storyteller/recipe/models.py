"""The recipe's keys, with their defaults, limits and meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["DataRecipe", "LoraRecipe", "ModelRecipe", "Recipe", "SamplesRecipe", "TrainRecipe"]


class _Section(BaseModel):
    """A frozen part of a recipe in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class LoraRecipe(_Section):
    """Low-rank adaptation (Hu et al. 2021), scaled by alpha/sqrt(rank) when rank-stabilised (Kalajdzievski 2023)."""

    rank: int = Field(16, ge=1, le=1024, description="rank of the two factors")
    alpha: float = Field(16.0, gt=0, description="scale of the update before division by rank or its root")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on the adapter's input")
    rank_stabilised: bool = Field(True, description="divide alpha by sqrt(rank) instead of rank")
    targets: Literal["all-linear"] | list[str] = Field(
        "all-linear", description="module names to adapt, or all-linear: every linear layer but the output layer"
    )


class ModelRecipe(_Section):
    """Which model is trained, and how much of it."""

    base: str = Field("smollm2-135m-instruct", description="catalogue name, hub name, folder or GGUF file")
    method: Literal["full", "lora"] = Field("lora", description="train every weight, or a low-rank adapter")
    lora: LoraRecipe = LoraRecipe()


class DataRecipe(_Section):
    """Which stories are trained on, and how they are shown to the model."""

    path: Path = Field(Path("data/stories"), description="a folder written by `storyteller prepare`")
    context: int = Field(512, ge=16, le=131072, description="tokens in one packed row")
    tasks: dict[Literal["write", "continue", "infill", "passage"], float] = Field(
        {"write": 0.6, "continue": 0.2, "infill": 0.1, "passage": 0.1},
        description="share of each task among the examples",
    )
    views: int = Field(1, ge=1, le=16, description="differently conditioned examples made of each passage")
    keep_condition: float = Field(0.6, ge=0, le=1, description="chance that each derived condition is shown")
    max_parts: int | None = Field(
        None, ge=1, description="examples made of one long story at most, so that novels do not outweigh tales"
    )
    max_stories: int | None = Field(None, ge=1, description="read at most so many stories of a split")
    max_share_form: dict[str, float] = Field(
        default_factory=dict, description="cap of a form's share of the stories, for example chapter: 0.2"
    )
    seed: int = Field(1, description="seed of the conditions and cuts")

    @model_validator(mode="after")
    def _tasks_have_weight(self) -> Self:
        if any(weight < 0 for weight in self.tasks.values()) or sum(self.tasks.values()) <= 0:
            raise ValueError("tasks: shares must not be negative, and one must be over 0")
        return self


class TrainRecipe(_Section):
    """The loop: how long, how fast, how safe. Of `steps`, `epochs` and `minutes` exactly one is given."""

    steps: int | None = Field(None, ge=1, description="optimizer steps")
    epochs: float | None = Field(None, gt=0, description="passes over the training examples")
    minutes: float | None = Field(None, gt=0, description="a time budget; steps follow from the measured speed")
    rows: int = Field(4, ge=1, description="packed rows in one forward pass of one process")
    accumulate: int = Field(4, ge=1, description="forward passes in one optimizer step")
    lr: float = Field(2e-4, gt=0, lt=1, description="peak learning rate")
    schedule: Literal["constant", "linear", "cosine", "wsd"] = Field("cosine", description="shape after warmup")
    warmup: float = Field(0.05, ge=0, description="warmup, as a share of all steps when under 1, else in steps")
    floor: float = Field(0.0, ge=0, le=1, description="final learning rate as a share of the peak")
    decay_share: float = Field(0.2, gt=0, le=1, description="wsd: share of the steps in which the rate decays")
    betas: tuple[float, float] = Field((0.9, 0.95), description="AdamW's moment decay rates")
    weight_decay: float = Field(0.01, ge=0, description="decoupled decay, on matrices only")
    clip: float | None = Field(1.0, gt=0, description="largest gradient norm; null: no clipping")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="auto: what a measurement of this machine finds fastest and safe"
    )
    gradient_checkpointing: bool = Field(False, description="recompute activations: less memory, about 30 % slower")
    evaluate_every: int | None = Field(None, ge=1, description="steps between evaluations; null: ten in a run")
    evaluate_rows: int = Field(64, ge=1, description="packed dev rows in one evaluation")
    patience: int | None = Field(None, ge=1, description="evaluations without improvement before stopping; null: never")
    save_every: int | None = Field(None, ge=1, description="steps between checkpoints; null: at each evaluation")
    save_minutes: float = Field(10.0, gt=0, description="a checkpoint is also due after so many minutes")
    keep: int = Field(2, ge=1, description="checkpoints kept besides the best")
    log_every: int = Field(10, ge=1, description="steps between log lines")
    sinks: list[Literal["tensorboard", "wandb"]] = Field([], description="where metrics go besides metrics.jsonl")
    seed: int = Field(1, description="seed of initial weights, batch order and dropout")

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        given = [name for name in ("steps", "epochs", "minutes") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of steps, epochs and minutes, not {' and '.join(given)}")
        return self


class SamplesRecipe(_Section):
    """Stories told from the same prompts while the model learns."""

    every: int | None = Field(
        None, ge=1, description="steps between samples; null: at the start, in the middle and at the end"
    )
    words: int = Field(80, ge=1, description="length of a sample in words or 字")
    prompts: list[str] = Field(
        ["A lighthouse keeper finds a talking seal.", "Two sisters inherit a clock that runs backwards."],
        description="what the samples are about; an empty list: no samples",
    )


class Recipe(_Section):
    """One training run."""

    name: str = Field("storyteller", min_length=1, description="name of the run and of what comes out of it")
    model: ModelRecipe = ModelRecipe()
    data: DataRecipe = DataRecipe()
    train: TrainRecipe = TrainRecipe()
    samples: SamplesRecipe = SamplesRecipe()
