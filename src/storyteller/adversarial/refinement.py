"""Refinement as a stage of the training loop: tell, read, judge, learn; watched, and taken back when it goes wrong."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from storyteller.adversarial.adversary import Adversary, part_of
from storyteller.adversarial.balance import LEAST_DIVERGENCE, Balance
from storyteller.adversarial.marks import sentence_marks
from storyteller.adversarial.measuring import Measured, Score, UnjudgedError, end_ids, measure
from storyteller.adversarial.monitors import Alarm, Watch
from storyteller.adversarial.policy import Policy, Weights
from storyteller.adversarial.prompts import Prompt, PromptSets, draw, training_texts
from storyteller.adversarial.reading import Group, read_groups
from storyteller.adversarial.rewards import Rules, flat
from storyteller.adversarial.rollouts import drawing_dtype, sample
from storyteller.adversarial.trainers import ROUND_BASED, lessons_of, loss_of
from storyteller.adversarial.update import Lesson, batches, take_step
from storyteller.errors import TrainingError
from storyteller.recipe import Recipe
from storyteller.recipe.models import RefineRecipe
from storyteller.runs import Metrics, Run, read_json, write_atomic, write_json
from storyteller.runs.console import say
from storyteller.tokens import Template
from storyteller.train.checkpoint import State, load_checkpoint, rotate, save_checkpoint
from storyteller.train.loop import mix
from storyteller.train.memory import peak_memory
from storyteller.train.optim import build_optimizer
from storyteller.train.schedule import learning_rate

__all__ = ["Balance", "Refinement"]


class Refinement:
    """Generator against critic as a `train.drive.Stage`."""

    def __init__(
        self,
        recipe: Recipe,
        run: Run,
        policy: Policy,
        adversary: Adversary,
        template: Template,
        prompts: PromptSets,
        score: Score,
        save_adapter: Callable[[Path], None],
        load_adapter: Callable[[Path], None],
    ) -> None:
        assert recipe.train.steps is not None, "the stage resolves the number of steps"
        self.recipe, self.run, self.policy, self.adversary = recipe, run, policy, adversary
        self.template, self.prompts, self.score = template, prompts, score
        self._save_adapter, self._load_adapter = save_adapter, load_adapter
        self.refine: RefineRecipe = recipe.refine or RefineRecipe()
        self.optimizer = build_optimizer(policy.model, recipe.train)
        self.state, self.watch = State(), Watch(self.refine.monitors)
        self.balance = Balance(self.refine.kl)
        self.averaged: Weights = policy.weights()
        self.sampler: Weights = self.averaged
        marks = [sentence_marks(one.human, template.tokenizer, one.language) for one in prompts.train]
        known = training_texts(recipe.data, template.tokenizer)
        self.rules = Rules.of([one.human for one in prompts.train], marks, known)
        self.steps = recipe.train.steps
        self.evaluate_every = recipe.train.evaluate_every or max(1, math.ceil(self.steps / 8))
        self.save_every = recipe.train.save_every or self.evaluate_every
        self.save_minutes = recipe.train.save_minutes
        self.metrics: Metrics | None = None
        self._texts: list[tuple[str, str, str]] = []
        self._resumed_at = time.monotonic()

    @property
    def at(self) -> int:
        """Steps done."""
        return self.state.step

    @property
    def trainer(self) -> str:
        """How the critic's opinion is learned."""
        return self.refine.trainer

    def exhausted(self) -> bool:
        """Too many roll-backs, too many evaluations without gain, or out of time."""
        return self.why_ended() is not None

    def why_ended(self) -> str | None:
        """Why the run ends before its steps are done, or None."""
        if self.balance.rollbacks > self.refine.monitors.rollbacks:
            return f"rolled back {self.balance.rollbacks - 1} times, and once more would be needed"
        patience = self.recipe.train.patience
        if patience is not None and self.state.worse >= patience:
            return f"{self.state.worse} evaluations without gain"
        if self.refine.minutes is not None and self.seconds() > 60 * self.refine.minutes:
            return f"its {self.refine.minutes:g} minutes are over"
        return None

    def seconds(self) -> float:
        """Time spent on this run, before and after it was resumed."""
        return self.balance.seconds + time.monotonic() - self._resumed_at

    def agree(self, late: bool, stop: bool) -> tuple[bool, bool]:
        """One process: its wishes are everybody's."""
        return late, stop

    def tell(self, prompts: Sequence[Prompt], each: int, seed: int, weights: Weights | None = None) -> list[Group]:
        """Stories drawn with the adapter `weights` (None: as it is), read by the reference and the critic's projections."""
        rollout = self.refine.rollout
        with self.policy.wearing(weights), self.policy.merged(drawing_dtype(rollout)):
            stories = sample(
                self.policy, [prompt.ids for prompt in prompts], each, new_tokens=rollout.new_tokens,
                temperature=rollout.temperature, ends=end_ids(self.template, self.policy), seed=seed,
            )  # fmt: skip
        self._told_at = time.monotonic()
        return self.read(prompts, stories, seed)

    def spread(self, prompts: Sequence[Prompt], stories: int, seed: int) -> list[Group]:
        """About so many `stories`, to as many of the prompts as possible.

        Four to each prompt of a quarter of them would show the critic one human story four times.
        """
        return self.tell(prompts[:stories], math.ceil(stories / max(1, len(prompts))), seed)

    def read(self, prompts: Sequence[Prompt], stories: Sequence[list[list[int]]], seed: int) -> list[Group]:
        """Groups of stories that are already drawn."""
        rollout = self.refine.rollout
        fewer = (
            rollout.group // max(1, *map(len, stories)) if stories else 1
        )  # small groups leave room for more prompts
        return read_groups(
            self.policy, self.adversary.critic, self.template, prompts, stories, temperature=rollout.temperature,
            new_tokens=rollout.new_tokens, rows=self.recipe.train.rows * max(1, fewer), seed=seed,
        )  # fmt: skip

    def step(self) -> None:
        """One optimizer step of the policy, and what the critic learns from it."""
        began = time.monotonic()
        step, train = self.state.step, self.recipe.train
        prompts = draw(self.prompts.train, train.rows * train.accumulate, train.seed, step)
        try:
            figures = self._learn(prompts, step, began)
        except FloatingPointError as error:
            figures = {"loss": math.nan, "grad_norm": math.nan}
            self.run.event(f"step {step + 1}: {error}")
        self.state.step += 1
        self.state.last_loss = figures["loss"]
        figures |= {
            "kl_weight": self.balance.divergence,
            "lr": self._rate(step),
            "seconds_step": time.monotonic() - began,
            "memory_mb": peak_memory(self.policy.device) / 1e6,
        }
        if self.metrics is not None:
            self.metrics.write(self.state.step, "train", figures)
        _say_step(self.state.step, self.steps, figures)
        if alarms := self.watch.step(figures):
            self.roll_back(alarms)

    def _learn(self, prompts: Sequence[Prompt], step: int, began: float) -> dict[str, float]:
        train, seed = self.recipe.train, mix(self.recipe.train.seed, step)
        groups: list[Group] = []
        figures: dict[str, float] = {}
        if self.trainer == "iq":
            lessons = [Lesson(prompt.ids, [], [], [], prompt.human) for prompt in prompts]
        else:
            if self.trainer in ROUND_BASED and step % math.ceil(self.steps / self.refine.rounds) == 0:
                self._renew(step)
            groups = self.tell(
                prompts, self.refine.rollout.group, seed, self.sampler if self.trainer in ROUND_BASED else None
            )
            figures["seconds_rollout"] = self._told_at - began
            figures["seconds_reading"] = time.monotonic() - self._told_at
            opinions = self.adversary.opinions(flat(group.reads for group in groups))
            by_sentence = self.adversary.critic.by_sentence
            lessons, told = lessons_of(self.refine, groups, opinions, self.rules, self.balance, by_sentence=by_sentence)
            figures |= told
        now = time.monotonic()
        parts = batches(
            lessons, train.rows, self.refine.rollout.temperature, self.template.tokenizer.pad_id, self.policy.device
        )
        loss = loss_of(self.refine, self.balance, step / max(1, self.steps - 1))
        figures |= take_step(self.policy, self.optimizer, parts, loss, rate=self._rate(step), clip=train.clip)
        figures["seconds_update"] = time.monotonic() - now
        drawn = sum(len(story) for lesson in lessons for story in lesson.stories)
        human = sum(len(lesson.human) for lesson in lessons)
        # Human stories are branches of the same rows: replay has no pass of its own, but this share of one.
        figures["replay_share"] = human / max(1, drawn + human)
        self.state.targets += drawn
        now = time.monotonic()
        pairs = flat(group.pairs() for group in groups)
        if self.trainer in ROUND_BASED:  # the critic learns when a round begins
            figures |= self.adversary.keep_score(pairs)
        if self.trainer == "gail":
            figures |= self.adversary.keep_up(pairs, step)
            self.balance.steer(figures["kl"], self.refine.kl_target)
        figures["seconds_critic"] = time.monotonic() - now
        if self.balance.entropy and "entropy" in figures:
            figures["entropy_share"] = figures["entropy"] / self.balance.entropy
        self._average()
        return figures

    def _rate(self, step: int) -> float:
        return learning_rate(step, self.steps, self.recipe.train) * self.balance.rate

    def _average(self) -> None:
        decay, own = self.refine.ema, self.policy.weights()
        self.averaged = {name: decay * old + (1 - decay) * own[name] for name, old in self.averaged.items()}

    def _renew(self, step: int) -> None:
        """A new round: stories are drawn from the policy as it is now, and the critic learns to tell these."""
        self.sampler = self.policy.weights()
        if step == 0:
            return  # the critic has just learned the reference's stories
        refine, seed = self.refine, mix(self.recipe.train.seed, step, 11)
        own = draw(
            self.prompts.train, min(refine.critic.pool, len(self.prompts.train)), self.recipe.train.seed + 1, step
        )
        held = flat(group.pairs() for group in self.spread(self.prompts.held, refine.critic.pool // 4, seed))
        recent = flat(group.pairs() for group in self.spread(own, refine.critic.pool, seed))
        if not held or not recent:  # the monitor of dead groups will say the rest
            self.run.event(f"step {step}: a new round, in which no story has a word: the critic stays as it is")
            return
        self.adversary.memory.recent = recent
        done, stands = self.adversary.warm_up(held, refine.critic.warm_up, refine.critic.warm_up_accuracy)
        self.run.event(f"step {step}: a new round; the critic learned {done} steps and is {stands}")

    def evaluate(self) -> bool:
        """Measure on the dev prompts; True when J has never been higher. Alarms take the run back.

        What the judge cannot judge is no gain, and no end of a run that has gone on for hours.
        """
        began = time.monotonic()
        first = self.state.step == 0
        if first and self.watch.reference:  # the run was stopped after this and resumed
            return False
        try:
            measured = self.measured(self.prompts.dev, None, 1)
        except FloatingPointError as error:
            if first:  # the reference itself is broken
                raise TrainingError(f"{self.recipe.model.base}: {error}; fetch or train the model again.") from error
            self.state.worse += 1
            self.roll_back([Alarm("number", str(error))])
            return False
        except UnjudgedError as error:
            if first:  # then no evaluation would come through
                raise
            self.state.worse += 1
            self.run.event(f"step {self.state.step}: not judged: {error}")
            say(f"step {self.state.step}/{self.steps}  not judged: {error}")
            return False
        figures = measured.figures
        if first:
            self.watch.reference = dict(figures)
        gain = self.watch.objective(figures)
        alarms = [] if first else self.watch.evaluation(figures)
        best = -math.inf if self.state.best_loss is None else -self.state.best_loss
        better = first or (gain > best and not alarms)
        if better:
            self.state.best_loss, self.state.best_step, self.state.worse = -gain, self.state.step, 0
        else:
            self.state.worse += 1
        self._texts = measured.texts
        if self.metrics is not None:
            self.metrics.write(
                self.state.step, "dev", {**figures, "gain": gain, "seconds_monitor": time.monotonic() - began}
            )
        critic = f"critic AUC {figures['critic_auc']:.3f}  " if "critic_auc" in figures else ""
        say(
            f"step {self.state.step}/{self.steps}  judge AUC {figures['judge_auc']:.3f}  {critic}KL {figures['kl']:.3f}  "
            f"J {gain:+.4f}{'  (best so far)' if better else ''}"
        )
        if first:
            self.save(best=True)
        if alarms:
            self.roll_back(alarms)
        return better

    def measured(
        self, prompts: Sequence[Prompt], weights: Weights | None, seed: int, temperature: float | None = None
    ) -> Measured:
        """The figures of the adapter `weights` on `prompts`, at the rollouts' temperature or at another one."""
        rollout = self.refine.rollout
        if temperature is not None:
            rollout = rollout.model_copy(update={"temperature": temperature})
        return measure(
            self.policy, weights, self.adversary, self.template, prompts, self.rules, self.score, rollout,
            self.prompts.judged, rows=self.recipe.train.rows, seed=seed, learned=self.trainer != "iq",
        )  # fmt: skip

    def sample(self) -> None:
        """Write the first dev stories beside their human ones, after each evaluation."""
        if not self._texts:
            return
        parts = [
            f"## {asked}\n\n**Human**\n\n{human}\n\n**Drawn**\n\n{drawn}\n" for asked, human, drawn in self._texts[:8]
        ]
        write_atomic(self.run.folder / "samples" / f"step-{self.state.step:06d}.md", "\n".join(parts))
        self._texts = []

    def roll_back(self, alarms: Sequence[Alarm]) -> None:
        """Go back to the best checkpoint with half the rate and twice the divergence's weight, and say why."""
        reasons = "; ".join(map(str, alarms))
        self.balance.rollbacks += 1
        final = self.balance.rollbacks > self.refine.monitors.rollbacks
        best = self.run.pointed("best")
        assert best is not None, "the first evaluation saves a checkpoint"
        self.run.event(f"step {self.state.step}: alarm: {reasons}; back to {best[0].name}")
        say(f"step {self.state.step}/{self.steps}  ALARM  {reasons}; back to the best, step {best[1]['step']}")
        if self.metrics is not None:
            names = [alarm.monitor for alarm in alarms]
            told = {"alarms": names, "reason": reasons, "rollback": self.balance.rollbacks}
            self.metrics.write(self.state.step, "alarm", told)
        self._restore(best[0], whole=False)
        self.sampler = self.policy.weights()  # `coop` and `pairs` draw with it until their round ends
        self.balance.rate *= 0.5
        self.balance.divergence = max(2 * self.balance.divergence, LEAST_DIVERGENCE)
        self.watch.calm()
        memory = self.adversary.memory
        if not final and self.trainer != "iq" and (memory.recent or memory.pool):
            known, accuracy = [*memory.recent, *memory.pool], self.adversary.accuracy
            self.adversary.warm_up(known[:64], self.refine.critic.rewarm_steps)
            self.adversary.accuracy = accuracy  # of pairs that it had not learned from, which these are not

    def save(self, *, best: bool) -> None:
        """Write a checkpoint: adapter, moments, critic, memory, averages, balance and monitors."""
        folder = save_checkpoint(self.run, self.state, self.policy.model, self.optimizer, self._write)
        self.run.point("last", folder, step=self.state.step)
        if best:
            self.run.point("best", folder, step=self.state.step, gain=-(self.state.best_loss or 0.0))
        rotate(self.run, self.recipe.train.keep)

    def go_back(self, folder: Path) -> None:
        """Take weights, averages and critic from a checkpoint of this run."""
        self._restore(folder, whole=False)

    def resume(self, folder: Path) -> None:
        """Go on from a checkpoint, exactly."""
        self._restore(folder, whole=True)
        if self.state.best_step == self.state.step:  # a kill may have come between the checkpoint and the pointer
            self.run.point("best", folder, step=self.state.step, gain=-(self.state.best_loss or 0.0))
        self._resumed_at = time.monotonic()

    def _write(self, folder: Path) -> None:
        from safetensors.torch import save_file

        self._save_adapter(folder)
        tensors = self.adversary.tensors()
        for kind, weights in (("averaged", self.averaged), ("sampler", self.sampler)):
            tensors |= {f"{kind}/{name}": tensor.cpu().clone() for name, tensor in weights.items()}
        save_file(tensors, folder / "adversary.safetensors")
        balance = asdict(self.balance) | {"seconds": self.seconds()}
        write_json(
            folder / "adversary.json",
            {"balance": balance, "watch": self.watch.to_json(), "adversary": self.adversary.values()},
        )

    def _restore(self, folder: Path, *, whole: bool) -> None:
        """Fill everything from a checkpoint; not `whole`: the step, the counters and the memory stay as they are."""
        from safetensors.torch import load_file

        self.optimizer.state.clear()
        state = load_checkpoint(folder, self.policy.model, self.optimizer, self._load_adapter)
        tensors, values = load_file(folder / "adversary.safetensors"), read_json(folder / "adversary.json")
        self.averaged = self._taken(tensors, "averaged")
        self.adversary.restore(tensors, values["adversary"], keep_memory=not whole)
        balance = Balance.from_json(values["balance"])
        self.balance.realism, self.balance.coherence = balance.realism, balance.coherence
        if whole:
            self.state = state
            self.sampler = self._taken(tensors, "sampler")
            self.balance = balance
            self.watch = Watch.from_json(self.refine.monitors, values["watch"])

    def _taken(self, tensors: dict[str, Tensor], kind: str) -> Weights:
        return {name: tensor.to(self.policy.device) for name, tensor in part_of(tensors, kind).items()}


def _say_step(step: int, steps: int, figures: dict[str, float]) -> None:
    shown = {"loss": "loss", "reward": "reward", "kl": "KL", "critic_accuracy": "critic", "human_loss": "human loss"}
    told = "  ".join(f"{name} {figures[key]:.3f}" for key, name in shown.items() if key in figures)
    say(f"step {step}/{steps}  {told}  {figures['seconds_step']:.1f} s")
