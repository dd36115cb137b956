"""What a token is worth: scales, rules, baselines and what is still to come."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from storyteller.adversarial.coop import coop_lessons, effective_samples, ratio_weights
from storyteller.adversarial.critic import Opinion
from storyteller.adversarial.marks import Marks
from storyteller.adversarial.pairs import deviations
from storyteller.adversarial.rewards import (
    Rules,
    Scale,
    advantages,
    leave_one_out,
    repeated_share,
    rewards,
    shared_shares,
)
from storyteller.recipe.models import RewardRecipe

NUMBERS = st.floats(-20, 20, width=32)


def opinion(*scores: float) -> Opinion:
    logits = torch.tensor([scores])
    return Opinion(logits, torch.zeros_like(logits))


def test_a_scale_follows_and_standardises() -> None:
    scale = Scale()
    random = torch.Generator().manual_seed(1)
    for _ in range(600):
        values = 5 + 2 * torch.randn(64, generator=random)
        scale.update(values)
    assert scale.mean == pytest.approx(float(values.mean()))
    assert scale.mean == pytest.approx(5, abs=0.8)  # three deviations of a mean of 64
    assert scale.deviation == pytest.approx(2, abs=0.2)
    assert scale.standardise(torch.tensor([5.0, 100.0, -100.0]), 3).tolist() == pytest.approx([0, 3, -3], abs=0.1)
    scale.update(torch.tensor([104.0, 108.0]))  # a step whose logits have all wandered keeps its differences
    assert scale.standardise(torch.tensor([104.0, 108.0]), 3).tolist() == pytest.approx([-1, 1], abs=0.15)
    flat = Scale()
    flat.update(torch.ones(4))
    assert torch.isfinite(flat.standardise(torch.ones(4), 3)).all()


@given(st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=1, max_size=4))
def test_leaving_one_out_is_less_the_mean_of_the_others(groups: list[list[float]]) -> None:
    values = torch.tensor(groups, dtype=torch.float64)
    worth = leave_one_out(values)
    for row, own in zip(values, worth, strict=True):
        for i in range(3):
            others = torch.cat([row[:i], row[i + 1 :]]).mean()
            assert float(own[i]) == pytest.approx(float(row[i] - others), abs=1e-9)


def test_equal_rewards_teach_nothing() -> None:
    marks = [Marks("x", (2, 4), True)] * 4
    opinions = [opinion(1.0, 1.0)] * 4
    worth = advantages(torch.ones(2, 2), opinions, marks, [4, 4, 4, 4], 0.5)
    assert torch.cat(worth).abs().max() < 1e-3


def test_what_is_still_to_come_belongs_to_the_sentence_that_brings_it() -> None:
    """The first story gains in its second sentence, the other one not at all: only the second sentence is worth more."""
    marks = [Marks("x", (2, 4), True)] * 2
    opinions = [opinion(1.0, 3.0), opinion(1.0, 1.0)]
    first, second = advantages(torch.zeros(1, 2), opinions, marks, [5, 4], 1.0)
    assert first.tolist()[4] == pytest.approx(0)  # after the last sentence end nothing comes
    assert first[0] > 0
    assert first[2] == pytest.approx(float(first[0]))  # both begin before the gain
    assert second[2] == pytest.approx(-float(first[2]))
    later = advantages(torch.zeros(1, 2), [opinion(3.0, 3.0), opinion(1.0, 1.0)], marks, [4, 4], 1.0)
    assert later[0][0] > 0
    assert later[0][2] == pytest.approx(0)  # the gain was made before


def test_rewards_of_wordless_and_rule_breaking_stories() -> None:
    scale = Scale(mean=0.0, variance=1.0, seen=True)
    values = rewards([opinion(1.0), None, opinion(1.0)], [0, 0, 2], RewardRecipe(coherence=0), scale, scale)
    assert values.tolist() == pytest.approx([1.0, -1.0, 0.0])
    assert rewards([None, None], [0, 0], RewardRecipe(), scale, scale).tolist() == [-3.0, -3.0]


def test_rules_are_what_human_stories_do() -> None:
    human = [list(range(start, start + 40)) for start in range(0, 400, 10)]
    rules = Rules.of(human, [Marks("x", (len(ids),), True) for ids in human])
    ended = Marks("x", (40,), True)
    new = list(range(1000, 1040))
    assert rules.broken(new, ended) == 0
    assert rules.broken([*new[:28], *human[3][:12]], ended) == 1
    assert rules.broken([*new[:29], *human[3][:11]], ended) == 0
    assert rules.broken([1, 2, 3, 4] * 10, ended) == 1
    assert rules.broken(new, Marks("x", (40,), False)) == 1
    assert rules.broken(new[:5], Marks("x", (5,), True)) == 1
    assert rules.copied_share(human[0]) == 1
    assert repeated_share([1, 2, 3, 4] * 3) == pytest.approx(1 - 4 / 9)
    assert repeated_share([1, 2]) == 0


def test_a_phrase_of_stories_to_several_prompts_costs_and_one_of_siblings_does_not() -> None:
    refrain, own = [1, 2, 3, 4], [5, 6, 7, 8]
    stories = [[*refrain, 20], own, [*refrain, 21], [9, 10, 11, 12], [13, 14], own]
    shares = shared_shares(stories, 2)
    assert shares == pytest.approx([2 / 3, 1, 2 / 3, 0, 0, 1])
    assert shared_shares([own, own], 2) == [0, 0]
    scale = Scale(mean=0.0, variance=1.0, seen=True)
    told = [opinion(1.0)] * 6
    recipe = RewardRecipe(coherence=0, variety=0.5)
    values = rewards(told, [0] * 6, recipe, scale, scale, shares)
    assert values[3] > values[0] > values[1]
    assert float(values.mean()) == pytest.approx(1.0)
    assert rewards(told, [0] * 6, RewardRecipe(coherence=0), scale, scale, shares).tolist() == pytest.approx([1.0] * 6)


@given(st.lists(NUMBERS, min_size=2, max_size=12), st.floats(1, 6))
def test_weights_keep_their_effective_samples_and_their_order(scores: list[float], least: float) -> None:
    logits = torch.tensor(scores, dtype=torch.float64)
    weights, tau = ratio_weights(logits, least)
    assert float(weights.sum()) == pytest.approx(1)
    assert effective_samples(weights) >= min(least, len(scores)) - 2e-3
    assert tau >= 1
    assert (weights[logits.argsort()].diff() >= 0).all()
    if tau == 1:
        assert torch.allclose(weights, torch.softmax(logits, 0))


def test_density_ratios_turn_the_policy_into_the_data() -> None:
    """With the best critic, logit = log p_data / p_policy, weighted draws of the policy have the data's mean."""
    random = torch.Generator().manual_seed(1)
    draws = torch.randn(20_000, generator=random, dtype=torch.float64)
    logit = 0.5 * draws - 0.125  # the data are N(1/2, 1)
    weights, _ = ratio_weights(logit, 1)
    assert float((weights * draws).sum()) == pytest.approx(0.5, abs=0.03)


def test_stories_far_from_their_siblings_deviate() -> None:
    same = [1, 2, 3, 4]
    found = deviations([same, same, [7, 8, 9, 10]])
    assert found[2] == 1
    assert found[0] == pytest.approx(0.5)


@pytest.mark.parametrize("kind", ["logit", "log_d"])
def test_a_story_without_a_word_is_worth_less_than_any_with_one(kind: str) -> None:
    told = [opinion(-4.0), opinion(-5.0), opinion(-4.5)]
    recipe = RewardRecipe(kind=kind, penalty=0.5)
    values = rewards([None, *told], [0, 0, 4, 1], recipe, Scale(0.0, 1.0, seen=True), Scale())
    assert values[0] < values[1:].min()


def test_the_critic_is_heard_where_few_stories_have_a_word() -> None:
    """Two of four have one: weights that had to keep both would be equal whatever the critic says."""
    groups: Any = [
        SimpleNamespace(stories=[[1], [2], [3], [4]], reference=None, prompt=SimpleNamespace(ids=(), human=()))
    ]
    (lesson,), _ = coop_lessons(groups, [opinion(3.0), opinion(-3.0), None, None], least=2.0)
    first, second, *empty = [float(weight[0]) for weight in lesson.weights]
    assert first > 2 * second > 0
    assert max(empty) < 1e-3
