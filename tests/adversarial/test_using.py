"""The critic at work, on what a tiny refinement leaves."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tests.adversarial.conftest import SMALL, stand_in
from tests.tokens.stories import LAMP, SEAL

from storyteller.adversarial import refine
from storyteller.adversarial.policy import Policy
from storyteller.adversarial.using import Judgement, Likeness, StoryCritic, best_of, resample, synthetic_filter
from storyteller.errors import CheckpointError, DataError
from storyteller.models import load_model, locate
from storyteller.recipe import load_recipe
from storyteller.runs import Run
from storyteller.tokens import Request


def judged(realism: float, coherence: float = 0.0, tokens: int = 80) -> Judgement:
    return Judgement(realism, coherence, (), tokens)


@pytest.fixture(scope="module")
def critic(tiny_llama: Path, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> StoryCritic:
    folder = tmp_path_factory.mktemp("critic") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("storyteller.adversarial.report.plot_refinement", lambda *_: None)
        recipe = load_recipe(None, [f"model.base={tiny_llama}", f"data.path={corpus}", *SMALL, "train.steps=1"])
        refine(recipe, folder, stand_in)
    return StoryCritic.load(folder)


def test_the_policy_is_what_was_shipped_also_if_its_weights_are_averaged(
    tiny_llama: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So are the texts that comparisons tell with it; a judge who likes each model better takes the last one tried."""
    areas = itertools.count(0.9, -0.001)
    monkeypatch.setattr("storyteller.adversarial.report.plot_refinement", lambda *_: None)
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    from refined_texts import chosen_weights

    settings = [*SMALL, "train.steps=2", "train.lr=0.1", "refine.ema=0.5", "refine.scales=[0.5]"]
    recipe = load_recipe(None, [f"model.base={tiny_llama}", f"data.path={corpus}", *settings])
    run = refine(recipe, tmp_path / "run", lambda *given: stand_in(*given) | {"judge_auc": next(areas)})
    told = json.loads((run.folder / "refinement.json").read_text())
    assert (told["passed"], told["weights"], told["scale"]) == (True, "averaged", 0.5)
    ids = torch.arange(3, 40)[None]
    critic = StoryCritic.load(run.folder)
    with torch.no_grad():
        shipped = load_model(locate(run.final))(input_ids=ids).logits
        assert torch.allclose(critic.policy.model(input_ids=ids).logits, shipped, atol=1e-4)
        with critic.policy.wearing(chosen_weights(critic, run.folder)):
            assert torch.allclose(critic.policy.model(input_ids=ids).logits, shipped, atol=1e-4)
        with critic.policy.reference():
            assert not torch.allclose(critic.policy.model(input_ids=ids).logits, shipped, atol=1e-2)


@pytest.mark.parametrize(("text", "language"), [(SEAL, "en"), (LAMP, "zh")])
def test_a_long_text_is_judged_in_parts_by_sentence(critic: StoryCritic, text: str, language: str) -> None:
    request = Request(about="A seal.", language=language)  # type: ignore[arg-type]
    (one,) = critic.judge(request, [text])
    assert "".join(sentence for sentence, _ in one.sentences) == text
    assert len(one.sentences) > 5
    assert one.tokens == len(critic.template.tokenizer.encode(text))
    assert critic.judge(request, [text]) == [one]


def test_the_changes_of_the_sentences_add_up(critic: StoryCritic) -> None:
    critic.recipe = critic.recipe.model_copy(
        update={"rollout": critic.recipe.rollout.model_copy(update={"new_tokens": 1000})}
    )
    (one,) = critic.judge(Request(about="A seal."), [SEAL])
    assert sum(change for _, change in one.sentences) == pytest.approx(one.realism, abs=1e-5)
    assert len(one.without) == len(one.sentences)
    # Without its last sentence a text is its beginning: the states are causal.
    assert one.without[-1] == pytest.approx(one.realism - one.sentences[-1][1], abs=1e-5)
    assert len(set(one.without)) == len(one.without)


def test_a_text_without_a_word_is_told(critic: StoryCritic) -> None:
    with pytest.raises(DataError, match="no word"):
        critic.judge(Request(about="A seal."), ["  \n "])


def test_a_beam_tells_a_story(critic: StoryCritic) -> None:
    critic.recipe = critic.recipe.model_copy(
        update={"rollout": critic.recipe.rollout.model_copy(update={"new_tokens": 24})}
    )
    request = Request(about="A seal.")
    told = critic.beam(request, tokens=40, seed=1)
    assert told
    assert told == critic.beam(request, tokens=40, seed=1) != critic.beam(request, tokens=40, seed=2)


def beam(
    critic: StoryCritic, monkeypatch: pytest.MonkeyPatch, drafts: list[list[str]], tokens: int
) -> tuple[str, list[int]]:
    """What a beam tells when these are the drafts of each step (the last ones for good), and how long it asked them to be."""
    tokenizer, stop = critic.template.tokenizer, critic.template.stop_id
    lengths: list[int] = []

    def drawn(policy: Policy, prompts: Sequence[Sequence[int]], group: int, **options: int) -> list[list[list[int]]]:
        texts = drafts[min(len(lengths), len(drafts) - 1)]
        lengths.append(options["new_tokens"])
        return [[[*tokenizer.encode(text), stop] for text in texts] for _ in prompts]

    monkeypatch.setattr("storyteller.adversarial.using.sample", drawn)
    return critic.beam(Request(about="A seal."), tokens=tokens, seed=1), lengths


def test_a_draft_without_a_word_ends_the_story(critic: StoryCritic, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first draft ends after its third sentence and is cut after two; then the model has nothing to add."""
    told, _ = beam(critic, monkeypatch, [["She ran. He slept. It rained."] * 4, [""] * 4], 200)
    assert told == "She ran. He slept."
    with pytest.raises(DataError, match="no draft had a word"):
        beam(critic, monkeypatch, [[""] * 4], 200)


def test_a_beam_keeps_to_its_tokens(critic: StoryCritic, monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = len(critic.template.tokenizer.encode("She ran."))
    for tokens in range(sentence, 5 * sentence + 10):
        told, lengths = beam(
            critic, monkeypatch, [["She ran. He slept. It rained."], [" She ran. He ran. It was."]], tokens
        )
        assert told.startswith("She ran.")
        assert told.endswith(".")
        assert len(critic.template.tokenizer.encode(told)) <= tokens
        assert max(lengths) <= tokens


def test_a_folder_without_a_refinement_is_told(tmp_path: Path) -> None:
    recipe = load_recipe()
    run = Run.create(tmp_path / "run", recipe, asked=recipe, data={})
    with pytest.raises(CheckpointError, match="storyteller refine"):
        StoryCritic.load(run.folder)


def test_a_critic_that_never_learned_judges_nothing(
    tiny_llama: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storyteller.adversarial.report.plot_refinement", lambda *_: None)
    settings = [*SMALL, "train.steps=1", "refine.trainer=iq"]
    recipe = load_recipe(None, [f"model.base={tiny_llama}", f"data.path={corpus}", *settings])
    run = refine(recipe, tmp_path / "run", stand_in)
    with pytest.raises(CheckpointError, match="trains no critic"):
        StoryCritic.load(run.folder)


def test_the_best_and_a_draw() -> None:
    drafts = [judged(0.0), judged(2.0), judged(1.9, coherence=1.0)]
    assert best_of(drafts) == 2
    assert best_of(drafts, coherence=0) == 1
    counts = [0, 0, 0]
    for seed in range(3000):
        counts[resample(drafts, seed, tau=1.0)] += 1
    assert counts[1] / counts[0] == pytest.approx(7.39, rel=0.2)  # e squared
    assert {resample(drafts, seed, tau=0.01) for seed in range(50)} == {1}


def test_the_filter_keeps_what_is_real_coherent_and_new() -> None:
    stories = [judged(float(i), coherence=-float(i == 17)) for i in range(20)]
    kept, rejected = synthetic_filter(stories, [1.0] * 19 + [0.0], 0.5)
    assert kept == [18, 16]
    assert rejected == [3, 2, 1, 0]
    agreed, _ = synthetic_filter(stories, [1.0] * 20, 0.5, second=[-float(i) for i in range(20)])
    assert agreed == []
    assert synthetic_filter([], [], 0.5) == ([], [])
    with pytest.raises(DataError, match="all its values"):
        synthetic_filter(stories, [1.0], 0.5)


def test_a_critic_that_judges_no_coherence_chooses_by_realism() -> None:
    """That of the package is one: its coherence is nan, and so was all that was made of it."""
    drafts = [judged(float(i), coherence=math.nan) for i in (-3, 5, 1)]
    assert best_of(drafts) == best_of(drafts, coherence=0) == 1
    assert {resample(drafts, seed, tau=0.01, coherence=0.5) for seed in range(20)} == {1}
    stories = [judged(float(i), coherence=math.nan) for i in range(20)]
    assert synthetic_filter(stories, [1.0] * 20, 0.5)[0] == [19, 18, 17, 16]


def test_likeness_is_a_percentile_within_the_length() -> None:
    short = [judged(float(i), tokens=60) for i in range(100)]
    long = [judged(10.0 + i, tokens=400) for i in range(100)]
    likeness = Likeness.of([*short, *long, judged(0.0, tokens=20)])
    assert likeness.percentile(judged(49.5, tokens=70)) == pytest.approx(50)
    assert likeness.percentile(judged(49.5, tokens=420)) == pytest.approx(40)
    assert likeness.percentile(judged(-1.0, tokens=60)) == 0
    assert likeness.percentile(judged(1000.0, tokens=60)) == 100
    assert likeness.percentile(judged(1.0, tokens=20)) is None
    assert likeness.percentile(judged(1.0, tokens=5000)) is None
