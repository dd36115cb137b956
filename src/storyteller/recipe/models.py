"""The recipe's keys, with their defaults, limits and meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from storyteller.recipe.methods import (
    AdaloraRecipe,
    BottleneckRecipe,
    DoraRecipe,
    Ia3Recipe,
    LoraRecipe,
    Method,
    PrefixRecipe,
    PromptRecipe,
    QloraRecipe,
)
from storyteller.recipe.pretraining import PretrainRecipe, ShapeRecipe, Size, under_size
from storyteller.recipe.rates import RATES
from storyteller.recipe.robustness import (
    AugmentRecipe,
    ContinualRecipe,
    ContrastiveRecipe,
    DistilRecipe,
    PerturbRecipe,
)
from storyteller.recipe.section import Section as _Section
from storyteller.recipe.several import StageRecipe, SweepRecipe

__all__ = [
    "CriticRecipe",
    "DataRecipe",
    "LoraRecipe",
    "ModelRecipe",
    "MonitorsRecipe",
    "Recipe",
    "RefineRecipe",
    "RewardRecipe",
    "RolloutRecipe",
    "SamplesRecipe",
    "TrainRecipe",
]


class ModelRecipe(_Section):
    """Which model is trained, and how much of it."""

    base: str = Field("smollm2-135m-instruct", description="catalogue name, hub name, folder or GGUF file")
    method: Method = Field("lora", description="train every weight (full), or few: one of the adapters below")
    lora: LoraRecipe = LoraRecipe()
    dora: DoraRecipe = DoraRecipe()
    adalora: AdaloraRecipe = AdaloraRecipe()
    qlora: QloraRecipe = QloraRecipe()
    bottleneck: BottleneckRecipe = BottleneckRecipe()
    prompt: PromptRecipe = PromptRecipe()
    prefix: PrefixRecipe = PrefixRecipe()
    ia3: Ia3Recipe = Ia3Recipe()
    size: Size | None = Field(
        None, description="pretraining: one dial for shape, vocabulary, context, batch, rate and steps"
    )
    shape: ShapeRecipe | None = Field(None, description="pretraining: the new model's shape")


TASKS: dict[Literal["write", "continue", "infill", "passage"], float] = {
    "write": 0.6, "continue": 0.2, "infill": 0.1, "passage": 0.1,
}  # fmt: skip


class DataRecipe(_Section):
    """Which stories are trained on, and how they are shown to the model."""

    path: Path = Field(Path("data/stories"), description="a folder written by `storyteller prepare`")
    context: int = Field(512, ge=16, le=131072, description="tokens in one packed row")
    tasks: dict[Literal["write", "continue", "infill", "passage"], float] = Field(
        TASKS, description="share of each task among the examples; 0 leaves one out"
    )
    views: int = Field(1, ge=1, le=16, description="differently conditioned examples made of each passage")
    keep_condition: float = Field(0.6, ge=0, le=1, description="chance that each derived condition is shown")
    max_parts: int | None = Field(
        None, ge=1, description="examples made of one long story at most, so that novels do not outweigh tales"
    )
    max_stories: int | None = Field(None, ge=1, description="read at most so many stories of a split")
    max_share_form: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict, description="cap of a form's share of the training stories, for example chapter: 0.2"
    )
    augment: AugmentRecipe | None = Field(None, description="variants of the training stories; null: none")
    seed: int = Field(1, ge=0, description="seed of the conditions, cuts and variants")

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
    lr: float = Field(2e-4, gt=0, lt=1, description="peak learning rate; when it is not given, the method's usual one")
    layer_decay: float = Field(1.0, gt=0, le=1, description="rate of a layer as a share of that of the layer above it")
    schedule: Literal["constant", "linear", "cosine", "wsd"] = Field("cosine", description="shape after warmup")
    warmup: float = Field(0.05, ge=0, description="warmup, as a share of all steps when under 1, else in steps")
    floor: float = Field(0.0, ge=0, le=1, description="final learning rate as a share of the peak")
    decay_share: float = Field(0.2, gt=0, le=1, description="wsd: share of the steps in which the rate decays")
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        (0.9, 0.95), description="AdamW's moment decay rates"
    )
    weight_decay: float = Field(0.01, ge=0, description="decoupled decay, on matrices only")
    dropout: float = Field(0.0, ge=0, lt=1, description="dropout on attention and on what each layer adds")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread evenly over all tokens")
    perturb: PerturbRecipe | None = Field(None, description="noise or adversarial steps on embeddings; null: none")
    contrastive: ContrastiveRecipe | None = Field(None, description="keep a story's states apart; null: no such loss")
    clip: float | None = Field(1.0, gt=0, description="largest gradient norm; null: no clipping")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="auto: what a measurement of this machine finds fastest and safe"
    )
    compile: bool = Field(
        False, description="compile the layers (torch.compile): some minutes first, then often faster"
    )
    parallel: Literal["data", "sharded"] = Field(
        "data", description="several processes: each has the whole model, or a share of weights, gradients and moments"
    )
    gradient_checkpointing: bool = Field(False, description="recompute activations: less memory, about 30 % slower")
    evaluate_every: int | None = Field(None, ge=1, description="steps between evaluations; null: ten in a run")
    evaluate_rows: int = Field(64, ge=1, description="packed dev rows in one evaluation")
    patience: int | None = Field(None, ge=1, description="evaluations without improvement before stopping; null: never")
    save_every: int | None = Field(None, ge=1, description="steps between checkpoints; null: at each evaluation")
    save_minutes: float = Field(10.0, gt=0, description="a checkpoint is also due after so many minutes")
    keep: int = Field(2, ge=1, description="checkpoints kept besides the best")
    log_every: int = Field(10, ge=1, description="steps between log lines")
    sinks: list[Literal["tensorboard", "wandb", "trackio"]] = Field(
        [], description="where metrics go besides metrics.jsonl"
    )
    seed: int = Field(1, ge=0, description="seed of initial weights, batch order and dropout")

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


class RolloutRecipe(_Section):
    """What the policy is asked during refinement, and how it answers."""

    group: int = Field(
        4, ge=2, le=64, description="stories told for each prompt; train.rows x accumulate prompts a step"
    )
    new_tokens: int = Field(96, ge=4, description="longest story in tokens; human stories are cut to it, too")
    prompt_tokens: int = Field(192, ge=8, description="longest prompt in tokens")
    temperature: float = Field(1.0, gt=0, description="temperature of rollouts, over the full vocabulary")
    prefix_share: float = Field(0.5, ge=0, le=1, description="share of prompts that show a human beginning to continue")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "float32", description="of the weights while drawing; bfloat16 is faster, its log-probabilities a little off"
    )
    prompts: int = Field(4000, ge=4, description="prompts kept for training, drawn by work")
    only: str | None = Field(
        None, description="train on stories whose form, source, author or title this regular expression finds"
    )
    dev_prompts: int = Field(96, ge=2, description="fixed prompts of a monitor's evaluation; as many more for the gate")


class CriticRecipe(_Section):
    """The critic: heads on frozen features, and how it learns."""

    reads: Literal["reference", "adapter", "encoder"] = Field(
        "reference", description="whose hidden states: the frozen reference's, a second LoRA's on it, an encoder's"
    )
    layers: list[int] | None = Field(
        None, min_length=1, description="hidden states to read; null: at a third, two thirds and all of the layers"
    )
    rank: int = Field(8, ge=1, description="adapter: rank of the critic's own LoRA")
    encoder: str | None = Field(
        None, description="encoder: a model with hidden states, such as a masked one: its folder"
    )
    width: int = Field(128, ge=4, description="width of the random projection of hidden states")
    dropout: float = Field(0.2, ge=0, lt=1, description="dropout on pooled features")
    lr: float = Field(3e-4, gt=0, description="learning rate of the heads")
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = Field(
        (0.5, 0.99), description="Adam's moment decay rates"
    )
    pairs: int = Field(32, ge=2, description="(human, generated) pairs in one step of the critic")
    smoothing: float = Field(0.9, gt=0.5, le=1, description="target of human text; one-sided label smoothing")
    pair_weight: float = Field(0.5, ge=0, description="weight of the paired Bradley-Terry term")
    coherence_weight: float = Field(0.5, ge=0, description="weight of the coherence head's loss")
    gradient_penalty: float = Field(0.05, ge=0, description="weight of the squared gradient at human features (R1)")
    pool: int = Field(256, ge=4, description="stories of the reference model before training, and in warm-up")
    warm_up: int = Field(300, ge=1, description="most critic steps before training")
    warm_up_accuracy: float = Field(0.95, ge=0.5, le=1, description="held-out accuracy that ends the warm-up")
    rewarm_steps: int = Field(50, ge=0, description="critic steps on the buffer after a roll-back")
    probe_limit: float = Field(
        0.6, ge=0.5, le=1, description="AUC of length or punctuation alone that refuses the data"
    )
    skip_above: float = Field(0.90, le=1, description="the critic rests while its accuracy is above this")
    twice_below: float = Field(0.60, ge=0, description="and learns twice while it is below this")


class RewardRecipe(_Section):
    """From the critic's logits to a story's reward."""

    kind: Literal["logit", "log_d"] = Field("logit", description="the standardised logit, or log D as it stands")
    coherence: float = Field(0.5, ge=0, description="weight of the coherence logit")
    to_go: float = Field(0.5, ge=0, le=1, description="share of the advantage given sentence by sentence")
    penalty: float = Field(0.5, ge=0, description="cost of each rule broken: repetition, copying, no end, length")
    variety: float = Field(
        0.0, ge=0, description="cost of phrases that stand in a step's stories to other prompts, too"
    )


FALLING = ("distinct_2", "entropy")
"""Monitors of a share that gets worse as it falls; of all others it is a rise or a change that does."""


class MonitorsRecipe(_Section):
    """When to worry; a pair is (healthy, roll back). Differences are to the reference model on the same prompts."""

    patience_steps: int = Field(10, ge=1, description="steps that a step monitor must be out of bounds")
    accuracy_high: float = Field(0.97, description="gail: the critic wins too easily: its reward says nothing")
    accuracy_low: float = Field(0.52, description="the critic is beaten: its reward is noise")
    kl: tuple[float, float] = Field((0.08, 0.15), description="drift from the reference, nats per token")
    reward_std: float = Field(0.05, ge=0, description="least spread of rewards within a group")
    dead_groups: float = Field(0.6, ge=0, le=1, description="share of groups without any spread")
    entropy: tuple[float, float] = Field((0.85, 0.75), description="token entropy over the reference's")
    grad_spike: float = Field(10.0, gt=1, description="gradient norm over its median")
    judge_evaluations: int = Field(3, ge=2, description="evaluations in which only the critic sees progress")
    distinct_2: tuple[float, float] = Field((0.97, 0.95), description="distinct-2 over the reference's")
    self_bleu: tuple[float, float] = Field((0.02, 0.03), description="rise of self-BLEU-4")
    rep_4: tuple[float, float] = Field((0.01, 0.02), description="rise of repeated 4-grams")
    length: tuple[float, float] = Field((0.10, 0.15), description="relative change of length")
    endings: tuple[float, float] = Field((0.05, 0.10), description="fall of the share of stories that end a sentence")
    human_nll: tuple[float, float] = Field((0.03, 0.07), description="rise of held-out human loss, nats per token")
    copying: tuple[float, float] = Field((0.01, 0.02), description="rise of the share of copied 12-grams")
    guard_weight: float = Field(0.02, ge=0, description="AUC that a guardrail at its limit costs in the objective J")
    rollbacks: int = Field(3, ge=0, description="roll-backs before the run ends with its best checkpoint")

    @model_validator(mode="after")
    def _healthy_before_alarm(self) -> Self:
        for name, value in self:
            if not isinstance(value, tuple):
                continue
            healthy, alarm = value[::-1] if name in FALLING else value
            if healthy > alarm:
                raise ValueError(
                    f"{name}: of {list(value)} the first is healthy and the second an alarm: exchange them"
                )
        return self


class RefineRecipe(_Section):
    """Adversarial refinement of a fine-tuned model: generator against critic, with monitors and roll-back."""

    trainer: Literal["gail", "coop", "pairs", "iq"] = Field("gail", description="how the critic's opinion is learned")
    rollout: RolloutRecipe = Field(RolloutRecipe(), description="prompts and stories")
    critic: CriticRecipe = Field(CriticRecipe(), description="the discriminator")
    reward: RewardRecipe = Field(RewardRecipe(), description="from the critic's logits to a story's reward")
    monitors: MonitorsRecipe = Field(MonitorsRecipe(), description="limits, and what happens beyond them")
    kl: float = Field(0.02, ge=0, description="gail and coop: first weight of the divergence from the reference")
    kl_target: float | None = Field(
        0.05, gt=0, description="gail: divergence the weight is steered to; null: weight is fixed"
    )
    replay: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] = Field(
        (0.3, 0.1), description="gail: weight of human text's loss, first and last"
    )
    entropy: float = Field(0.2, ge=0, description="gail: weight of what the entropy is beyond its band, in nats")
    entropy_band: tuple[float, float] = Field(
        (0.97, 1.03), description="gail: least and most entropy, as shares of the reference's on the same tokens"
    )
    ema: float = Field(0.98, ge=0, lt=1, description="decay of the averaged weights")
    rounds: int = Field(3, ge=1, description="coop and pairs: times the critic and the sampler are renewed")
    least_ess: float = Field(3.0, ge=1, description="coop: effective samples per prompt that the weights must keep")
    dpo_beta: float = Field(0.1, gt=0, description="pairs: sharpness of the preference; the divergence's weight there")
    td: float = Field(0.01, ge=0, description="iq: weight of the temporal-difference term")
    minutes: float | None = Field(
        None, gt=0, description="wall-clock end of training; what is best by then is finished"
    )
    scales: list[Annotated[float, Field(gt=0)]] = Field(
        [0.25, 0.5, 0.75, 1.0, 1.25], min_length=1, description="adapter scales tried at the end"
    )
    frontier: list[Annotated[float, Field(gt=0)]] = Field(
        [0.9, 1.1], description="temperatures at which the report compares before and after on the gate's prompts, too"
    )

    @model_validator(mode="after")
    def _band_has_an_inside(self) -> Self:
        low, high = self.entropy_band
        if not 0 <= low <= 1 <= high:
            raise ValueError(f"entropy_band: [{low:g}, {high:g}] must hold 1, the reference's own entropy")
        return self


class Recipe(_Section):
    """One training run."""

    name: str = Field("storyteller", min_length=1, description="name of the run and of what comes out of it")
    model: ModelRecipe = ModelRecipe()
    data: DataRecipe = DataRecipe()
    train: TrainRecipe = TrainRecipe()
    samples: SamplesRecipe = SamplesRecipe()
    pretrain: PretrainRecipe | None = None
    continual: ContinualRecipe | None = None
    distil: DistilRecipe | None = None
    refine: RefineRecipe | None = None
    sweep: SweepRecipe | None = None
    pipeline: list[StageRecipe] | None = Field(None, min_length=1, description="stages, one after the other")

    @model_validator(mode="before")
    @classmethod
    def _size_sets_the_rest(cls, values: Any) -> Any:
        return under_size(values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _every_key_has_an_effect(self) -> Self:
        stage = "refine" if self.refine is not None else "pretrain" if self.pretrain is not None else None
        if stage is not None and self.pipeline is None:  # of a pipeline each stage's own recipe is checked
            asked = {"continual": self.continual, "distil": self.distil}
            names = ("dropout", "label_smoothing", "perturb", "contrastive")
            asked |= {f"train.{name}": getattr(self.train, name) for name in names}
            if idle := [name for name, value in asked.items() if value]:
                raise ValueError(f"{', '.join(idle)} would do nothing in {stage}; leave it out")
        if self.train.layer_decay < 1 and self.model.method in ("prompt", "prefix"):
            raise ValueError(
                f"train.layer_decay would do nothing, for model.method={self.model.method} trains no layer; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _method_s_own_rate(self) -> Self:
        if "lr" not in self.train.model_fields_set and self.train.lr != RATES[self.model.method].usual:
            train = self.train.model_copy(update={"lr": RATES[self.model.method].usual})
            object.__setattr__(self, "train", train)  # the only way while a frozen model is being made
        return self
