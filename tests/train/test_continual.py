"""Learning on: what holds the weights back, what is shown again, and the score that is always told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from tests.tokens.stories import LAMP, SCENE, long_story, story, write_corpus
from tests.train.conftest import MakeRecipe

from storyteller.errors import CheckpointError, TrainingError
from storyteller.models import apply_lora, load_model, locate
from storyteller.recipe import LoraRecipe
from storyteller.tokens import StoryTokenizer, tokenize
from storyteller.train import finetune
from storyteller.train.continual import Anchor, fisher_information, stored_fisher
from storyteller.train.measure import batch_tensors
from storyteller.train.objectives import CausalObjective
from storyteller.train.processes import open_accelerator


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    train = [long_story(f"zh{i}", 2 + i % 3, "zh") for i in range(8)]
    return write_corpus(tmp_path_factory.mktemp("old"), train, [story(LAMP, "d", "zh")])


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 5), st.integers(0, 99))
def test_the_pull_is_the_gradient_of_the_penalty(strength: float, seed: int) -> None:
    torch.manual_seed(seed)
    model = torch.nn.Linear(3, 2)
    fisher = {name: torch.rand_like(p) for name, p in model.named_parameters()}
    anchor = Anchor(model, fisher, strength)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn_like(parameter)
    terms = [(fisher[name] * (p - start[name]).square()).sum() for name, p in model.named_parameters()]
    penalty = strength / 2 * torch.stack(terms).sum()
    assert anchor.penalty() == pytest.approx(float(penalty.detach()), rel=1e-4)
    wanted = torch.autograd.grad(penalty, list(model.parameters()))
    model.weight.grad = torch.ones_like(model.weight)  # one parameter has a gradient already, the other has none
    anchor.pull(scale=2.0)
    assert torch.allclose(model.weight.grad - 1, 2 * wanted[0], atol=1e-4)
    assert model.bias.grad is not None
    assert torch.allclose(model.bias.grad, 2 * wanted[1], atol=1e-4)


def test_fisher_information_is_the_mean_square_of_gradients(tiny_llama: Path, old: Path, small: MakeRecipe) -> None:
    located = locate(tiny_llama)
    model = apply_lora(load_model(located), LoraRecipe(rank=2))
    shards = tokenize(old, None, StoryTokenizer.load(located.folder), small().data)
    objective, split = CausalObjective(model), shards.splits["train"]
    accelerator = open_accelerator("float32")
    found = fisher_information(objective, model, shards, len(split), 1, accelerator)
    squares = {name: torch.zeros_like(value) for name, value in found.items()}
    targets = 0
    for number in range(len(split)):
        one = split.stack([[number]], 128)
        objective.zero_grad()
        objective.eval()(**batch_tensors(one, torch.device("cpu"))).backward()
        targets += one.targets
        for name, parameter in model.named_parameters():
            if name in squares and parameter.grad is not None:
                squares[name] += parameter.grad.square()
    assert any(value.any() for value in found.values())
    for name, value in found.items():
        assert torch.allclose(value, squares[name] / targets, rtol=1e-3, atol=1e-7), name


def test_what_was_measured_is_kept(tmp_path: Path) -> None:
    assert stored_fisher(tmp_path) is None
    stored_fisher(tmp_path, {"a": torch.ones(2)})
    assert torch.equal((stored_fisher(tmp_path) or {})["a"], torch.ones(2))
    (tmp_path / "fisher.safetensors").write_bytes(b"cut")
    with pytest.raises(CheckpointError, match="delete it"):
        stored_fisher(tmp_path)


def report(folder: Path) -> dict[str, object]:
    found: list[dict[str, object]] = json.loads((folder / "continual.json").read_text())["corpora"]
    return found[0]


def test_the_old_score_is_always_told(small: MakeRecipe, tmp_path: Path, old: Path) -> None:
    run = finetune(small(f"continual.old={old}", "model.method=full"), tmp_path / "run")
    told = report(run.folder)
    assert told["before"]["loss"] != told["after"]["loss"]  # type: ignore[index]
    card = (run.final / "README.md").read_text()
    assert "old corpus, dev bits per byte, before" in card
    assert "old corpus, dev bits per byte, after" in card


def test_several_old_corpora_are_replayed_held_and_scored(small: MakeRecipe, tmp_path: Path, old: Path) -> None:
    scenes = [story(SCENE, f"s{i}", form="screenplay") for i in range(8)]
    older = write_corpus(tmp_path / "older", scenes, [story(SCENE, "sd")])
    run = finetune(
        small(f"continual={{old: [{old}, {older}], replay: 0.5, ewc: 1, fisher_rows: 4}}", "train.steps=4"),
        tmp_path / "run",
    )
    scores = json.loads((run.folder / "continual.json").read_text())["corpora"]
    assert [set(one) for one in scores] == [{"shards", "before", "after", "forgotten_bits_per_byte"}] * 2
    assert scores[0]["before"] != scores[1]["before"]
    card = (run.final / "README.md").read_text()
    assert f"old corpus {old}, dev bits per byte, after" in card
    assert f"old corpus {older}, dev bits per byte, after" in card


def test_holding_back_forgets_less(small: MakeRecipe, tmp_path: Path, old: Path) -> None:
    """The tiny model first learns the old corpus, so that it has something to forget; then screenplays."""
    first = finetune(small(f"data.path={old}", "model.method=full", "train.steps=30"), tmp_path / "first")
    scenes = write_corpus(
        tmp_path / "scenes", [story(SCENE, f"s{i}", form="screenplay") for i in range(8)], [story(SCENE, "sd")]
    )
    forgotten = {}
    for name, more in {"plain": "", "ewc": "ewc: 50", "replay": "replay: 0.5"}.items():
        recipe = small(
            f"model.base={first.final}", f"data.path={scenes}", "model.method=full", "train.steps=20",
            f"continual={{old: {old}, fisher_rows: 4, {more}}}",
        )  # fmt: skip
        told = report(finetune(recipe, tmp_path / name).folder)
        forgotten[name] = float(told["forgotten_bits_per_byte"])  # type: ignore[arg-type]
    assert forgotten["plain"] > 0
    assert forgotten["ewc"] < forgotten["plain"] / 2
    assert forgotten["replay"] < forgotten["plain"] / 2


def test_a_stopped_run_goes_on_the_same(
    small: MakeRecipe, tmp_path: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import storyteller.train.loop as loop

    recipe = small(f"continual={{old: {old}, replay: 0.3, ewc: 1, fisher_rows: 4}}", "train.save_every=1")
    whole = finetune(recipe, tmp_path / "whole")
    step = loop._train_step

    class StopError(Exception):
        pass

    def falls(*arguments: object) -> object:
        if arguments[2].step == 3:  # type: ignore[attr-defined]
            raise StopError
        return step(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "_train_step", falls)
    with pytest.raises(StopError):
        finetune(recipe, tmp_path / "parts")
    monkeypatch.setattr(loop, "_train_step", step)
    parts = finetune(recipe, tmp_path / "parts", resume=True)
    weights = [load_file(run.final / "adapter_model.safetensors") for run in (whole, parts)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert report(whole.folder) == report(parts.folder)


def test_a_run_does_not_go_on_with_another_old_corpus(
    small: MakeRecipe, tmp_path: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import storyteller.train.continual as continual

    own = tmp_path / "old"
    shutil.copytree(old, own, ignore=shutil.ignore_patterns("shards"))
    (own / "manifest.json").write_text('{"licences": {"CC0-1.0": 8}}', "utf-8")
    recipe = small(f"continual={{old: {own}, replay: 0.3}}", "train.steps=2")
    run = finetune(recipe, tmp_path / "run")
    # Its stories are trained on, so that their licence is told.
    assert "| CC0-1.0 | 8 |" in (run.final / "README.md").read_text()
    dev = (own / "dev.jsonl").read_text("utf-8")
    (own / "dev.jsonl").write_text(dev.replace("灯", "船"), "utf-8")
    monkeypatch.setattr(continual, "own_loss", lambda *_: pytest.fail("what is another corpus is not scored"))
    with pytest.raises(CheckpointError, match=r"the old corpus of .* has changed since the run began"):
        finetune(recipe, tmp_path / "run", resume=True)


@pytest.mark.parametrize("targets", [("all-linear", "all-linear"), ("[q_proj, v_proj]", "[v_proj, down_proj]")])
def test_a_stacked_adapter_is_both(small: MakeRecipe, tmp_path: Path, old: Path, targets: tuple[str, str]) -> None:
    first = finetune(
        small(f"data.path={old}", f"model.lora.targets={targets[0]}", "model.lora.rank=3", "train.evaluate_rows=64"),
        tmp_path / "first",
    )
    more = (f"model.base={first.final}", f"model.lora.targets={targets[1]}", "model.lora.rank=2", "train.steps=3")
    run = finetune(small(*more, f"continual={{old: {old}, stack: true}}"), tmp_path / "second")
    config = json.loads((run.final / "adapter_config.json").read_text())
    assert config["r"] == 5
    assert config["base_model_name_or_path"] == str(load_model(locate(first.final), merge=True).name_or_path)
    # It begins as what it was laid upon: the score before training is that of the first model.
    best = min(line["loss"] for line in first.metrics() if line["split"] == "dev")
    assert report(run.folder)["before"]["loss"] == pytest.approx(best, abs=1e-4)  # type: ignore[index]
    plain = finetune(small(*more[1:], f"model.base={first.final}", "model.lora.rank=2",
                           f"continual={{old: {old}, stack: true}}"), tmp_path / "again")  # fmt: skip
    weights = [load_file(folder.final / "adapter_model.safetensors") for folder in (run, plain)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_checkpoint_of_a_stacked_run_is_both(
    small: MakeRecipe, tmp_path: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a stopped run has at best is opened over the plain base; without the lower adapter it would be another model."""
    import storyteller.train.loop as loop

    first = finetune(small(f"data.path={old}", "train.steps=4"), tmp_path / "first")
    more = (
        f"model.base={first.final}",
        f"continual={{old: {old}, stack: true}}",
        "train.save_every=2",
        "train.steps=4",
    )
    whole = finetune(small(*more), tmp_path / "whole")
    step = loop._train_step
    told: list[torch.Tensor] = []
    ids = torch.arange(3, 40)[None]

    class StopError(Exception):
        pass

    def falls(*arguments: object) -> object:
        if arguments[2].step == 2:  # type: ignore[attr-defined]
            model = arguments[0].eval().model  # type: ignore[attr-defined]
            told.append(model(input_ids=ids).logits.detach())
            raise StopError
        return step(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "_train_step", falls)
    with pytest.raises(StopError):
        finetune(small(*more), tmp_path / "parts")
    monkeypatch.undo()
    opened = load_model(locate(tmp_path / "parts" / "checkpoints" / "step-000002"))
    assert torch.allclose(opened(input_ids=ids).logits, told[0], atol=1e-4)
    parts = finetune(small(*more), tmp_path / "parts", resume=True)
    weights = [load_file(run.final / "adapter_model.safetensors") for run in (whole, parts)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_an_old_corpus_without_dev_is_refused(small: MakeRecipe, tmp_path: Path) -> None:
    bare = write_corpus(tmp_path / "bare", [long_story("a", 3)])
    with pytest.raises(TrainingError, match=r"continual\.old"):
        finetune(small(f"continual.old={bare}"), tmp_path / "run")
