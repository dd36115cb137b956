"""Styles without pairs: what is taken off a passage, what may teach, what a rewrite is worth, and that both learn."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from storyteller.adversarial.policy import Policy, Tokens
from storyteller.adversarial.style import (
    Passage,
    Rewrite,
    StyleRecipe,
    Transfer,
    Way,
    bleached,
    dual_loss,
    style_advantages,
)
from storyteller.adversarial.style_critics import StyleCritics
from storyteller.adversarial.update import Batch
from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.recipe.models import CriticRecipe
from storyteller.tokens import Template

REQUESTS = {"tale": "As a tale:", "play": "As a play:"}
TALE = "Once the old miller walked to the castle and asked the king for bread."
PLAY = "MILLER\nBread, my king!\n\nKING\nWho asks me for bread?"
SMALL = StyleRecipe(new_tokens=96, rows=4, group=3, lr=0.01)


@pytest.fixture
def transfer(policy: Policy, template: Template) -> Transfer:
    return Transfer(policy, template, REQUESTS, SMALL)


def passage(transfer: Transfer, text: str, style: str, language: Language = "en") -> Passage:
    return transfer.passage(text, style, "a work", language)


def test_what_is_left_of_a_passage_tells_but_has_no_style() -> None:
    text = "“O grey miller!” cried Hansel; “the wolves have eaten grandmother, and yet she is singing.”"
    left = bleached(text, "en", random.Random(3), function=0.0, content=1.0).split()
    assert sorted(left) == ["eaten", "grandmother", "grey", "hansel", "miller", "singing", "wolves"]
    told = ["grey", "hansel", "eaten", "singing"]
    assert [word for word in left if word in told] == told, "words that stand two apart keep their order"


def test_a_chinese_passage_is_bleached_too() -> None:
    left = bleached(
        "“老国王！”磨坊主说，“狼吃了我的外婆，可是她还在唱歌。”", "zh", random.Random(1), function=0.0, content=1.0
    )
    assert all(word in left for word in ("国王", "外婆", "唱歌"))
    assert not set("“”，。！的了") & set(left)


@given(st.text(alphabet="ab THE,.\n", max_size=40), st.integers(0, 9))
def test_something_is_left_of_every_passage_with_a_word(text: str, seed: int) -> None:
    left = bleached(text, "en", random.Random(seed), function=0.1, content=0.1)
    assert bool(left) == any(map(str.isalpha, text))
    assert not set(left) & set(",.\nTHE")


def test_a_passage_ends_with_the_stop_token_and_must_fit(transfer: Transfer) -> None:
    assert passage(transfer, TALE, "tale").ids[-1] == transfer.template.stop_id
    for text in (" ", "word " * 100):
        with pytest.raises(DataError, match="tokens"):
            passage(transfer, text, "tale")
    with pytest.raises(DataError, match="two styles"):
        Transfer(transfer.policy, transfer.template, {"tale": "As a tale:"})


def test_rewrites_with_a_fault_teach_nothing(transfer: Transfer) -> None:
    way = Way(passage(transfer, TALE, "tale"), "play")
    encode, stop = transfer.template.tokenizer.encode, transfer.template.stop_id
    faults = {
        "": [*encode(PLAY), stop],
        "empty": [stop],
        "unfinished": encode(PLAY),
        "repetition": [*encode("no, no, no, no, no, no, no, no, no, no, no"), stop],
        "copy": [*encode(f"And {TALE}"), stop],
    }
    rewrites = [transfer.looked_at(ids, way) for ids in faults.values()]
    assert [rewrite.fault for rewrite in rewrites] == list(faults)
    (lesson,) = transfer.back([way] * len(rewrites), rewrites)
    assert lesson.human == way.passage.ids
    assert not lesson.stories
    assert lesson.prompt == transfer.prompt(PLAY, "tale"), "the way back asks for the style of the human passage"


def test_the_worth_of_a_rewrite_is_within_its_group() -> None:
    scores, kept = torch.tensor([[1.0, 2.0, 4.0], [0.0, 1.0, 3.0]]), torch.tensor([[-3.0, -3.0, -3.0]] * 2)
    none = torch.zeros(2, 3)
    worth = style_advantages(scores, kept, none, content=1.0, penalty=1.0)
    assert bool((worth.diff(dim=1) > 0).all())
    assert torch.allclose(worth.sum(1), torch.zeros(2), atol=1e-5)
    hard = torch.tensor([[0.0], [-50.0]])  # a passage that is unlikely whatever is told
    assert torch.allclose(style_advantages(scores, kept + hard, none, 1.0, 1.0), worth, atol=1e-4)
    assert torch.equal(style_advantages(torch.ones(2, 3), kept, none, 1.0, 1.0), none)
    faulty = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert style_advantages(scores, kept, faulty, 1.0, 9.0)[0].argmin() == 2
    gone = torch.tensor([[-3.0, -2.0, -9.0], [-3.0, -2.0, -9.0]])
    assert bool((style_advantages(scores, gone, none, 9.0, 1.0).argmax(1) == 1).all()), (
        "content counts as it is weighed"
    )


def test_the_loss_is_reward_on_drawn_and_likelihood_on_human_tokens() -> None:
    logprob = torch.tensor([-1.0, -2.0, -3.0, -4.0], requires_grad=True)
    zero = torch.zeros(4)
    drawn = torch.tensor([True, True, False, False])
    rows: object = None
    batch = Batch(rows, drawn, zero, torch.tensor([2.0, -1.0, 0.0, 0.0]), zero, zero, zero, 10, 4, 2)  # type: ignore[arg-type]
    loss, told = dual_loss(0.5)(Tokens(logprob, zero, zero, zero), batch)
    loss.backward()  # type: ignore[no-untyped-call]
    assert logprob.grad is not None
    assert torch.allclose(logprob.grad, torch.tensor([-0.2, 0.1, -0.125, -0.125]))
    assert told["human_loss"] == pytest.approx(7 / 4)


def test_both_kinds_of_lessons_are_learned_and_can_be_taken_back(transfer: Transfer) -> None:
    passages = [passage(transfer, TALE, "tale"), passage(transfer, PLAY, "play")]
    ways = [Way(passages[0], "play"), Way(passages[1], "tale")]
    before = transfer.state()
    groups = transfer.rewrite(ways, 3, seed=4)
    scores = torch.tensor([[3.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    kept = transfer.kept(ways, groups)

    def told() -> torch.Tensor:
        prompts = [transfer.prompt(way.passage.text, way.style) for way in ways for _ in range(3)]
        return transfer.likelihood(prompts, [rewrite.ids for group in groups for rewrite in group]).view(2, 3)

    first, losses = told(), []
    lessons, figures = transfer.dual(ways, groups, scores, torch.zeros(2, 3))
    for _ in range(6):
        losses.append(transfer.step(lessons, transfer.denoising(passages, seed=1), 0.01)["human_loss"])
    gained = told() - first
    assert bool((gained[:, 0] > gained[:, 1:].mean(1)).all()), "what is rewarded became likelier than what is not"
    assert losses[-1] < losses[0] - 0.1
    assert figures["style_logit"] == pytest.approx(1.0)
    transfer.restore(before)
    assert torch.equal(told(), first)
    assert torch.equal(transfer.kept(ways, groups), kept)


def test_what_is_kept_is_the_likelihood_of_the_original(transfer: Transfer) -> None:
    way = Way(passage(transfer, TALE, "tale"), "play")
    groups = [[Rewrite((5, 2), "bread"), Rewrite((6, 2), "the king and the miller")]]
    ours, frozen = transfer.kept([way], groups), transfer.kept([way], groups, frozen=True)
    prompt = transfer.prompt("bread", "tale")
    with torch.no_grad():
        logits = transfer.policy.model(input_ids=torch.tensor([[*prompt, *way.passage.ids]])).logits[0]
    logprobs = logits.log_softmax(-1)[len(prompt) - 1 : -1]
    expected = logprobs.gather(1, torch.tensor(way.passage.ids)[:, None]).mean()
    assert float(ours[0, 0]) == pytest.approx(float(expected), abs=1e-4)
    assert float((ours - frozen).abs().min()) > 1e-4, "the reference is another model"


def test_critics_tell_the_styles_apart_and_judge_rewrites(transfer: Transfer) -> None:
    chance = random.Random(2)
    nouns = ["miller", "king", "seal", "moon", "clock", "boat", "hen", "wolf"]

    def tales(count: int) -> list[Passage]:
        return [
            passage(transfer, f"Once the {chance.choice(nouns)} met the {chance.choice(nouns)} there.", "tale")
            for _ in range(count)
        ]

    def plays(count: int) -> list[Passage]:
        return [
            passage(transfer, f"{chance.choice(nouns).upper()}\nWho, {chance.choice(nouns).upper()}!", "play")
            for _ in range(count)
        ]

    recipe = CriticRecipe(width=16, pairs=8, lr=0.01, dropout=0.0)
    critics = StyleCritics(transfer.policy, transfer.template, list(REQUESTS), recipe, seed=1)
    critics.learn_people({"tale": tales(16), "play": plays(16)}, {"tale": tales(8), "play": plays(8)}, steps=40)
    assert min(critics.accuracy.values()) >= 0.8
    good, bad = plays(1)[0], tales(1)[0]
    group = [Rewrite(good.ids, good.text), Rewrite(bad.ids, bad.text), Rewrite((2,), "", "empty")]
    before = critics.of["play"].steps, critics.of["tale"].steps
    (scores,) = critics.scores([Way(tales(1)[0], "play")], [group], step=0)
    assert scores[0] > scores[1] > scores[2]
    assert critics.of["tale"].steps == before[1], "the critic of a style that was not asked for learns nothing"
