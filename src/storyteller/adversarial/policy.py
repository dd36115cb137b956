"""One set of weights that is two models: with the adapter the policy, without it the frozen reference."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from storyteller.adversarial.groups import Rows
from storyteller.train.optim import trainable

__all__ = ["Policy", "Tokens", "Weights", "token_values"]

CHUNK = 256
"""Rows of logits alive at once: 256 x 49,152 float32 are 50 MB, and a chunk's backward pass holds two or three such."""

Weights = Mapping[str, Tensor]
"""An adapter's weights by parameter name."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a model says of the tokens that were drawn, each [n]: `logprob` at the temperature of the drawing, the
    `entropy` of that distribution, the raw `logit` and the log-sum `value` of all logits (soft value, at temperature 1).
    """

    logprob: Tensor
    entropy: Tensor
    logit: Tensor
    value: Tensor


class Policy:
    """A causal model with one PEFT adapter; the adapter is what is trained.

    With `dtype` bfloat16 the frozen weights are kept in it and all products are computed in it (on a processor with
    bfloat16 units eight times as fast); the adapter, its moments, norms and everything after the logits stay float32. A
    logit is then off by up to 1 in 256, for policy and reference alike; an adapter of zeros still drifts by exactly 0.
    """

    def __init__(self, model: Any, dtype: torch.dtype = torch.float32) -> None:
        # Dropout would make the log-probabilities others than those of the drawing.
        self.model = model.eval()
        self.dtype = dtype
        if dtype != torch.float32:
            for parameter in model.parameters():
                if not parameter.requires_grad:
                    parameter.data = parameter.data.to(dtype)
        causal = self.model.get_base_model()
        self.body: Any = getattr(causal, causal.base_model_prefix)
        self.head: Tensor = causal.get_output_embeddings().weight
        self.depth: int = causal.config.get_text_config().num_hidden_layers
        self.width: int = self.head.shape[1]

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
        with self.model.disable_adapter(), torch.no_grad():
            yield

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
        with self._computing():
            output = self.body(
                input_ids=rows.input_ids,
                position_ids=rows.position_ids,
                attention_mask=rows.mask,
                use_cache=False,
                output_hidden_states=bool(layers),
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

    With z = logits / T, p = softmax(z) and H its entropy: d logprob = (onehot - p) / T, dH = -p (log p + H) / T,
    d logit = onehot, d value = softmax(logits). Written out, since autograd keeps or makes again some ten tensors of a
    chunk's size, which took longer than the products that they belong to.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, temperature: Tensor) -> tuple[Tensor, ...]:
        n = len(labels)
        logprob, entropy, logit, value = (hidden.new_empty(n, dtype=torch.float32) for _ in range(4))
        for rows in _chunks(n):
            logits = (hidden[rows] @ weight.T).float()
            logit[rows] = logits.gather(1, labels[rows].unsqueeze(1)).squeeze(1)
            value[rows] = logits.logsumexp(1)
            surprise, probability = _distribution(logits, temperature[rows])
            logprob[rows] = surprise.gather(1, labels[rows].unsqueeze(1)).squeeze(1)
            entropy[rows] = -torch.linalg.vecdot(probability, surprise)
        ctx.save_for_backward(hidden, weight, labels, temperature, entropy, value)
        return logprob, entropy, logit, value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, labels, temperature, entropy, value = ctx.saved_tensors
        of_logprob, of_entropy, of_logit, of_value = gradients
        by_entropy, by_value = (bool(each.any()) for each in (of_entropy, of_value))
        result = torch.empty_like(hidden)
        for rows in _chunks(len(labels)):
            logits = (hidden[rows] @ weight.T).float()
            soft = (logits - value[rows].unsqueeze(1)).exp_().mul_(of_value[rows].unsqueeze(1)) if by_value else None
            surprise, gradient = _distribution(logits, temperature[rows])
            share = -of_logprob[rows].unsqueeze(1)
            if by_entropy:
                share = surprise.add_(entropy[rows].unsqueeze(1)).mul_(-of_entropy[rows].unsqueeze(1)).add_(share)
            gradient.mul_(share).div_(temperature[rows].unsqueeze(1))
            if soft is not None:
                gradient.add_(soft)
            own = of_logprob[rows] / temperature[rows] + of_logit[rows]
            gradient.scatter_add_(1, labels[rows].unsqueeze(1), own.unsqueeze(1))
            result[rows] = gradient.to(weight.dtype) @ weight
        return result, None, None, None


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, start + CHUNK) for start in range(0, count, CHUNK))


def _distribution(logits: Tensor, temperature: Tensor) -> tuple[Tensor, Tensor]:
    """log p, which takes the place of `logits`, and p at `temperature` [rows]."""
    logits.div_(temperature.unsqueeze(1))
    logits.sub_(logits.logsumexp(1, keepdim=True))
    return logits, logits.exp()
