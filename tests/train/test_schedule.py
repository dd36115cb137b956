"""The learning rate is a function of the step, and says where it starts and where it ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storyteller.recipe import TrainRecipe
from storyteller.train.schedule import learning_rate, warmup_steps

_SHAPES = st.sampled_from(["constant", "linear", "cosine", "wsd"])
_RECIPES = st.builds(
    TrainRecipe,
    lr=st.floats(1e-6, 0.5),
    schedule=_SHAPES,
    warmup=st.floats(0, 0.9) | st.integers(0, 20).map(float),
    floor=st.floats(0, 1),
    decay_share=st.floats(0.01, 1),
)
_STEPS = st.integers(1, 300)


def rates(recipe: TrainRecipe, steps: int) -> list[float]:
    return [learning_rate(step, steps, recipe) for step in range(steps)]


@given(_RECIPES, _STEPS)
def test_it_rises_over_the_warmup_and_never_again(recipe: TrainRecipe, steps: int) -> None:
    warm = min(warmup_steps(recipe, steps), steps)
    values = rates(recipe, steps)
    assert values[:warm] == sorted(values[:warm])
    assert values[max(0, warm - 1) :] == sorted(values[max(0, warm - 1) :], reverse=True)
    assert warm == 0 or values[warm - 1] == recipe.lr
    assert warm == 0 or values[0] == pytest.approx(recipe.lr / warm, rel=1e-12)
    assert all(0 <= value <= recipe.lr * (1 + 1e-12) for value in values)


@given(_RECIPES, _STEPS)
def test_the_step_after_the_last_would_have_the_floor(recipe: TrainRecipe, steps: int) -> None:
    end = recipe.lr * recipe.floor if recipe.schedule != "constant" else recipe.lr
    assert abs(learning_rate(steps, steps, recipe) - end) <= 1e-12
    assert learning_rate(steps - 1, steps, recipe) > 0  # no step for nothing, not even the only one


@given(_RECIPES, _STEPS)
def test_it_remembers_nothing(recipe: TrainRecipe, steps: int) -> None:
    forward = rates(recipe, steps)
    backward = [learning_rate(step, steps, recipe) for step in reversed(range(steps))]
    assert forward == backward[::-1]


def test_warmup_is_a_share_or_a_number_of_steps() -> None:
    assert warmup_steps(TrainRecipe(warmup=0.05), 200) == 10
    assert warmup_steps(TrainRecipe(warmup=30), 200) == 30


def test_wsd_is_stable_until_its_decay() -> None:
    values = rates(TrainRecipe(lr=0.1, schedule="wsd", warmup=10, decay_share=0.2), 100)
    assert values[9:80] == [0.1] * 71
    assert values[80] < 0.1
    assert 0 < values[-1] < 0.005


def test_cosine_is_half_way_down_in_the_middle() -> None:
    values = rates(TrainRecipe(lr=0.1, schedule="cosine", warmup=0, floor=0.5), 99)
    assert abs(values[49] - 0.075) < 1e-9
