"""How likely a mixture finds a text: the members read it in one pass, and each token is mixed as in writing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from storyteller.errors import ModelError
from storyteller.generate.mixture import Mixer
from storyteller.models import Located, load_model
from storyteller.models.adapters.factors import is_plain_lora, read_factors
from storyteller.models.adapters.rows import AdapterRows
from storyteller.models.load import on_gpu

__all__ = ["MixtureModel"]

#: Places that are mixed at once: four members' logits of them take 50 MB with SmolLM2's vocabulary.
PLACES = 64


class MixtureModel(nn.Module):
    """The members of a located ensemble for measuring: adapters of one base as rows of one batch, models side by side."""

    def __init__(self, located: Located) -> None:
        """Load the members in float32, on the first GPU if there is one.

        Raises `ModelError` when `located` is no ensemble or a member does not load.
        """
        super().__init__()
        if located.ensemble is None:
            raise ModelError(f"{located.name} is no ensemble.")
        ensemble, members = located.ensemble, located.members
        plain = all(is_plain_lora(member.adapter) for member in members)
        if plain and len({member.folder for member in members}) == 1:
            model = on_gpu(load_model(replace(members[0], adapter=None)))
            AdapterRows(model, [read_factors(member.adapter) if member.adapter else {} for member in members])
            self.models = nn.ModuleList([model])
        else:
            self.models = nn.ModuleList([on_gpu(load_model(member, merge=True)) for member in members])
        self.config: Any = self.models[0].config
        self.heard: list[NDArray[np.float32]] = []
        """What each member alone gave the tokens that were asked for, `[members, tokens]` a call, in nats."""
        # The first member apart, so that its gate is the one of writing.
        sizes = [1, len(members) - 1] if len(members) > 1 else [1]
        self._rows = len(members)
        self.mixer = Mixer(
            [member.name for member in members],
            sizes,
            ensemble.weights,
            rule=ensemble.rule,
            gate=ensemble.gate,
            plausibility=ensemble.plausibility,
        )

    @torch.inference_mode()
    def log_probabilities(self, ids: Tensor, first: int) -> list[float]:
        """The log-probability, in nats, of each of `ids` `[n]` from place `first` (at least 1) on, given all before it."""
        rows = self._rows if len(self.models) == 1 else 1
        logits = [
            model(input_ids=ids[None, :-1].expand(rows, -1), use_cache=False, logits_to_keep=len(ids) - first).logits
            for model in self.models
        ]
        told = torch.cat(logits)  # [members, places, vocabulary]
        found = []
        for start in range(0, told.shape[1], PLACES):
            some = slice(start, start + PLACES)
            found += self._mix(told[:, some].float(), ids[first:][some])
        return found

    def _mix(self, told: Tensor, ids: Tensor) -> list[float]:
        """The log-probabilities of `ids` `[places]` in the mixture of logits `[members, places, vocabulary]`."""
        alone = told.gather(2, ids.expand(len(told), -1)[..., None])[..., 0] - told.logsumexp(2)
        self.heard.append(alone.cpu().numpy())
        mixer = self.mixer
        if mixer.gate.sure is None and all(weight != 0 for weight in mixer.saying()):
            together = mixer.mix_tensor(told, mixer.weights)
            if together is not None:
                return together[0].gather(1, ids[:, None])[:, 0].tolist()
        said = told.cpu().numpy()
        found = []
        for place, token in enumerate(ids.tolist()):
            groups = (said[:1, place], said[1:, place])

            def ask(group: int, *_: object, groups: Any = groups) -> Any:
                return [groups[group]]

            (mixed,) = mixer.mix({0: [token]}, ask)
            found.append(float(mixed[token]))
        return found
