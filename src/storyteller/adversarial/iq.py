"""`iq`: temporal-difference-regularised likelihood, the control without critic and rollouts that a critic has to beat.

Offline IQ-Learn (Garg et al. 2021, arXiv 2106.12142) on a language model, as Wulfmeier et al. 2024 (arXiv 2409.01369) write
it: with logits as soft Q values and their log-sum as V, likelihood is its first part, and the rest keeps the reward that
they imply, Q(s, a) - V(s'), small.
"""

from __future__ import annotations

from torch import Tensor

from storyteller.adversarial.policy import Tokens
from storyteller.adversarial.update import Batch, Loss

__all__ = ["regularised_likelihood"]


def regularised_likelihood(*, td: float) -> Loss:
    """NLL(human) + `td` * mean (Q(s, a) - V(s'))^2 over human tokens.

    A story's last token is left out of the second term: most stories are cut there, and what follows is not known.
    """

    def loss(tokens: Tokens, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        story = batch.rows.story
        nll = -tokens.logprob.sum() / batch.human_tokens
        goes_on = story[1:] == story[:-1]
        implied = (tokens.logit[:-1] - tokens.value[1:])[goes_on]
        penalty = implied.square().sum() / batch.human_tokens
        figures = {"human_loss": float(nll.detach()), "td": float(penalty.detach())}
        return nll + td * penalty, figures

    return loss
