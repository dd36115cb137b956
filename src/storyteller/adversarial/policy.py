"""One set of weights that is two models: with the adapter the policy, without it the frozen reference."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from storyteller.adversarial.groups import Rows
from storyteller.errors import ModelError
from storyteller.generate.torch_batch import apart, layer_masks
from storyteller.train.attention import segment_bounds, use_packed_attention
from storyteller.train.optim import trainable

__all__ = ["Policy", "Tokens", "Weights", "token_values"]

CHUNK = 96
"""Rows of logits alive at once: of 49,152 float32 they are 19 MB. Over 32 MB the C library gives memory back to the system
with every chunk, and getting it again takes half of the time."""

Weights = Mapping[str, Tensor]
"""An adapter's weights by parameter name."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a model says of the tokens that were drawn, each [n]: `logprob` at the temperature T of the drawing, the
    `entropy` of that distribution, the raw `logit` z and the soft value T log sum exp(z / T) of all logits.
    """

    logprob: Tensor
    entropy: Tensor
    logit: Tensor
    value: Tensor


class Policy:
    """A causal model with one PEFT adapter; the adapter is what is trained. Raises `ModelError` for one with other logits.

    With `dtype` bfloat16 the frozen weights are kept in it and all products are computed in it (on a processor with
    bfloat16 units eight times as fast); the adapter, its moments, norms and everything after the logits stay float32. A
    logit is then off by up to 1 in 256, for policy and reference alike; an adapter of zeros still drifts by exactly 0.
    """

    def __init__(self, model: Any, dtype: torch.dtype = torch.float32) -> None:
        # Dropout would make the log-probabilities others than those of the drawing.
        self.model = model.eval()
        causal = self.model.get_base_model()
        self.body: Any = getattr(causal, causal.base_model_prefix)
        self.head: Tensor = causal.get_output_embeddings().weight
        self.depth: int = causal.config.get_text_config().num_hidden_layers
        self.width: int = self.head.shape[1]
        self._check_logits(type(causal).__name__)
        self.dtype = dtype
        if dtype != torch.float32:
            for parameter in model.parameters():
                if not parameter.requires_grad:
                    parameter.data = parameter.data.to(dtype)
        self._packed = use_packed_attention(self.model)

    @torch.no_grad()
    def _check_logits(self, name: str) -> None:
        """Raise `ModelError` where `body` and `head`, as `tokens` and the rollouts use them, do not give the model's logits.

        They do not where the logits are scaled, capped or shifted afterwards (Granite, Cohere, Gemma 2, Phi), nor where the
        adapter lies on the head, or on embeddings that are the head, too. A fresh adapter does nothing, so it is moved here.
        """
        chance = torch.Generator().manual_seed(1)
        ids = torch.arange(min(8, self.head.shape[0]), device=self.device).unsqueeze(0)
        moved = {
            key: own + 0.05 * torch.randn(own.shape, generator=chance).to(own) for key, own in self.weights().items()
        }
        with self.wearing(moved):
            logits = self.model(input_ids=ids, use_cache=False).logits.float()
            read = self._logits(ids)
            with self.merged():
                drawn = self._logits(ids)
        if not bool(logits.isfinite().all()):
            raise ModelError(
                f"{name}: its logits are no numbers, so the model itself is broken; fetch or train it again."
            )
        limit = max(1e-3, 8 * torch.finfo(self.head.dtype).eps) * float(logits.abs().max())
        if not (torch.allclose(read, logits, 0.0, limit) and torch.allclose(drawn, logits, 0.0, limit)):
            raise ModelError(
                f"{name}: refinement takes the product of the last hidden states and the output embeddings for the logits, and "
                "this model's are others: they are scaled, capped or shifted, or the adapter lies on the embeddings. Refine "
                "another model, such as a Llama, and name no embeddings and no head in model.lora.targets."
            )

    def _logits(self, ids: Tensor) -> Tensor:
        hidden: Tensor = self.body(input_ids=ids, use_cache=False).last_hidden_state
        return (hidden @ self.head.T).float()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.device

    def _computing(self) -> contextlib.AbstractContextManager[Any]:
        if self.dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    @contextlib.contextmanager
    def reference(self) -> Iterator[None]:
        """Within this block the model is the reference: no adapter, no gradients."""
        # PEFT's own `disable_adapter` leaves a LoRA switched off for good when the block raises.
        self.model.base_model.disable_adapter_layers()
        try:
            with torch.no_grad():
                yield
        finally:
            self.model.base_model.enable_adapter_layers()

    @contextlib.contextmanager
    def merged(self, dtype: torch.dtype | None = None) -> Iterator[None]:
        """Within this block the adapter is part of the weights: what sampling runs on, two products fewer a layer.

        With `dtype` all weights are rounded to it as well: reading them is most of a token's time, and where the processor
        has bfloat16 units the products are faster, too. The weights themselves are put back afterwards, not computed back,
        so that nothing drifts.
        """
        layers = [module for module in self.model.modules() if hasattr(module, "get_delta_weight")]
        parameters = list(self.model.parameters())
        kept = [parameter.data for parameter in parameters]
        with torch.no_grad():
            for layer in layers:
                base = layer.get_base_layer().weight
                base.data = base.data + layer.get_delta_weight("default").to(base.dtype)
            if dtype is not None:
                for parameter in parameters:
                    parameter.data = parameter.data.to(dtype)
        try:
            with self.reference():
                yield
        finally:
            for parameter, data in zip(parameters, kept, strict=True):
                parameter.data = data

    @contextlib.contextmanager
    def wearing(self, weights: Weights | None) -> Iterator[None]:
        """Within this block the adapter has other weights (None: its own)."""
        if weights is None:
            yield
            return
        own = self.weights()
        self.load(weights)
        try:
            yield
        finally:
            self.load(own)

    def weights(self) -> dict[str, Tensor]:
        """A copy of the adapter's weights."""
        return {name: parameter.detach().clone() for name, parameter in trainable(self.model).items()}

    @torch.no_grad()
    def load(self, weights: Weights) -> None:
        """Put `weights`, as `weights()` gives them, into the adapter."""
        for name, parameter in trainable(self.model).items():
            parameter.copy_(weights[name])

    def scaled(self, weights: Weights, scale: float) -> dict[str, Tensor]:
        """`weights` with an adapter `scale` times as strong: linear interpolation towards the reference (LITI).

        The update is B A, so B alone is scaled (WARP, Rame et al. 2024, arXiv 2406.16768).
        """
        return {name: tensor * scale if "lora_B" in name else tensor.clone() for name, tensor in weights.items()}

    def read(self, rows: Rows, *, layers: tuple[int, ...] = ()) -> tuple[Tensor, list[Tensor]]:
        """The last hidden state at each story token's predictor [n, width], and those of `layers` where it stands.

        `layers` are numbered as transformers numbers hidden states: the last one stands after the final norm.
        """
        seen: dict[str, Any]
        if self._packed and self.device.type == "cpu":
            # A mask of four dimensions is taken as it is; this one is never read.
            unread = torch.ones(1, 1, 1, 1, dtype=torch.bool)
            seen = {"attention_mask": unread, "segments": segment_bounds(rows.segments), "shared": True}
        else:
            seen = {"attention_mask": layer_masks(self.model.config, rows.mask, apart(rows.position_ids))}
        with self._computing():
            output = self.body(
                input_ids=rows.input_ids,
                position_ids=rows.position_ids,
                use_cache=False,
                output_hidden_states=bool(layers),
                **seen,
            )
        chosen = [output.hidden_states[layer].flatten(0, 1)[rows.places] for layer in layers]
        return output.last_hidden_state.flatten(0, 1)[rows.predictors], chosen

    def tokens(self, hidden: Tensor, labels: Tensor, temperature: float | Tensor) -> Tokens:
        """The values of `labels` [n], predicted from `hidden` [n, width]; `temperature` is one, or one for each."""
        return token_values(hidden, self.head, labels, temperature)


def token_values(hidden: Tensor, weight: Tensor, labels: Tensor, temperature: float | Tensor) -> Tokens:
    """`Tokens` of `hidden @ weight.T`, without ever holding all logits: the backward pass makes each chunk again.

    `hidden` [n, width], `weight` [vocabulary, width] (no gradient reaches it), `labels` [n]; `temperature` a number, or [n].
    """
    temperatures = torch.as_tensor(temperature, dtype=torch.float32, device=hidden.device).expand(len(labels))
    return Tokens(*_TokenValues.apply(hidden, weight, labels, temperatures))  # type: ignore[no-untyped-call]


class _TokenValues(torch.autograd.Function):
    """The four values and their gradient by `hidden`, chunk by chunk and in place.

    With z the logits, p = softmax(z / T) and H its entropy: d logprob = (onehot - p) / T, dH = -p (log p + H) / T,
    d logit = onehot, d value = p. Written out, since autograd keeps or makes again some ten tensors of a
    chunk's size, which took longer than the products that they belong to.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, temperature: Tensor) -> tuple[Tensor, ...]:
        n = len(labels)
        logprob, entropy, logit, norm = (hidden.new_empty(n, dtype=torch.float32) for _ in range(4))
        for rows in _chunks(n):
            scaled = _scaled(hidden[rows], weight, temperature[rows])
            chosen = scaled.gather(1, labels[rows].unsqueeze(1)).squeeze(1)
            surprise = scaled.log_softmax(1)
            logprob[rows] = surprise.gather(1, labels[rows].unsqueeze(1)).squeeze(1)
            entropy[rows] = -torch.linalg.vecdot(torch.exp(surprise, out=scaled), surprise)
            logit[rows], norm[rows] = chosen * temperature[rows], chosen - logprob[rows]
        ctx.save_for_backward(hidden, weight, labels, temperature, entropy, norm)
        return logprob, entropy, logit, norm * temperature

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, labels, temperature, entropy, norm = ctx.saved_tensors
        of_logprob, of_entropy, of_logit, of_value = gradients
        by_entropy = bool(of_entropy.any())
        # The gradient by the logits is p (a + b log p), and of the chosen one's the rest.
        a = of_value - (of_logprob + of_entropy * entropy) / temperature
        b = -of_entropy / temperature
        chosen = of_logprob / temperature + of_logit
        result = torch.empty_like(hidden)
        for rows in _chunks(len(labels)):
            surprise = _scaled(hidden[rows], weight, temperature[rows]).sub_(norm[rows].unsqueeze(1))
            gradient = surprise.exp() if by_entropy else surprise.exp_()
            share = a[rows].unsqueeze(1)
            gradient.mul_(surprise.mul_(b[rows].unsqueeze(1)).add_(share) if by_entropy else share)
            gradient.scatter_add_(1, labels[rows].unsqueeze(1), chosen[rows].unsqueeze(1))
            result[rows] = gradient.to(weight.dtype) @ weight
        return result, None, None, None


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, start + CHUNK) for start in range(0, count, CHUNK))


def _scaled(hidden: Tensor, weight: Tensor, temperature: Tensor) -> Tensor:
    """The logits over `temperature` [rows], in float32."""
    logits = hidden @ weight.T
    if bool((temperature == 1).all()):
        return logits.float()
    return logits * temperature.reciprocal().unsqueeze(1)
