"""Virtual tokens: what prompt tuning and prefix tuning have in common, on any model and under any batching.

Both put something before every text that no text can change, since attention looks back only: keys and values in each
layer. Prefix tuning trains them, prompt tuning the embeddings that the model makes them of. So they are made once for a
batch, each attention layer puts them before the keys and values it is about to use, and every text begins at position
`tokens` instead of 0. A cache never holds them: packed rows, padded rows, caches that are cut back and rows with places of
their own need to know nothing, and each text of a packed row sees the virtual tokens and its own past.

What is saved is PEFT's format of the two methods, and computes what PEFT makes of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from storyteller.errors import ModelError
from storyteller.models.adapters.targets import refuse_adapted

__all__ = ["VirtualTokens", "first_ids", "lay_virtual_tokens", "with_virtual_tokens"]

NAME = "storyteller_virtual"

_COMMON = 5000
"""Lester et al. (2021) begin with the embeddings of the 5,000 most common tokens; a tokenizer learns common ones first."""


class VirtualTokens(nn.Module):
    """The trained part: `weight` [tokens, width] embeddings, or [tokens, layers * 2 * heads * size] keys and values."""

    def __init__(self, model: Any, kind: str, tokens: int) -> None:
        super().__init__()
        if kind not in ("PROMPT_TUNING", "PREFIX_TUNING"):
            raise ValueError(f"no kind of virtual token: {kind}")
        config = model.config.get_text_config()
        self.kind, self.tokens, self.layers = kind, tokens, int(config.num_hidden_layers)
        self.heads = int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.width = int(config.hidden_size) if kind == "PROMPT_TUNING" else self.heads * int(size)
        columns = self.width if kind == "PROMPT_TUNING" else 2 * self.layers * self.width
        self.weight = nn.Parameter(torch.zeros(tokens, columns))
        # By the list, so that the model is not a part of its part.
        self._body = [getattr(model, model.base_model_prefix)]
        self._pairs: list[tuple[Tensor, Tensor]] | None = None
        self._making = False
        self._kept: tuple[Tensor, list[tuple[Tensor, Tensor]]] | None = None

    def begin_as(self, ids: Sequence[int]) -> None:
        """Begin as these tokens: with their embeddings, or with the keys and values that the model makes of them."""
        body = self._body[0]
        with torch.no_grad():
            embedded = body.get_input_embeddings()(torch.tensor([list(ids)], device=self.weight.device))
            if self.kind == "PROMPT_TUNING":
                self.weight.copy_(embedded[0])
                return
            pairs = self._read(embedded)
            # PEFT's order: layer by layer the key and the value, in each the heads.
            flat = [part[0].transpose(0, 1).flatten(1) for pair in pairs for part in pair]
            self.weight.copy_(torch.cat(flat, dim=1))

    def config(self) -> dict[str, Any]:
        """What PEFT's `adapter_config.json` says of it, but for the base's name."""
        from peft import PrefixTuningConfig, PromptTuningConfig

        kind = PromptTuningConfig if self.kind == "PROMPT_TUNING" else PrefixTuningConfig
        config = kind(
            task_type="CAUSAL_LM",
            num_virtual_tokens=self.tokens,
            token_dim=self.width,
            num_layers=self.layers,
            num_attention_heads=self.heads,
            num_transformer_submodules=1,
            inference_mode=True,
        )
        return {key: getattr(value, "value", value) for key, value in config.to_dict().items()}

    def tensors(self) -> dict[str, Tensor]:
        """The weights by their names in PEFT's `adapter_model.safetensors`."""
        return {"prompt_embeddings": self.weight.detach()}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `tensors` gave."""
        with torch.no_grad():
            self.weight.copy_(tensors["prompt_embeddings"])

    def prepare(self) -> None:
        """Make the keys and values for a pass of the model: anew where they are trained, else once."""
        if torch.is_grad_enabled() and self.weight.requires_grad:
            self._pairs, self._kept = self._make(), None
            return
        kept = self._kept
        if kept is None or not _same(kept[0], self.weight):
            # As ordinary tensors, also when an engine asks, since somebody else may train with them.
            with torch.inference_mode(False), torch.no_grad():
                kept = self._kept = self.weight.detach().clone(), self._make()
        self._pairs = kept[1]

    def of(self, layer: int, rows: int) -> tuple[Tensor, Tensor] | None:
        """Keys and values [rows, heads, tokens, size] of a layer; None while the model reads the virtual tokens."""
        if self._making or self._pairs is None:
            return None
        key, value = self._pairs[layer]
        return key.expand(rows, -1, -1, -1), value.expand(rows, -1, -1, -1)

    @property
    def making(self) -> bool:
        """Whether the model is reading the virtual tokens themselves."""
        return self._making

    def _make(self) -> list[tuple[Tensor, Tensor]]:
        if self.kind == "PROMPT_TUNING":
            return self._read(self.weight[None].to(self._body[0].dtype))
        parts = self.weight.to(self._body[0].dtype).view(1, self.tokens, 2 * self.layers, self.heads, -1)
        keys_and_values = parts.permute(2, 0, 3, 1, 4)
        return [(keys_and_values[2 * layer], keys_and_values[2 * layer + 1]) for layer in range(self.layers)]

    def _read(self, embedded: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The keys and values that the model makes of embeddings [1, tokens, width], layer by layer."""
        from transformers import DynamicCache

        cache = DynamicCache()
        with self._reading():
            self._body[0](inputs_embeds=embedded, past_key_values=cache, use_cache=True)
        return [(layer.keys, layer.values) for layer in cache.layers]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        self._making = True
        try:
            yield
        finally:
            self._making = False


def lay_virtual_tokens(model: Any, kind: str, tokens: int) -> VirtualTokens:
    """Freeze `model` and put `tokens` virtual tokens, all zeros yet, before whatever it reads; the model is changed in place.

    Raises `ModelError` for a model that cannot take them, or has an adapter already.
    """
    refuse_adapted(model)
    body = getattr(model, model.base_model_prefix, None)
    attentions = [module for module in model.modules() if type(module).__name__.endswith("Attention")]
    numbers = [getattr(module, "layer_idx", None) for module in attentions]
    config = model.config.get_text_config()
    if body is None or sorted(n for n in numbers if n is not None) != list(range(config.num_hidden_layers)):
        raise ModelError(
            f"a {model.config.model_type} model cannot take virtual tokens: it does not have one attention in each layer. "
            "model.method=lora lies on any linear layer."
        )
    longest = getattr(config, "max_position_embeddings", None)
    if longest is not None and tokens >= longest:
        raise ModelError(f"{tokens} virtual tokens leave no room: the model reads {longest} tokens at most.")
    _use_attention(model)
    model.requires_grad_(False)
    virtual = VirtualTokens(model, kind, tokens).to(model.device)
    model.own_adapter = virtual
    for module in attentions:
        module.__dict__["virtual_tokens"] = virtual  # not as its part
    body.register_forward_pre_hook(_shift(virtual), with_kwargs=True)
    if longest is not None:
        config.max_position_embeddings = longest - tokens  # what is left for texts
    return virtual


def first_ids(model: Any, tokens: int, ids: Sequence[int], seed: int) -> list[int]:
    """The `tokens` ids that virtual tokens begin as: `ids` again and again, or, without any, drawn from common ones."""
    if ids:
        return [ids[i % len(ids)] for i in range(tokens)]
    common = min(_COMMON, model.get_input_embeddings().weight.shape[0])
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(common, (tokens,), generator=generator).tolist()


def with_virtual_tokens(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """`key`, `value` [rows, heads, length, size] and `mask` of an attention layer with its virtual tokens before them.

    Without any, all come back as they are. A mask that was left out because it is the causal one is made.
    """
    virtual = getattr(module, "virtual_tokens", None)
    pair = None if virtual is None else virtual.of(module.layer_idx, key.shape[0])
    if pair is None:
        return key, value, mask
    queries, length, before = query.shape[2], key.shape[2], pair[0].shape[2]
    if mask is None and queries > 1:
        mask = torch.ones(queries, length, dtype=torch.bool, device=key.device).tril(length - queries)[None, None]
    if mask is not None:
        seen = mask.new_ones if mask.dtype == torch.bool else mask.new_zeros
        mask = torch.cat([seen(*mask.shape[:3], before), mask], dim=3)
    return torch.cat([pair[0].to(key.dtype), key], dim=2), torch.cat([pair[1].to(value.dtype), value], dim=2), mask


def _same(one: Tensor, other: Tensor) -> bool:
    return one.device == other.device and one.dtype == other.dtype and torch.equal(one, other)


def _shift(virtual: VirtualTokens) -> Any:
    """A hook before a pass of the model's body: makes what the layers will need, and moves the positions on."""

    def hook(body: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if virtual.making:
            return given, named
        virtual.prepare()
        positions = named.get("position_ids")
        if positions is None:
            read = given[0] if given else named.get("input_ids")
            read = named["inputs_embeds"] if read is None else read
            cache = named.get("past_key_values")
            start = cache.get_seq_length() if cache is not None else 0
            positions = torch.arange(start, start + read.shape[1], device=read.device)[None]
        return given, named | {"position_ids": positions + virtual.tokens}

    return hook


def _use_attention(model: Any) -> None:
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    try:
        model.set_attn_implementation(NAME)
    except (ValueError, AttributeError):
        raise ModelError(
            f"a {model.config.model_type} model cannot take virtual tokens: its attention cannot be exchanged. "
            "model.method=lora lies on any linear layer."
        ) from None


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    key, value, attention_mask = with_virtual_tokens(module, query, key, value, attention_mask)
    result: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    return result
