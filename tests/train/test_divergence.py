"""A run that has come to nothing ends, says why, and leaves what was good."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.train.conftest import MakeRecipe

from storyteller.errors import ModelError, TrainingError
from storyteller.models import load_model, locate
from storyteller.runs import Run
from storyteller.train import finetune
from storyteller.train.checkpoint import State
from storyteller.train.divergence import check_loss


def after(losses: list[float], state: State | None = None) -> State:
    state = state or State()
    for loss in losses:
        check_loss(state, loss, 1.0, scaled=False)
        state.step += 1
    return state


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(8, 60))
def test_noise_is_no_divergence(seed: int, steps: int) -> None:
    state = after(np.random.default_rng(seed).uniform(2.0, 2.9, steps).tolist())
    assert state.smoothed is not None
    assert state.lowest is not None
    assert 2.0 <= state.lowest <= state.smoothed + 1e-9


def test_a_lucky_first_batch_is_no_divergence() -> None:
    ended = 0
    for seed in range(400):
        noise = np.random.default_rng(seed).normal(2.0, 0.5, 303).clip(0.2)
        try:
            # The untouched model's loss is the mean of three batches, as it is measured before a run.
            after(noise[3:].tolist(), State(lowest=float(noise[:3].mean())))
        except TrainingError:
            ended += 1
    assert ended <= 8  # the first step's batch alone as the measure ended 67


@settings(deadline=None)
@given(st.floats(1.0, 5.0), st.floats(2.0, 10.0), st.integers(1, 30))
def test_a_loss_that_stays_twice_as_high_ends_it_within_ten_steps(low: float, times: float, calm: int) -> None:
    state = after([low] * calm)
    with pytest.raises(TrainingError, match="training diverges"):
        after([low * times] * 10, state)


def test_one_bad_batch_does_not_end_it() -> None:
    for calm in range(11):
        after([3.0] * calm + [9.0] + [3.0] * 20, State(lowest=3.0))


def test_an_explosion_in_the_second_step_ends_it(small: MakeRecipe, tmp_path: Path) -> None:
    recipe = small("model.method=full", "train.lr=0.9", "train.warmup=0", "train.steps=30")
    # No evaluation was better than the one before the first step, so no checkpoint is to be promised.
    with pytest.raises(TrainingError, match=r"training diverges.*No checkpoint was better than the model was") as told:
        finetune(recipe, tmp_path / "run")
    assert Run(tmp_path / "run").pointed("best") is None
    assert (tmp_path / "run" / "events.log").read_text("utf-8").endswith(f" {told.value}\n")
    with pytest.raises(ModelError, match=r"no best checkpoint.*events\.log"):
        locate(tmp_path / "run")


def test_without_evaluation_no_best_checkpoint_is_promised() -> None:
    with pytest.raises(TrainingError, match=r"What was saved before is kept\. Lower"):
        after([3.0] + [9.0] * 10)


def test_no_number_ends_it_at_once() -> None:
    for loss, norm in ((math.nan, 1.0), (math.inf, 1.0), (3.0, math.nan)):
        with pytest.raises(TrainingError, match="--find-lr"):
            check_loss(State(), loss, norm, scaled=False)
    check_loss(State(), 3.0, math.inf, scaled=True)  # float16: the step is left out


def test_the_best_checkpoint_is_kept(small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six good steps, then a rate that no model survives."""
    from storyteller.train import loop

    usual = loop.Plan.rate
    monkeypatch.setattr(loop.Plan, "rate", lambda plan, step: usual(plan, step) if step < 6 else 30.0)
    recipe = small("model.method=full", "train.lr=1e-3", "train.steps=60", "train.evaluate_every=2", "train.keep=1")
    with pytest.raises(TrainingError, match=r"diverges.*The best checkpoint, of step 6, is kept.*Lower train\.lr"):
        finetune(recipe, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    best = run.pointed("best")
    assert best is not None
    assert best[1]["step"] == 6
    assert not run.final.exists()
    load_model(locate(run.folder))  # what is written with now
