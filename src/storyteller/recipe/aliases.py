"""The key that was meant: other trainers' names for our keys, and the nearest key to a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import get_args

from pydantic import BaseModel

from storyteller.recipe.models import Recipe

__all__ = ["ALIASES", "keys_of", "meant_key"]

#: Our key, and what other trainers call it.
_OTHER_NAMES = {
    "name": "run_name experiment_name",
    "model.base": "base_model model_name model_name_or_path pretrained_model checkpoint",
    "model.method": "training_type finetuning_type peft adapter",
    "model.lora.rank": "r lora_r lora_rank",
    "model.lora.alpha": "lora_alpha",
    "model.lora.dropout": "lora_dropout",
    "model.lora.rank_stabilised": "use_rslora rslora rank_stabilized",
    "model.lora.targets": "target_modules lora_target lora_target_modules lora_targets",
    "model.dora.rank": "use_dora",
    "model.adalora.rank": "target_r",
    "model.adalora.first_rank": "init_r",
    "model.adalora.orthogonality": "orth_reg_weight",
    "model.bottleneck.width": "bottleneck_size reduction_factor",
    "model.prompt.tokens": "num_virtual_tokens soft_prompt_tokens",
    "model.prompt.text": "prompt_tuning_init_text",
    "model.qlora.double": "load_in_4bit bnb_4bit_use_double_quant double_quant",
    "data.path": "dataset dataset_path data_path data_dir train_file corpus",
    "data.context": "max_length max_seq_length max_seq_len seq_len seq_length sequence_len sequence_length block_size"
    " context_length cutoff_len",
    "data.max_stories": "max_samples max_examples",
    "train.steps": "max_steps num_steps total_steps train_steps iterations iters max_iters",
    "train.epochs": "num_epochs num_train_epochs n_epochs max_epochs",
    "train.minutes": "max_minutes max_time time_budget",
    "train.rows": "batch_size micro_batch_size train_batch_size per_device_train_batch_size bs",
    "train.accumulate": "gradient_accumulation gradient_accumulation_steps grad_accum accumulation_steps",
    "train.lr": "learning_rate max_lr peak_lr",
    "train.schedule": "scheduler lr_scheduler lr_scheduler_type",
    "train.layer_decay": "layerwise_lr_decay llrd layer_wise_decay",
    "train.warmup": "warmup_steps warmup_ratio num_warmup_steps lr_warmup_steps",
    "train.floor": "min_lr min_lr_ratio",
    "train.betas": "adam_beta1 adam_beta2 beta1 beta2 adam_betas",
    "train.weight_decay": "wd decay",
    "train.clip": "max_grad_norm grad_clip gradient_clipping clip_grad_norm",
    "train.label_smoothing": "label_smoothing_factor",
    "train.perturb.noise": "neftune neftune_noise_alpha noise_alpha",
    "continual.ewc": "ewc_lambda",
    "continual.replay": "replay_ratio",
    "continual.old": "replay_dataset",
    "distil.teachers": "teacher teacher_model",
    "train.precision": "bf16 fp16 bfloat16 float16 dtype torch_dtype mixed_precision",
    "train.compile": "torch_compile compile_model",
    "train.parallel": "fsdp strategy sharding",
    "train.gradient_checkpointing": "activation_checkpointing use_gradient_checkpointing",
    "train.evaluate_every": "eval_steps eval_every eval_interval",
    "train.patience": "early_stopping early_stopping_patience",
    "train.save_every": "save_steps save_interval checkpoint_every",
    "train.keep": "save_total_limit max_checkpoints",
    "train.log_every": "logging_steps log_interval",
    "train.sinks": "report_to logger loggers wandb tensorboard",
    "train.seed": "random_seed",
    "samples.every": "sample_every sample_steps",
    "--out FOLDER": "out output output_dir save_dir run_dir",
}
ALIASES = {alias: key for key, aliases in _OTHER_NAMES.items() for alias in aliases.split()}


def meant_key(location: str) -> str | None:
    """The key that a writer of the unknown key `location` (dotted) may have meant, or None if nothing is near.

    Another trainer's name comes first, then the same name in another section, a near one in the same section, and a
    near one anywhere.
    """
    section, _, name = location.rpartition(".")
    name = name.lower().replace("-", "_")
    if name in ALIASES:
        return ALIASES[name]
    known = list(keys_of(Recipe))
    mine = {key.rpartition(".")[2]: key for key in known if key.rpartition(".")[0] == section}
    anywhere = {key.rpartition(".")[2]: key for key in reversed(known)}
    if name in anywhere:
        return anywhere[name]
    for names, least in ((mine, 0.6), (ALIASES | anywhere, 0.75)):
        if near := difflib.get_close_matches(name, names, n=1, cutoff=least):
            return names[near[0]]
    return None


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every dotted key of `model` and its sections, in their order."""
    for name, info in model.model_fields.items():
        yield prefix + name
        for kind in (info.annotation, *get_args(info.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from keys_of(kind, f"{prefix}{name}.")
