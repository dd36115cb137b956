"""Other critics: a second LoRA on the base, and an encoder of another kind, under the same trainer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.adversarial.conftest import MakeRecipe, load_policy, stand_in

from storyteller.adversarial import refine
from storyteller.adversarial.adversary import Adversary, pairs_to_tensors, tensors_to_pairs
from storyteller.adversarial.critic import Pair, Read
from storyteller.adversarial.critics import AdapterCritic, EncoderCritic, load_encoder, make_critic
from storyteller.adversarial.gail import gail_lessons
from storyteller.adversarial.marks import Marks
from storyteller.adversarial.several import members
from storyteller.adversarial.using import StoryCritic
from storyteller.errors import ModelError, RecipeError
from storyteller.models import locate
from storyteller.recipe.models import CriticRecipe, RewardRecipe
from storyteller.tokens import Request, StoryTokenizer

HUMAN, DRAWN = [60, 61, 62, 63, 49, 64, 65, 49], [70, 70, 71, 72, 49, 70, 73, 49]
MARKS = Marks("", (5, 8), True)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """A masked model that looks both ways, with the tokenizer of our own models."""
    return bert(tmp_path_factory.mktemp("bert"), tiny_llama, layers=2)


def bert(folder: Path, tiny_llama: Path, layers: int) -> Path:
    from transformers import BertConfig, BertModel

    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=StoryTokenizer.load(tiny_llama).vocabulary_size, hidden_size=16, num_hidden_layers=layers,
        num_attention_heads=2, intermediate_size=32, max_position_embeddings=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    shutil.copyfile(tiny_llama / "tokenizer.json", folder / "tokenizer.json")
    return folder


def made(folder: Path, recipe: CriticRecipe) -> AdapterCritic | EncoderCritic:
    critic = make_critic(recipe, load_policy(folder), locate(folder), StoryTokenizer.load(folder), 1)
    assert isinstance(critic, AdapterCritic | EncoderCritic)
    return critic


def pair(critic: AdapterCritic | EncoderCritic) -> Pair:
    human, drawn = critic.reads([1, 60], [HUMAN, DRAWN], [MARKS, MARKS], [])
    assert human is not None
    assert drawn is not None
    return Pair(human, drawn, None)


def test_a_lora_of_its_own_learns_and_the_base_stays(tiny_llama: Path) -> None:
    recipe = CriticRecipe(reads="adapter", rank=2, width=8, lr=0.01, dropout=0.0)
    critic = made(tiny_llama, recipe)
    adversary = Adversary(critic, recipe, 1)
    kept = {name: value.clone() for name, value in critic._adapted.model.state_dict().items()}  # type: ignore[union-attr]
    pairs = [pair(critic)] * 4
    losses = [adversary.learn(pairs) for _ in range(12)]
    assert losses[-1] < losses[0]
    moved = {
        name
        for name, value in critic._adapted.model.state_dict().items()
        if not torch.equal(value, kept[name])  # type: ignore[union-attr]
    }
    assert moved
    assert all("lora_" in name for name in moved)
    base = sum(value.numel() for name, value in kept.items() if "lora_" not in name)
    assert sum(value.numel() for name, value in adversary.tensors().items() if name.startswith("critic/")) < base


def test_its_prefixes_do_not_see_what_follows(tiny_llama: Path) -> None:
    critic = made(tiny_llama, CriticRecipe(reads="adapter", width=8)).eval()
    (whole,) = critic.reads([1, 60], [HUMAN], [MARKS], [])
    (begun,) = critic.reads([1, 60], [HUMAN], [Marks("", (5,), True)], [])
    assert whole is not None
    assert begun is not None
    first, second = critic([whole, begun])
    assert torch.allclose(first.realism[:, 0], second.realism[:, 0], atol=1e-5)
    assert not torch.allclose(first.realism[:, 0], first.realism[:, 1])
    (other,) = critic.reads([1, 99], [HUMAN], [MARKS], [])
    assert other is not None
    assert not torch.allclose(critic([other])[0].realism, first.realism)  # it reads the prompt as well


def test_pairs_of_ids_come_back_from_a_checkpoint(tiny_llama: Path) -> None:
    one = pair(made(tiny_llama, CriticRecipe(reads="adapter", width=8)))
    (again,) = tensors_to_pairs(pairs_to_tensors([one]))
    assert (again.human.ids, again.human.prompt, again.human.ends) == (tuple(HUMAN), (1, 60), (5, 8))
    assert again.generated.cut((5,)).ids == tuple(DRAWN[:5])


def test_an_encoder_reads_the_text_whole_and_has_one_score(tiny_llama: Path, tiny_bert: Path) -> None:
    recipe = CriticRecipe(reads="encoder", encoder=str(tiny_bert), layers=[1, 2], width=8)
    critic = made(tiny_llama, recipe).eval()
    told = critic([pair(critic).human, pair(critic).human.cut((5,))])
    assert [opinion.realism.shape for opinion in told] == [(2, 2), (2, 1)]
    assert torch.equal(told[0].realism[:, 0], told[0].realism[:, 1])
    assert not torch.allclose(told[0].realism[:, :1], told[1].realism)
    assert torch.isfinite(critic.penalty([pair(critic).human]))
    assert not any("encoder" in name for name in critic.state_dict())


def test_an_encoder_pads_without_changing_a_text(tiny_bert: Path) -> None:
    encoder = load_encoder(str(tiny_bert))
    alone = encoder.states(["The seal sang."], [2])[0][0]
    beside = encoder.states(["The seal sang.", "The keeper woke before the bell and counted lamps."], [2])[0][0]
    assert torch.allclose(alone, beside, atol=1e-5)


@pytest.mark.parametrize("reads", ["adapter", "encoder"])
def test_the_trainer_runs_with_it_and_it_judges_afterwards(
    small: MakeRecipe, tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch, reads: str
) -> None:
    shares: set[float] = set()

    def lessons(groups: Any, opinions: Any, rules: Any, reward: RewardRecipe, *scales: Any) -> Any:
        shares.add(reward.to_go)
        return gail_lessons(groups, opinions, rules, reward, *scales)

    monkeypatch.setattr("storyteller.adversarial.report.plot_refinement", lambda *_: None)
    monkeypatch.setattr("storyteller.adversarial.trainers.gail_lessons", lessons)
    encoder = [f"refine.critic.encoder={tiny_bert}"] if reads == "encoder" else []
    recipe = small(f"refine.critic.reads={reads}", *encoder, "train.steps=2", "refine.critic.skip_above=1")
    run = refine(recipe, tmp_path / "run", stand_in)
    steps = [line for line in run.metrics() if line["split"] == "train"]
    assert [line["critic_updates"] for line in steps] != [0.0, 0.0]
    saved = load_file(run.folder / "checkpoints" / "step-000002" / "adversary.safetensors")
    assert any(name.startswith("critic/adapter.") for name in saved) == (reads == "adapter")
    # A critic of whole texts has one score, which would all belong to the first sentence.
    assert shares == ({0.5} if reads == "adapter" else {0.0})
    critic = StoryCritic.load(run.folder)
    first, second = critic.judge(Request(about="A seal."), ["The seal sang. It was late."] * 2)
    assert first == second
    assert json.loads((run.folder / "refinement.json").read_text())["tried"]


def test_members_read_other_depths_of_the_encoder_not_of_the_base(
    small: MakeRecipe, tmp_path: Path, tiny_llama: Path
) -> None:
    folder = bert(tmp_path, tiny_llama, layers=4)
    recipe = small("refine.critic.reads=encoder", f"refine.critic.encoder={folder}")
    assert [one.refine.critic.layers for one in members(recipe, 2, "critic") if one.refine] == [[2], [4]]


def test_mistakes_are_told(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"needs refine\.critic\.encoder"):
        made(tiny_llama, CriticRecipe(reads="encoder"))
    with pytest.raises(ModelError, match="holds no model"):
        made(tiny_llama, CriticRecipe(reads="encoder", encoder=str(tmp_path)))
    with pytest.raises(RecipeError, match="hidden states 0 to"):
        made(tiny_llama, CriticRecipe(reads="adapter", layers=[99]))


def test_a_read_keeps_what_belongs_to_it() -> None:
    read = Read(torch.zeros(1, 8, 2), (5, 8), (1,), tuple(HUMAN))
    assert read.cut((5, 8)) is read
    assert read.cut((5,)).states.shape == (1, 5, 2)
