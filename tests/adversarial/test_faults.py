"""What goes wrong in a refinement is said and taken back, by every trainer, and nothing of it stays."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.adversarial.conftest import MakeRecipe, alarmed, lines, stand_in

from storyteller.adversarial import refine
from storyteller.adversarial.adversary import Adversary
from storyteller.adversarial.critic import Opinion
from storyteller.adversarial.gail import policy_gradient
from storyteller.adversarial.refinement import Refinement
from storyteller.adversarial.rewards import Scale
from storyteller.errors import CheckpointError
from storyteller.recipe import Recipe
from storyteller.runs import Run
from storyteller.train.checkpoint import moments


@pytest.fixture(autouse=True)
def _no_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storyteller.adversarial.report.plot_refinement", lambda *_: None)


def before_step(monkeypatch: pytest.MonkeyPatch, at: int, spoil: Callable[[Refinement], None]) -> None:
    """Let `spoil` have the stage before the step that follows step `at`."""
    step = Refinement.step

    def spoiled(stage: Refinement) -> None:
        if stage.at == at:
            spoil(stage)
        step(stage)

    monkeypatch.setattr(Refinement, "step", spoiled)


def test_without_divergence_the_drift_is_caught(small: MakeRecipe, tmp_path: Path) -> None:
    recipe = small(
        "refine.kl=0", "refine.kl_target=null", "refine.replay=[0, 0]", "train.lr=0.3", "train.warmup=0",
        "refine.monitors.kl=[0.08, 0.15]", "train.steps=5",
    )  # fmt: skip
    run = refine(recipe, tmp_path / "run", stand_in)
    (first, *_) = alarmed(run, "kl")
    caught = [line["kl_weight"] for line in lines(run, "train") if line["step"] > first["step"]]
    assert all(weight > 0 for weight in caught)  # the roll-back turns the divergence on


def test_without_replay_forgetting_is_caught(small: MakeRecipe, tmp_path: Path, tiny_llama: Path, corpus: Path) -> None:
    """Only who has learned something can forget it: here the reference is fitted to the stories first."""
    from storyteller.recipe import load_recipe
    from storyteller.train import finetune

    fitted = finetune(
        load_recipe(None, [f"model.base={tiny_llama}", f"data.path={corpus}", "data.context=128", "train.steps=25",
                           "train.rows=8", "train.accumulate=1", "train.lr=0.02", "model.method=full",
                           "samples.prompts=[]", "train.evaluate_rows=2", "train.evaluate_every=25"]),
        tmp_path / "fitted",
    )  # fmt: skip
    recipe = small(
        f"model.base={fitted.folder}", "refine.replay=[0, 0]", "refine.kl=0", "refine.kl_target=null",
        "train.lr=0.99", "train.warmup=0", "refine.monitors.human_nll=[0.03, 0.07]", "train.steps=4",
        "train.evaluate_every=1", "train.schedule=constant",
    )  # fmt: skip
    alarmed(refine(recipe, tmp_path / "run", stand_in), "human_nll")


def test_a_critic_that_learns_a_hundred_times_too_fast_is_caught(small: MakeRecipe, tmp_path: Path) -> None:
    recipe = small(
        "refine.critic.lr=0.03", "refine.critic.warm_up=60", "refine.critic.warm_up_accuracy=1",
        "refine.critic.skip_above=1", "refine.monitors.accuracy_high=0.8", "refine.monitors.accuracy_low=0.0",
        "refine.monitors.patience_steps=2",
    )  # fmt: skip
    alarmed(refine(recipe, tmp_path / "run", stand_in), "critic_accuracy")


@pytest.mark.parametrize("trainer", ["coop", "pairs"])
def test_a_beaten_critic_is_caught_by_trainers_with_rounds_too(small: MakeRecipe, tmp_path: Path, trainer: str) -> None:
    recipe = small(
        f"refine.trainer={trainer}", "refine.rounds=1", "refine.monitors.accuracy_low=2", "refine.monitors.accuracy_high=3",
        "refine.monitors.patience_steps=2", "refine.monitors.rollbacks=0", "train.steps=3",
    )  # fmt: skip
    run = refine(recipe, tmp_path / "run", stand_in)
    (first,) = alarmed(run, "critic_accuracy")
    assert "its reward is noise" in first["reason"]
    steps = lines(run, "train")
    assert all({"critic_accuracy", "critic_step_accuracy"} <= line.keys() for line in steps)
    assert all("critic_updates" not in line for line in steps)


def test_a_constant_reward_is_caught(small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def indifferent(self: Adversary, reads: Sequence[Any], rows: int = 64) -> list[Opinion | None]:
        return [read and Opinion(torch.zeros(2, len(read.ends)), torch.zeros(2, len(read.ends))) for read in reads]

    monkeypatch.setattr(Adversary, "opinions", indifferent)
    recipe = small(
        "refine.reward.penalty=0", "refine.monitors.reward_std=0.05", "refine.monitors.dead_groups=0.6",
        "refine.monitors.patience_steps=2", "train.steps=3", "refine.rollout.new_tokens=32",
    )  # fmt: skip
    alarmed(refine(recipe, tmp_path / "run", stand_in), "reward")


@pytest.mark.parametrize("where", ["weights", "gradient"])
def test_a_nan_is_caught_and_the_weights_are_restored(
    small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    step = Refinement.step

    def broken(tokens: Any, batch: Any) -> Any:
        return tokens.logprob.sum() * math.nan, {"kl": 0.0, "entropy": 1.0}

    def poisoned(stage: Refinement) -> None:
        now = stage.at == 1
        if now and where == "weights":
            with torch.no_grad():
                next(p for name, p in stage.policy.model.named_parameters() if "lora_B" in name).fill_(math.nan)
        with monkeypatch.context() as patched:
            if now and where == "gradient":
                patched.setattr("storyteller.adversarial.trainers.policy_gradient", lambda **_: broken)
            step(stage)
        assert all(value.isfinite().all() for value in stage.policy.weights().values())

    monkeypatch.setattr(Refinement, "step", poisoned)
    run = refine(small("train.lr=0.001"), tmp_path / "run", stand_in)
    (first,) = alarmed(run, "number")
    assert first["step"] == 2
    rates = {line["step"]: line["lr"] for line in lines(run, "train")}
    assert rates[3] < 0.6 * rates[2]
    assert len(lines(run, "train")) == 4


def test_a_roll_back_takes_the_sampler_back_too(
    small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second round's stories are drawn with a policy that is then taken back: its sampler must not draw on."""
    roll_back, seen = Refinement.roll_back, []

    def watched(stage: Refinement, alarms: Any) -> None:
        before = stage.sampler
        roll_back(stage, alarms)
        own = stage.policy.weights()
        seen.append(
            (
                any(not torch.equal(before[name], own[name]) for name in own),
                all(torch.equal(stage.sampler[name], own[name]) for name in own),
            )
        )

    monkeypatch.setattr(Refinement, "roll_back", watched)
    recipe = small(
        "refine.trainer=coop", "refine.rounds=4", "train.evaluate_every=4", "refine.monitors.self_bleu=[-2, -1]",
        "refine.monitors.rollbacks=1", "train.schedule=constant", "train.warmup=0",
    )  # fmt: skip
    alarmed(refine(recipe, tmp_path / "run", stand_in), "self_bleu")
    assert seen[0] == (True, True)


def test_a_scale_forgets_what_is_no_number() -> None:
    scale = Scale()
    scale.update(torch.tensor([1.0, 3.0, math.nan]))
    scale.update(torch.tensor([math.inf]))
    assert (scale.mean, scale.variance) == (2.0, 1.0)


def test_a_critic_without_numbers_is_one_alarm(
    small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @torch.no_grad()
    def spoil(stage: Refinement) -> None:
        next(stage.adversary.critic.parameters()).fill_(math.nan)

    before_step(monkeypatch, 1, spoil)
    run = refine(small("train.steps=4"), tmp_path / "run", stand_in)
    assert [line["step"] for line in lines(run, "alarm")] == [2]
    assert all(math.isfinite(line["reward"]) for line in lines(run, "train") if line["step"] > 2)
    saved = load_file(run.folder / "checkpoints" / "step-000004" / "adversary.safetensors")
    assert all(value.isfinite().all() for value in saved.values() if value.is_floating_point())


def test_a_critic_takes_no_step_without_numbers(
    small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storyteller.adversarial import adversary

    loss = adversary.critic_loss
    monkeypatch.setattr(
        adversary, "critic_loss", lambda *a: (math.nan * loss(*a)[0], {}) if a[0].training else loss(*a)
    )
    run = refine(small("train.steps=1", "train.evaluate_every=1"), tmp_path / "run", stand_in)
    saved = load_file(run.folder / "checkpoints" / "step-000001" / "adversary.safetensors")
    assert all(value.isfinite().all() for name, value in saved.items() if name.startswith("critic/"))


def test_weights_that_break_in_the_step_before_an_evaluation(
    small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Refinement.step

    def spoiled(stage: Refinement) -> None:
        step(stage)
        if stage.at == 2:
            next(p for name, p in stage.policy.model.named_parameters() if "lora_B" in name).data.fill_(math.nan)

    monkeypatch.setattr(Refinement, "step", spoiled)
    run = refine(small(), tmp_path / "run", stand_in)
    assert [(line["step"], line["alarms"]) for line in lines(run, "alarm")] == [(2, ["number"])]
    assert len(lines(run, "train")) == 4


def test_a_roll_back_brings_everything_of_the_best_back(
    small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, torch.Tensor] = {}
    same: list[bool] = []
    save, roll_back = Refinement.save, Refinement.roll_back

    def everything(stage: Refinement) -> dict[str, torch.Tensor]:
        parts = {"own": stage.policy.weights(), "averaged": stage.averaged}
        parts |= {
            "moments": moments(stage.policy.model, stage.optimizer),
            "critic": stage.adversary.critic.state_dict(),
        }
        return {f"{kind}/{name}": t.clone() for kind, each in parts.items() for name, t in each.items()}

    def saving(stage: Refinement, *, best: bool) -> None:
        if best:
            kept.clear()
            kept.update(everything(stage))
        save(stage, best=best)

    def watched(stage: Refinement, alarms: Any) -> None:
        before = everything(stage)
        assert any(not torch.equal(before[name], kept[name]) for name in kept)
        roll_back(stage, alarms)
        now = everything(stage)
        same.append(now.keys() == kept.keys() and all(torch.equal(now[name], kept[name]) for name in kept))

    monkeypatch.setattr(Refinement, "save", saving)
    monkeypatch.setattr(Refinement, "roll_back", watched)
    recipe = small(
        "refine.monitors.self_bleu=[-2, -1]", "refine.monitors.rollbacks=1", "refine.critic.rewarm_steps=0",
        "refine.critic.skip_above=1", "train.warmup=0", "train.evaluate_every=2", "train.schedule=constant",
    )  # fmt: skip
    refine(recipe, tmp_path / "run", stand_in)
    assert same[0]


@pytest.mark.parametrize("trainer", ["coop", "pairs"])
@pytest.mark.parametrize("story", [[2], [60, 61, 49, 62, 49, 2]], ids=["empty", "the same"])
def test_stories_without_a_difference_are_an_alarm_for_every_trainer(
    small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainer: str, story: list[int]
) -> None:
    from storyteller.adversarial.rollouts import sample

    begun: list[int] = []

    def told(policy: Any, prompts: Sequence[Any], group: int, **options: Any) -> Any:
        return [[list(story)] * group for _ in prompts] if begun else sample(policy, prompts, group, **options)

    monkeypatch.setattr("storyteller.adversarial.refinement.sample", told)
    before_step(monkeypatch, 0, lambda stage: begun.append(stage.at))
    recipe = small(
        f"refine.trainer={trainer}", "refine.monitors.dead_groups=0.6", "refine.monitors.patience_steps=2",
        "refine.rounds=2", "refine.monitors.length=[50, 90]", "refine.monitors.rep_4=[5, 9]",
        "refine.monitors.self_bleu=[5, 9]",
    )  # fmt: skip
    run = refine(recipe, tmp_path / "run", stand_in)
    first, *_ = lines(run, "alarm")
    assert (first["step"], first["alarms"]) == (2, ["reward"])
    assert "100% of the groups" in first["reason"]
    if story == [2]:  # then nothing was learned from them either
        assert all("kl" not in line for line in lines(run, "train"))


def test_a_roll_back_doubles_the_divergence_that_coop_learns_with(
    small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights: list[float] = []

    def loss(*, divergence: float, replay: float) -> Any:
        weights.append(divergence)
        return policy_gradient(divergence=divergence, replay=replay)

    monkeypatch.setattr("storyteller.adversarial.trainers.policy_gradient", loss)
    recipe = small(
        "refine.trainer=coop", "refine.kl=0.5", "refine.monitors.self_bleu=[-2, -1]", "refine.monitors.rollbacks=3"
    )
    refine(recipe, tmp_path / "run", stand_in)
    assert weights == [0.5, 0.5, 1.0, 1.0]


def test_lower_layers_learn_with_their_share_of_the_rate(
    small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[tuple[float, float]] = []
    step = Refinement.step

    def watched(stage: Refinement) -> None:
        step(stage)
        rates.extend((group["share"], group["lr"]) for group in stage.optimizer.param_groups)

    monkeypatch.setattr(Refinement, "step", watched)
    refine(small("train.layer_decay=0.5", "train.steps=1", "refine.trainer=iq"), tmp_path / "run", stand_in)
    assert len({share for share, _ in rates}) > 1
    top = max(rates)[1]
    assert all(rate == pytest.approx(share * top) for share, rate in rates)


def test_the_control_asks_no_critic(small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads that never learned would say by chance that the policy learns to please them."""

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the critic was asked")

    monkeypatch.setattr(Adversary, "opinions", never)
    run = refine(small("refine.trainer=iq", "refine.td=0"), tmp_path / "run", stand_in)
    assert not (run.folder / "pool.safetensors").exists()
    assert all("critic_auc" not in line for line in lines(run, "dev"))


def test_a_copy_from_anywhere_in_a_training_story_is_one(
    small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from storyteller.corpus import read_split

    shares: list[float] = []

    def look(stage: Refinement) -> None:
        story = max(read_split(stage.recipe.data.path, "train"), key=lambda one: len(one.text))
        ids = stage.template.tokenizer.encode(story.text)
        shares.extend([stage.rules.copied_share(ids[-60:]), stage.rules.copied_share(ids[::-1][:60])])

    before_step(monkeypatch, 0, look)
    refine(small("train.steps=1"), tmp_path / "run", stand_in)
    assert shares == [1.0, 0.0]


class StopError(Exception):
    pass


def test_a_run_that_was_ended_before_its_first_step_measures_it_once(
    small: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: Refinement) -> None:
        raise StopError

    with monkeypatch.context() as patched:
        before_step(patched, 0, stop)
        with pytest.raises(StopError):
            refine(small("train.precision=auto", "refine.rollout.precision=auto"), tmp_path / "run", stand_in)
    recipe = Run.open(tmp_path / "run").recipe()
    assert recipe.refine is not None
    assert "auto" not in (recipe.train.precision, recipe.refine.rollout.precision)  # another load would choose anew
    run = refine(Recipe(), tmp_path / "run", stand_in, resume=True)
    assert [line["step"] for line in lines(run, "dev")] == [0, 2, 4]


def test_another_corpus_is_told_when_a_run_resumes(small: MakeRecipe, tmp_path: Path, corpus: Path) -> None:
    """Its prompts would be others, and their figures compared with those that the first ones gave."""
    own = tmp_path / "own"
    shutil.copytree(corpus, own)
    run = refine(small("train.steps=1", f"data.path={own}"), tmp_path / "run", stand_in)
    train = own / "train.jsonl"
    train.write_text(train.read_text("utf-8").replace("the", "that"), encoding="utf-8")
    with pytest.raises(CheckpointError, match="has changed since the run began"):
        refine(Recipe(), tmp_path / "run", stand_in, resume=True)
    data = json.loads((run.folder / "data.json").read_text("utf-8"))
    data.pop("hash")  # runs from before it was kept
    (run.folder / "data.json").write_text(json.dumps(data), encoding="utf-8")
    refine(Recipe(), tmp_path / "run", stand_in, resume=True)


def test_a_damaged_pool_is_told(small: MakeRecipe, tmp_path: Path) -> None:
    run = refine(small("train.steps=1"), tmp_path / "run", stand_in)
    pool = run.folder / "pool.safetensors"
    pool.write_bytes(pool.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"pool\.safetensors cannot be read"):
        refine(Recipe(), tmp_path / "run", stand_in, resume=True)
