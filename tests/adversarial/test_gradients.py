"""The estimators against exact gradients, on a policy small enough to enumerate everything that it can say."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from storyteller.adversarial.gail import policy_gradient
from storyteller.adversarial.groups import lay_out
from storyteller.adversarial.iq import regularised_likelihood
from storyteller.adversarial.pairs import preference
from storyteller.adversarial.policy import Tokens
from storyteller.adversarial.rewards import leave_one_out
from storyteller.adversarial.update import Batch, Lesson, batches, k3

STOP, WORDS, LONGEST = 0, 3, 2
STORIES = [s for s in itertools.product(range(WORDS), repeat=LONGEST) if s[0] != STOP] + [(STOP,)]
REWARD = torch.randn(len(STORIES), generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def logits(seed: int = 1) -> Tensor:
    """A policy: the logits of the first token, and of the second after each first one [1 + WORDS, WORDS]."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(1 + WORDS, WORDS, generator=random, dtype=torch.float64)


def logprobs(policy: Tensor, story: tuple[int, ...]) -> Tensor:
    table = policy.log_softmax(-1)
    return torch.stack([table[0 if i == 0 else 1 + story[i - 1], token] for i, token in enumerate(story)])


def chance(policy: Tensor, story: tuple[int, ...]) -> Tensor:
    return logprobs(policy, story).sum().exp()


def batch(
    weights: list[Tensor], stories: list[tuple[int, ...]], reference: list[Tensor] | None = None, entropy: float = 0.0
) -> Batch:
    rows = lay_out([[1]], [[list(story) for story in stories]], pad_id=0)
    n = sum(map(len, stories))
    drawn = torch.ones(n, dtype=torch.bool)
    flat = torch.cat(reference) if reference else torch.zeros(n)
    own, known = torch.zeros(n, dtype=torch.long), torch.tensor([entropy])
    return Batch(rows, drawn, torch.ones(n), torch.cat(weights), flat, own, known, n, 1, 1)


def tokens(values: Tensor) -> Tokens:
    return Tokens(values, torch.zeros_like(values), values, values)


def test_the_group_baseline_leaves_the_policy_gradient_unbiased() -> None:
    """Averaged over all pairs of stories, weighted by their chance, the estimate is the gradient of the mean reward."""
    policy = logits().requires_grad_()
    expected = torch.stack([chance(policy, story) for story in STORIES]) @ REWARD
    (exact,) = torch.autograd.grad(expected, policy)
    loss_of = policy_gradient(divergence=0.0, replay=0.0)
    estimate = torch.zeros_like(exact)
    total = 0.0
    for i, j in itertools.product(range(len(STORIES)), repeat=2):
        pair = [STORIES[i], STORIES[j]]
        weight = float(chance(policy, pair[0]) * chance(policy, pair[1]))
        total += weight
        worth = leave_one_out(REWARD[[i, j]].unsqueeze(0))[0]
        advantages = [worth[k].expand(len(story)) for k, story in enumerate(pair)]
        own = torch.cat([logprobs(policy, story) for story in pair])
        loss, _ = loss_of(tokens(own), batch(advantages, pair))
        (gradient,) = torch.autograd.grad(loss, policy)
        # The loss is a mean over tokens; the gradient of the mean reward is one over stories.
        estimate -= weight * gradient * sum(map(len, pair)) / len(pair)
    assert total == pytest.approx(1)
    assert torch.allclose(estimate, exact, atol=1e-10)


def test_the_divergence_is_the_kl_and_its_gradient_that_of_the_forward_kl() -> None:
    policy, reference = logits(1).requires_grad_(), logits(9)
    value, gradient = torch.zeros((), dtype=torch.float64), torch.zeros_like(policy)
    for token in range(WORDS):
        own, other = policy.log_softmax(-1)[0, token], reference.log_softmax(-1)[0, token]
        term = k3(own, other)
        (slope,) = torch.autograd.grad(term, policy)
        value, gradient = value + float(own.exp()) * term.detach(), gradient + float(own.exp()) * slope
    p, q = policy.log_softmax(-1)[0], reference.log_softmax(-1)[0]
    assert value == pytest.approx(float((p.exp() * (p - q)).sum()))
    (exact,) = torch.autograd.grad((q.exp() * (q - p)).sum(), policy)
    assert torch.allclose(gradient, exact)
    assert k3(q, q).abs().max() == 0


def test_a_loss_in_parts_is_the_loss() -> None:
    """Two batches of one step add up to the step: divisors count the whole step."""
    policy, reference = logits(1).requires_grad_(), logits(9)
    stories = STORIES[:4]
    loss_of = policy_gradient(divergence=0.3, replay=0.0)

    def part(chosen: list[tuple[int, ...]], n: int) -> Tensor:
        weights = [torch.full((len(s),), float(s[0]), dtype=torch.float64) for s in chosen]
        made = batch(weights, chosen, [logprobs(reference, s) for s in chosen])
        whole = replace(made, drawn_tokens=n)
        return loss_of(tokens(torch.cat([logprobs(policy, s) for s in chosen])), whole)[0]

    n = sum(map(len, stories))
    assert torch.allclose(part(stories, n), part(stories[:1], n) + part(stories[1:], n))


def test_the_entropy_is_pulled_back_into_its_band_from_both_sides() -> None:
    policy = logits().requires_grad_()
    own, table = logprobs(policy, STORIES[0]), policy.log_softmax(-1)
    entropy = -(table.exp() * table).sum(-1)[:2]
    loss_of = policy_gradient(divergence=0.0, replay=0.0, entropy=1.0, band=(0.9, 1.1))
    (flatter,) = torch.autograd.grad(entropy.mean(), policy, retain_graph=True)
    for reference, way in ((0.5, 1), (1.0, 0), (2.0, -1)):  # the reference's entropy over the policy's
        made = batch([torch.zeros(2)], [STORIES[0]], entropy=reference * float(entropy.mean().detach()))
        loss, _ = loss_of(Tokens(own, entropy, own, own), made)
        (gradient,) = torch.autograd.grad(loss, policy, retain_graph=True)
        assert torch.allclose(gradient, way * flatter)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_the_entropy_is_held_in_its_band_however_the_step_is_cut(rows: int) -> None:
    """Two lessons whose entropies are in the band together and out of it alone."""
    lessons = [
        Lesson([1], [[0, 1], [2]], [torch.zeros(2), torch.zeros(1)], [torch.zeros(2), torch.zeros(1)], [2, 0], entropy)
        for entropy in (1.2, 0.7, 1.0)
    ]
    loss_of = policy_gradient(divergence=0.0, replay=0.0, entropy=1.0, band=(0.9, 1.1))
    total = 0.0
    for part in batches(lessons, rows, 1.0, 0, torch.device("cpu")):
        values = torch.zeros(len(part.drawn))
        # A human token's entropy is another thing, and is not asked.
        total += float(loss_of(Tokens(values, torch.where(part.drawn, 1.0, 9.0), values, values), part)[0])
    assert total == pytest.approx((0.9 * 1.2 - 1.0) / 3 + (1.0 - 1.1 * 0.7) / 3)


def test_preference_is_the_loss_of_dpo() -> None:
    policy, reference = logits(1).requires_grad_(), logits(9)
    better, worse, human = STORIES[0], STORIES[3], STORIES[5]
    rows = lay_out([[1]], [[list(better), list(worse), list(human)]], pad_id=0)
    own = torch.cat([logprobs(policy, s) for s in (better, worse, human)])
    other = torch.cat([logprobs(reference, s) for s in (better, worse)])
    zeros = torch.zeros(len(human), dtype=torch.float64)
    drawn = torch.cat([torch.ones(len(other), dtype=torch.bool), torch.zeros(len(human), dtype=torch.bool)])
    weight = torch.cat([torch.full((len(other),), 0.7, dtype=torch.float64), zeros])
    one, reads = torch.zeros(len(own), dtype=torch.long), torch.cat([other, zeros])
    known = torch.zeros(1)
    made = Batch(rows, drawn, torch.ones(len(own)), weight, reads, one, known, len(other), len(human), 1)
    loss, figures = preference(beta=0.5, likelihood=0.0)(tokens(own), made)

    def ratio(story: tuple[int, ...]) -> Tensor:
        return logprobs(policy, story).sum() - logprobs(reference, story).sum()

    margin = ratio(better) - ratio(worse)
    assert torch.allclose(loss, -0.7 * torch.nn.functional.logsigmoid(0.5 * margin))
    assert figures["margin"] == pytest.approx(float(margin.detach()))


def test_iq_is_likelihood_plus_the_implied_rewards() -> None:
    values = torch.tensor([2.0, 3.0, 1.0, 5.0])
    logit = torch.tensor([1.0, 0.5, 0.2, 4.0])
    made = batch([torch.zeros(2), torch.zeros(2)], [STORIES[0], STORIES[1]])
    counted = replace(made, drawn=~made.drawn, drawn_tokens=1, human_tokens=4)
    loss, _ = regularised_likelihood(td=0.1)(Tokens(logit - values, values, logit, values), counted)
    nll = (values - logit).sum() / 4
    # Q(s, a) - V(s') within each story; nothing crosses from one to the next.
    assert loss == pytest.approx(float(nll + 0.1 * ((1.0 - 3.0) ** 2 + (0.2 - 5.0) ** 2) / 4))
