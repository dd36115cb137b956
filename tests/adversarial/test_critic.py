"""The critic: causal, bounded, the seed's losses, one shuffled batch, and a memory of old stories."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor, nn

from storyteller.adversarial.adversary import PATIENCE, Adversary, Memory, pairs_to_tensors, tensors_to_pairs
from storyteller.adversarial.critic import (
    Critic,
    Opinion,
    Pair,
    Read,
    critic_loss,
    depths_of,
    discriminator_loss,
    generator_loss,
)
from storyteller.adversarial.rewards import Scale, rewards
from storyteller.errors import DataError
from storyteller.recipe.models import CriticRecipe, RewardRecipe

RECIPE = CriticRecipe(width=8, pairs=8, warm_up=60, lr=3e-3)
ENDS = (4, 9, 12)


def states(seed: int, shift: float = 0.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(12, 16, generator=generator) + shift * torch.arange(16).sin() for _ in range(2)]


def critic(seed: int = 1) -> Critic:
    return Critic(16, 2, RECIPE, seed).eval()


def pairs(count: int, shift: float, start: int = 0) -> list[Pair]:
    judge = critic()
    made = []
    for i in range(start, start + count):
        human, drawn, faulty = (judge.project(states(10 * i + k, s)) for k, s in ((0, 0.0), (1, shift), (2, -shift)))
        made.append(Pair(Read(human, ENDS), Read(drawn, ENDS), Read(faulty, ENDS)))
    return made


def test_a_prefix_is_scored_as_if_the_rest_were_not_there() -> None:
    judge = critic()
    whole = judge.project(states(1))
    together = judge([Read(whole, ENDS), Read(whole[:, :9], ENDS[:2]), Read(whole[:, :4], (4,))])
    for prefix in together[1:]:
        length = prefix.realism.shape[1]
        assert torch.allclose(together[0].realism[:, :length], prefix.realism, atol=1e-5)
        assert torch.allclose(together[0].coherence[:, :length], prefix.coherence, atol=1e-5)
    assert together[0].score.shape == (3,)


def test_the_score_is_pessimistic() -> None:
    realism = torch.tensor([[1.0, 2.0], [3.0, 2.0]])
    assert Opinion(realism, realism).score.tolist() == pytest.approx([2 - 0.5, 2.0])


def test_the_judging_layers_are_lipschitz() -> None:
    """With spectral norm 1 in both layers a pooled feature that moves by d moves the logit by d times GELU's slope."""
    judge = critic().train()
    for _ in range(30):  # the power iteration settles
        judge([Read(judge.project(states(1)), ENDS)])
    judge.eval()
    for head in judge.realism:
        layers = [layer for layer in head.judge if isinstance(layer, nn.Linear)]
        assert all(torch.linalg.matrix_norm(layer.weight, 2) < 1.02 for layer in layers)
        first, second = torch.randn(2, 50, 32, generator=torch.Generator().manual_seed(3)).unbind(0)
        moved = (head.judge(first) - head.judge(second)).abs().squeeze(-1)
        assert (moved <= 1.18 * (first - second).norm(dim=-1)).all()


def test_the_losses_are_the_seeds() -> None:
    """L_D = -E log D(x) - E log(1 - D(G(z))) and L_G = -E log D(G(z)), and the reward log_d is -L_G of a story."""
    real, fake = torch.tensor([0.3, -1.2]), torch.tensor([2.0, -0.4, 0.1])
    d = torch.sigmoid
    assert discriminator_loss(real, fake, 1.0) == pytest.approx(
        float(-d(real).log().mean() - (1 - d(fake)).log().mean())
    )
    smoothed = -(0.9 * d(real).log() + 0.1 * (1 - d(real)).log()).mean() - (1 - d(fake)).log().mean()
    assert discriminator_loss(real, fake, 0.9) == pytest.approx(float(smoothed))
    assert generator_loss(fake) == pytest.approx(float(-d(fake).log().mean()))
    opinions = [Opinion(logit.view(1, 1), torch.zeros(1, 1)) for logit in fake]
    recipe = RewardRecipe(kind="log_d", coherence=0, penalty=0)
    assert torch.allclose(rewards(opinions, [0, 0, 0], recipe, Scale(), Scale()), d(fake).log())


def test_the_order_in_the_batch_does_not_matter() -> None:
    judge, some = critic(), pairs(4, 1.0)
    losses = {round(float(critic_loss(judge, some, RECIPE, torch.randperm(12))[0].detach()), 5) for _ in range(4)}
    assert len(losses) == 1


def test_the_penalty_is_the_squared_gradient() -> None:
    judge = critic()
    read = Read(judge.project(states(1)), ENDS)
    found = float(judge.penalty([read]).detach())
    expected = 0.0
    for depth, head in enumerate(judge.realism):
        pooled = head.pool(read.states[depth : depth + 1].float(), torch.tensor([[12]])).detach()[0, 0]
        slopes = [
            (head.judge(pooled + step) - head.judge(pooled - step)) / 2e-2 for step in 1e-2 * torch.eye(len(pooled))
        ]
        expected += float(torch.cat(slopes).square().sum()) / len(judge.realism)
    assert found == pytest.approx(expected, rel=0.05)


def test_it_learns_to_tell_what_differs_and_not_what_does_not() -> None:
    for shift, least, most in ((2.0, 0.9, 1.0), (0.0, 0.2, 0.8)):
        adversary = Adversary(critic(), RECIPE, seed=1)
        adversary.memory.pool = pairs(24, shift)
        held = pairs(16, shift, start=100)
        done, stands = adversary.warm_up(held, 30, 2.0)
        assert done <= adversary.steps == 30
        assert least <= stands.accuracy <= most


def test_warm_up_ends_before_the_pool_is_known_by_heart() -> None:
    """Eight pairs say little of others: the heads that are kept are those of the least held-out loss, not the last."""
    adversary = Adversary(critic(), RECIPE, seed=1)
    adversary.memory.pool, held = pairs(8, 0.2), pairs(32, 0.2, start=100)
    before = adversary.measure(held)
    done, stands = adversary.warm_up(held, 400)
    assert adversary.steps < 400
    assert done <= adversary.steps - PATIENCE
    after = adversary.measure(held)
    assert after == stands
    assert adversary.accuracy == stands.accuracy
    assert after.loss <= before.loss
    adversary.learn(adversary.memory.pool)
    assert adversary.measure(held).loss != after.loss


def test_warm_up_ends_when_it_is_good_enough() -> None:
    adversary = Adversary(critic(), RECIPE, seed=1)
    adversary.memory.pool = pairs(24, 2.0)
    done, stands = adversary.warm_up(pairs(16, 2.0, start=100), 60, 0.75)
    assert done < 60
    assert stands.accuracy >= 0.75
    assert str(stands).startswith("right in ")


def test_it_stands_by_both_heads() -> None:
    """Coherence is measured beside stories with a fault, which only coherence learns from."""
    recipe = RECIPE.model_copy(update={"coherence_weight": 2.0})
    adversary = Adversary(critic(), recipe, seed=1)
    adversary.memory.pool, held = pairs(24, 2.0), pairs(16, 2.0, start=100)
    before = adversary.measure(held)
    _, after = adversary.warm_up(held, 60)
    assert before.coherence is not None
    assert after.coherence is not None
    assert after.coherence > max(0.8, before.coherence)
    faultless = adversary.measure([Pair(pair.human, pair.generated, None) for pair in held])
    assert (faultless.accuracy, faultless.coherence) == (after.accuracy, None)
    assert faultless.loss < after.loss


def test_learning_is_a_function_of_seed_and_step_alone() -> None:
    def weights() -> Tensor:
        adversary = Adversary(critic(), RECIPE, seed=1)
        torch.randn(7)
        for step in range(3):
            adversary.keep_up(pairs(6, 1.0, start=step * 10), step)
        return torch.cat([value.flatten() for value in adversary.critic.state_dict().values()])

    assert torch.equal(weights(), weights())


def test_it_rests_while_it_wins_and_hurries_while_it_loses() -> None:
    adversary = Adversary(critic(), RECIPE, seed=1)
    for accuracy, times in ((0.99, 0), (0.75, 1), (0.3, 2)):
        adversary.accuracy = accuracy
        assert adversary.keep_up(pairs(4, 0.0), 1)["critic_updates"] == times


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match="one class only"):
        Adversary(critic(), RECIPE, seed=1).learn([])
    assert Adversary(critic(), RECIPE, seed=1).keep_up([], 1) == {"critic_updates": 0.0}


def test_what_is_saved_comes_back() -> None:
    first, second = Adversary(critic(1), RECIPE, seed=1), Adversary(critic(2), RECIPE, seed=1)
    for step in range(2):
        first.keep_up(pairs(5, 1.0, start=10 * step), step)
    second.restore(first.tensors(), first.values())
    for adversary in (first, second):
        adversary.keep_up(pairs(5, 1.0, start=50), 2)
    ours, theirs = first.tensors(), second.tensors()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert first.values() == second.values()


def test_pairs_survive_as_tensors() -> None:
    some = pairs(2, 1.0)
    some.append(Pair(some[0].human, some[0].generated, None))
    again = tensors_to_pairs(pairs_to_tensors(some))
    assert [pair.corrupted is None for pair in again] == [False, False, True]
    assert all(torch.equal(a.human.states, b.human.states) for a, b in zip(some, again, strict=True))
    assert again[0].generated.ends == ENDS


def test_memory_mixes_new_and_old_and_forgets_the_oldest() -> None:
    new, old, first = pairs(40, 0.0), pairs(40, 0.0, 50), pairs(40, 0.0, 100)
    memory = Memory(pool=first, recent=old)
    chosen = memory.mixed(new, 20, random.Random(1))
    counts = [sum(any(pair is other for other in source) for pair in chosen) for source in (new, old, first)]
    assert counts == [10, 7, 3]
    assert len(Memory().mixed(new[:2], 8, random.Random(1))) == 8
    for step in range(40):
        memory.remember(new[:20], random.Random(step))
    assert len(memory.recent) == 320
    assert not any(pair is other for pair in memory.recent for other in old)


def test_depths_are_those_of_the_model() -> None:
    assert depths_of(30) == (10, 20, 30)
    assert depths_of(2) == (1, 2)
    assert depths_of(1) == (1,)
