"""Every monitor trips for its reason, and only then."""

from __future__ import annotations

import json
import math

import pytest

from storyteller.adversarial.balance import Balance
from storyteller.adversarial.measuring import auc
from storyteller.adversarial.monitors import GUARDS, Watch, violations
from storyteller.recipe.models import MonitorsRecipe

RECIPE = MonitorsRecipe()
HEALTHY = {
    "loss": 1.0, "grad_norm": 0.5, "kl": 0.05, "critic_accuracy": 0.75, "critic_updates": 1.0, "reward_std": 0.5,
    "dead_groups": 0.0, "entropy_share": 1.0,
}  # fmt: skip
REFERENCE = {
    "judge_auc": 0.8, "critic_auc": 0.8, "kl": 0.0, "entropy": 3.0, "human_nll": 3.0, "distinct_2": 0.6,
    "self_bleu": 0.3, "rep_4": 0.02, "length": 90.0, "endings": 0.95, "copying": 0.01,
}  # fmt: skip


def tripped(changes: dict[str, float], steps: int = 12) -> list[str]:
    watch = Watch(RECIPE)
    for _ in range(15):
        assert watch.step(HEALTHY) == []
    found: list[str] = []
    for _ in range(steps):
        found += [alarm.monitor for alarm in watch.step(HEALTHY | changes)]
    return sorted(set(found))


@pytest.mark.parametrize(
    ("changes", "monitor"),
    [
        ({"critic_accuracy": 0.99}, "critic_accuracy"),
        ({"critic_accuracy": 0.50}, "critic_accuracy"),
        ({"kl": 0.4}, "kl"),
        ({"reward_std": 0.01}, "reward"),
        ({"dead_groups": 0.7}, "reward"),
        ({"entropy_share": 0.6}, "entropy"),
        ({"grad_norm": 6.0}, "grad_norm"),
        ({"grad_norm": math.nan}, "number"),
        ({"loss": math.inf}, "number"),
    ],
)
def test_a_step_out_of_bounds_is_told(changes: dict[str, float], monitor: str) -> None:
    assert tripped(changes) == [monitor]


@pytest.mark.parametrize("changes", [{"critic_accuracy": 0.99}, {"reward_std": 0.01}])
def test_a_few_bad_steps_are_no_alarm(changes: dict[str, float]) -> None:
    assert tripped(changes, steps=9) == []


@pytest.mark.parametrize(("accuracy", "alarms"), [(0.99, 0), (0.50, 1)])
def test_a_critic_that_rests_between_rounds_may_win_and_not_be_beaten(accuracy: float, alarms: int) -> None:
    watch = Watch(RECIPE)
    figures = {"loss": 1.0, "grad_norm": 0.5, "critic_accuracy": accuracy}
    assert sum(len(watch.step(figures)) for _ in range(RECIPE.patience_steps)) == alarms


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("distinct_2", 0.56), ("self_bleu", 0.34), ("rep_4", 0.05), ("length", 70.0), ("length", 110.0),
        ("endings", 0.8), ("human_nll", 3.1), ("copying", 0.04), ("entropy", 2.0), ("kl", 0.2), ("rep_4", math.nan),
    ],
)  # fmt: skip
def test_an_evaluation_out_of_bounds_is_told(name: str, value: float) -> None:
    (alarm,) = violations(REFERENCE | {name: value}, REFERENCE, RECIPE)
    assert alarm.monitor == name
    assert "is allowed" in str(alarm)


def test_a_judge_that_guesses_is_no_gain() -> None:
    watch = Watch(MonitorsRecipe(), reference={"judge_auc": 0.55})
    assert watch.objective({"judge_auc": 0.5}) == watch.objective({"judge_auc": 0.41}) == pytest.approx(0.05)
    assert Watch(MonitorsRecipe(), reference={"judge_auc": 0.45}).objective({"judge_auc": 0.5}) == 0


def test_the_reference_breaks_no_guardrail_and_has_no_gain() -> None:
    watch = Watch(RECIPE, dict(REFERENCE))
    assert violations(REFERENCE, REFERENCE, RECIPE) == []
    assert watch.objective(REFERENCE) == 0
    assert set(GUARDS) <= REFERENCE.keys()


def test_the_objective_is_the_judges_less_the_guardrails() -> None:
    watch = Watch(RECIPE, dict(REFERENCE))
    better = REFERENCE | {"judge_auc": 0.75}
    assert watch.objective(better) == pytest.approx(0.05)
    # At its limit a guardrail costs one weight, within what is healthy nothing.
    assert watch.objective(better | {"rep_4": 0.04}) == pytest.approx(0.05 - RECIPE.guard_weight)
    assert watch.objective(better | {"rep_4": 0.03}) == pytest.approx(0.05)


def test_pleasing_the_critic_alone_is_told() -> None:
    watch = Watch(RECIPE, dict(REFERENCE))
    found = []
    for critic in (0.8, 0.76, 0.72, 0.68):
        found = watch.evaluation(REFERENCE | {"critic_auc": critic})
    assert [alarm.monitor for alarm in found] == ["judge"]
    watch = Watch(RECIPE, dict(REFERENCE))
    for fall in (0.0, 0.04, 0.08, 0.12):
        found = watch.evaluation(REFERENCE | {"critic_auc": 0.8 - fall, "judge_auc": 0.8 - fall})
    assert found == []


def test_a_watch_survives_as_json() -> None:
    watch = Watch(RECIPE, dict(REFERENCE))
    for _ in range(4):
        watch.step(HEALTHY | {"critic_accuracy": 0.99})
        watch.evaluation(REFERENCE)
    again = Watch.from_json(RECIPE, json.loads(json.dumps(watch.to_json())))
    assert again == watch
    again.calm()
    assert (again.high, again.norms, again.reference) == (0, [], REFERENCE)


def test_the_divergences_weight_is_steered_to_its_target() -> None:
    balance = Balance(0.02)
    balance.steer(0.1, 0.05)
    assert balance.divergence == pytest.approx(0.022)
    balance.steer(0.05, 0.05)
    assert balance.divergence == pytest.approx(0.022)
    for _ in range(100):
        balance.steer(0.0, 0.05)
    assert balance.divergence == pytest.approx(1e-3)
    off = Balance(0.0)
    off.steer(1.0, None)
    assert off.divergence == 0
    off.steer(0.0, 0.05)
    assert off.divergence == 0
    off.steer(1.0, 0.05)
    assert off.divergence > 0


def test_auc_counts_wins_and_half_of_the_ties() -> None:
    assert auc([3, 2], [1, 2]) == pytest.approx(3.5 / 4)
    assert auc([], [1]) == 0.5
