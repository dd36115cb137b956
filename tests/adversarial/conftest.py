"""A small English corpus of our own stories, a tiny policy, and groups of the tiny model's stories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from storyteller.adversarial.policy import Policy
from storyteller.corpus import prepare
from storyteller.models import apply_lora, load_model, locate
from storyteller.recipe import LoraRecipe, Recipe, load_recipe
from storyteller.runs import Run
from storyteller.tokens import StoryTokenizer, Template

STORIES = Path(__file__).parents[2] / "examples" / "stories" / "en"

SMALL = (
    "data.context=256", "train.precision=float32", "train.steps=4", "train.rows=2", "train.accumulate=1", "train.lr=0.01",
    "train.evaluate_every=2",
    "refine.rollout.new_tokens=24", "refine.rollout.prompt_tokens=256", "refine.rollout.dev_prompts=4",
    "refine.rollout.group=3", "refine.critic.pool=12", "refine.critic.warm_up=4", "refine.critic.pairs=4",
    "refine.critic.width=8", "refine.critic.rewarm_steps=2", "refine.scales=[1.0]", "refine.frontier=[]",
    "refine.critic.probe_limit=1.0",
    "refine.monitors.accuracy_high=2", "refine.monitors.accuracy_low=-1", "refine.monitors.distinct_2=[0.1, 0.0]",
    "refine.monitors.length=[5, 9]", "refine.monitors.human_nll=[5, 9]", "refine.monitors.kl=[5, 9]",
    "refine.monitors.entropy=[0.1, 0.0]", "refine.monitors.endings=[1, 2]", "refine.monitors.grad_spike=1000",
    "refine.monitors.reward_std=0", "refine.monitors.dead_groups=1",
)  # fmt: skip
"""A run of four steps in which no monitor trips by chance."""

MakeRecipe = Callable[..., Recipe]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refined") / "prepared"
    prepare([STORIES], folder)
    return folder


@pytest.fixture
def small(corpus: Path, tiny_llama: Path) -> MakeRecipe:
    return lambda *more: load_recipe(None, [f"model.base={tiny_llama}", f"data.path={corpus}", *SMALL, *more])


@pytest.fixture
def template(tiny_llama: Path) -> Template:
    return Template.for_tokenizer(StoryTokenizer.load(tiny_llama))


@pytest.fixture
def policy(tiny_llama: Path) -> Policy:
    return moved(load_policy(tiny_llama))


def load_policy(folder: Path) -> Policy:
    return Policy(apply_lora(load_model(locate(folder)), LoraRecipe(rank=4), seed=1))


def moved(policy: Policy, by: float = 0.1) -> Policy:
    """A policy that is no longer its reference."""
    random = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(by * torch.randn(parameter.shape, generator=random))
    return policy


def stand_in(human: Sequence[str], drawn: Sequence[str], works: Sequence[str], language: str) -> dict[str, float]:
    """A judge without training: the distance of the letters' frequencies. It is told nothing of the critic."""
    assert len(human) == len(drawn) == len(works)
    first, second = (Counter(letter for text in texts for letter in text) for texts in (human, drawn))
    totals = sum(first.values()), max(1, sum(second.values()))
    distance = sum(abs(first[k] / totals[0] - second[k] / totals[1]) for k in first | second) / 2
    pairs = {text[i : i + 2] for text in drawn for i in range(len(text) - 1)}
    return {
        "judge_auc": 0.5 + distance / 2,
        "distinct_2": len(pairs) / totals[1],
        "self_bleu": 0.0,
        "rep_4": 0.0,
    }


def lines(run: Run, split: str) -> list[dict[str, Any]]:
    return [line for line in run.metrics() if line["split"] == split]


def alarmed(run: Run, monitor: str) -> list[dict[str, Any]]:
    """The alarm lines; the first of them is of `monitor`, and after it the best checkpoint's weights are back."""
    found = lines(run, "alarm")
    assert found
    assert monitor in found[0]["alarms"]
    assert "alarm: " in (run.folder / "events.log").read_text()
    assert monitor in (run.folder / "report.md").read_text("utf-8")
    return found
