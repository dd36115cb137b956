"""Which critic: heads on the reference's frozen states, heads on a second LoRA of the same base, or heads on an encoder.

They share heads, losses, balance and memory, and differ in whose states they read. The reference's cost nothing, but may
not show what the reference cannot represent; a LoRA of the critic's own can learn to see it, for a forward and a backward
pass over every pair; an encoder, such as a masked model of our own pretraining, brings other eyes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from storyteller.adversarial.critic import Critic, Read, depths_of, padded
from storyteller.adversarial.groups import lay_out
from storyteller.adversarial.marks import Marks
from storyteller.adversarial.policy import Policy
from storyteller.errors import ModelError, RecipeError
from storyteller.models import Located, apply_lora, load_model
from storyteller.recipe import LoraRecipe
from storyteller.recipe.models import CriticRecipe
from storyteller.tokens import StoryTokenizer
from storyteller.train.optim import trainable

__all__ = ["AdapterCritic", "Encoder", "EncoderCritic", "load_encoder", "make_critic"]


def make_critic(recipe: CriticRecipe, policy: Policy, located: Located, tokenizer: StoryTokenizer, seed: int) -> Critic:
    """The critic that a recipe asks for, on the policy's device; raises `RecipeError` for layers that do not exist."""
    if recipe.reads == "encoder":
        if recipe.encoder is None:
            raise RecipeError("refine.critic.reads=encoder needs refine.critic.encoder: the folder of a model.")
        encoder = load_encoder(recipe.encoder)
        layers = _layers(recipe, encoder.depth)
        return EncoderCritic(encoder, layers, tokenizer, recipe, seed).to(policy.device)
    layers = _layers(recipe, policy.depth)
    if recipe.reads == "adapter":
        model = load_model(located, dtype="float32", merge=True).to(policy.device)
        adapted = Policy(apply_lora(model, LoraRecipe(rank=recipe.rank, alpha=2 * recipe.rank), seed=seed))
        return AdapterCritic(adapted, layers, tokenizer.pad_id, recipe, seed).to(policy.device)
    return Critic(policy.width, len(layers), recipe, seed, layers).to(policy.device)


class AdapterCritic(Critic):
    """Heads on the states of a model with a LoRA that learns with them; a pair remembers ids, and no states."""

    def __init__(self, adapted: Policy, layers: tuple[int, ...], pad_id: int, recipe: CriticRecipe, seed: int) -> None:
        super().__init__(adapted.width, len(layers), recipe, seed)
        # The frozen base is no part of what is saved: only the adapter's parameters are this module's own.
        self._adapted, self._own_layers, self._pad_id = adapted, layers, pad_id
        self.adapter = nn.ParameterList(trainable(adapted.model).values())

    def reads(
        self, prompt: Sequence[int], stories: Sequence[Sequence[int]], marks: Sequence[Marks], states: Sequence[Tensor]
    ) -> list[Read | None]:
        """Prompt and ids of each story."""
        nothing = torch.zeros(0, 0, 0, dtype=torch.float16)
        return [
            Read(nothing, mark.ends, tuple(prompt), tuple(story[: mark.ends[-1]])) if mark.ends else None
            for story, mark in zip(stories, marks, strict=True)
        ]

    def _states(self, reads: Sequence[Read]) -> tuple[Tensor, Tensor]:
        rows = lay_out([r.prompt for r in reads], [[r.ids] for r in reads], self._pad_id, self.projection.device)
        _, states = self._adapted.read(rows, layers=self._own_layers)
        stacked = torch.stack([state.float() for state in states])
        unit = stacked * stacked.square().mean(-1, keepdim=True).add(1e-6).rsqrt()
        parts = torch.split(unit @ self.projection, rows.lengths, dim=1)
        together = pad_sequence([part.transpose(0, 1) for part in parts], batch_first=True).transpose(1, 2)
        most = max(len(read.ends) for read in reads)
        ends = torch.tensor([[*read.ends, *[read.ends[-1]] * (most - len(read.ends))] for read in reads])
        return together, ends.to(together.device)


class Encoder(Protocol):
    """Any model with hidden states, causal or not."""

    width: int
    depth: int

    def states(self, texts: Sequence[str], layers: Sequence[int]) -> list[list[Tensor]]:
        """For each text the hidden states of `layers`, [tokens, width] each, at least one token; no gradients."""
        ...


class EncoderCritic(Critic):
    """Heads on the frozen states of an encoder, which reads a story's text without its prompt.

    An encoder that looks both ways knows at a sentence what follows it, so its scores of prefixes would be hindsight: a
    story has one score, at its end, and the reward is not given by sentence.
    """

    by_sentence = False

    def __init__(
        self, encoder: Encoder, layers: tuple[int, ...], tokenizer: StoryTokenizer, recipe: CriticRecipe, seed: int
    ) -> None:
        super().__init__(encoder.width, len(layers), recipe, seed)
        self._encoder, self._own_layers, self._tokenizer = encoder, layers, tokenizer

    def reads(
        self, prompt: Sequence[int], stories: Sequence[Sequence[int]], marks: Sequence[Marks], states: Sequence[Tensor]
    ) -> list[Read | None]:
        """Each story by its own ids; the encoder's states are made when the critic looks at it."""
        nothing = torch.zeros(0, 0, 0, dtype=torch.float16)
        return [
            Read(nothing, mark.ends, (), tuple(story[: mark.ends[-1]])) if mark.ends else None
            for story, mark in zip(stories, marks, strict=True)
        ]

    def _states(self, reads: Sequence[Read]) -> tuple[Tensor, Tensor]:
        # Read here and not once for all: pairs are cut to one length after they were drawn.
        texts = [self._tokenizer.decode(list(read.ids[: read.ends[-1]])) for read in reads]
        found = self._encoder.states(texts, self._own_layers)
        made = [self.project([state.to(self.projection.device) for state in states]) for states in found]
        most = max(len(read.ends) for read in reads)
        states, ends = padded([Read(one, (one.shape[1],)) for one in made], self.projection.device)
        return states, ends.expand(-1, most)


class _Transformer:
    """An encoder from a folder in the format of transformers, with its tokenizer beside it."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model, self._tokenizer = model.eval(), tokenizer
        self.width, self.depth = model.config.hidden_size, model.config.num_hidden_layers

    @torch.no_grad()
    def states(self, texts: Sequence[str], layers: Sequence[int]) -> list[list[Tensor]]:
        most = getattr(self._model.config, "max_position_embeddings", None) or 512
        rows = [torch.tensor(self._tokenizer.encode(text).ids[:most] or [0]) for text in texts]
        ids = pad_sequence(rows, batch_first=True)
        lengths = torch.tensor([len(row) for row in rows])
        mask = (torch.arange(ids.shape[1]) < lengths.unsqueeze(1)).long()
        hidden = self._model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        return [[hidden[layer][row, :length] for layer in layers] for row, length in enumerate(lengths.tolist())]


def load_encoder(folder: str) -> Encoder:
    """The model in `folder`, whatever its kind, as an encoder; raises `ModelError` when there is none with a tokenizer."""
    from pathlib import Path

    from tokenizers import Tokenizer
    from transformers import AutoModel

    from storyteller.models.quiet import quiet

    try:
        with quiet():
            model = AutoModel.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, use_safetensors=True
            )
        return _Transformer(model, Tokenizer.from_file(str(Path(folder) / "tokenizer.json")))
    except Exception as error:  # transformers, tokenizers and safetensors have no common error
        raise ModelError(
            f"refine.critic.encoder: {folder} holds no model with a tokenizer.json ({str(error).splitlines()[0]})."
        ) from error


def _layers(recipe: CriticRecipe, depth: int) -> tuple[int, ...]:
    layers = depths_of(depth) if recipe.layers is None else tuple(recipe.layers)
    if not all(0 <= layer <= depth for layer in layers):
        raise RecipeError(f"refine.critic.layers={list(layers)}: the model has hidden states 0 to {depth}.")
    return layers
