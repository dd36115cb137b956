"""One set of weights as two models, stories laid out around one prompt, and drawing from exactly the policy."""

from __future__ import annotations

from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from tests.adversarial.conftest import load_policy, moved

from storyteller.adversarial import rollouts
from storyteller.adversarial.cache import GrowingCache
from storyteller.adversarial.groups import lay_out
from storyteller.adversarial.policy import Policy, token_values
from storyteller.adversarial.rollouts import draw_ids, sample
from storyteller.errors import ModelError
from storyteller.models import apply_lora, load_model, locate
from storyteller.recipe.models import LoraRecipe
from storyteller.train.optim import trainable

PROMPTS = [[1, 5, 6, 7], [1, 8, 9]]
STORIES = [[[10, 11, 12], [20], [30, 31]], [[40, 41, 42, 43], [50, 51]]]


def draw(policy: Policy, seed: int = 3, new_tokens: int = 12, group: int = 3) -> list[list[list[int]]]:
    with policy.merged():
        return sample(policy, PROMPTS, group, new_tokens=new_tokens, temperature=0.9, ends={0, 1, 2}, seed=seed)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_stories_around_one_prompt_are_as_if_each_stood_alone(
    tiny_llama: Path, tiny_gpt2: Path, architecture: str
) -> None:
    policy = moved(load_policy(tiny_llama if architecture == "llama" else tiny_gpt2))
    rows = lay_out(PROMPTS, STORIES, pad_id=2)
    hidden, (states,) = policy.read(rows, layers=(policy.depth,))
    told = rows.split(policy.tokens(hidden, rows.labels, 0.7).logprob)
    flat = [(prompt, story) for prompt, group in zip(PROMPTS, STORIES, strict=True) for story in group]
    assert [len(values) for values in told] == [len(story) for _, story in flat]
    for (prompt, story), values, state in zip(flat, told, states.split(rows.lengths), strict=True):
        alone = policy.model(input_ids=torch.tensor([prompt + story]), output_hidden_states=True)
        logprobs = (alone.logits[0] / 0.7).log_softmax(-1)[len(prompt) - 1 : -1]
        expected = logprobs.gather(1, torch.tensor(story)[:, None])[:, 0]
        assert torch.allclose(values, expected, atol=1e-4)
        assert torch.allclose(state, alone.hidden_states[-1][0, len(prompt) :], atol=1e-4)


def test_token_values_are_those_of_the_whole_logits() -> None:
    random = torch.Generator().manual_seed(1)
    hidden = torch.randn(600, 8, generator=random, requires_grad=True)
    weight = torch.randn(30, 8, generator=random)
    labels = torch.randint(30, (600,), generator=random)
    temperature = torch.rand(600, generator=random) + 0.5
    temperature[:200] = 1  # as in whole chunks of human text
    values = token_values(hidden, weight, labels, temperature)
    logits = hidden @ weight.T
    scaled = (logits / temperature[:, None]).log_softmax(-1)
    assert torch.allclose(values.logprob, scaled.gather(1, labels[:, None])[:, 0], atol=1e-5)
    assert torch.allclose(values.entropy, -(scaled.exp() * scaled).sum(-1), atol=1e-4)
    soft = temperature * (logits / temperature[:, None]).logsumexp(-1)
    assert torch.allclose(values.value, soft, atol=1e-5)
    assert torch.allclose(values.logit, logits.gather(1, labels[:, None])[:, 0], atol=1e-5)
    shares = torch.randn(4, 600, generator=random)
    (shares * torch.stack([values.logprob, values.entropy, values.logit, values.value])).sum().backward()
    assert hidden.grad is not None
    ours, hidden.grad = hidden.grad.clone(), None
    chosen, logit = (each.gather(1, labels[:, None])[:, 0] for each in (scaled, logits))
    each = [chosen, -(scaled.exp() * scaled).sum(-1), logit, soft]
    (shares * torch.stack(each)).sum().backward()
    assert torch.allclose(ours, hidden.grad, atol=1e-4)


def test_the_adapter_makes_the_policy_and_its_absence_the_reference(tiny_llama: Path) -> None:
    policy = load_policy(tiny_llama)
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        base = policy.model(input_ids=ids).logits
        moved(policy)
        own = policy.model(input_ids=ids).logits
        kept = {name: value.clone() for name, value in policy.model.state_dict().items()}
        with policy.reference():
            assert torch.equal(policy.model(input_ids=ids).logits, base)
        with policy.merged():
            assert torch.allclose(policy.model(input_ids=ids).logits, own, atol=1e-5)
        assert torch.equal(policy.model(input_ids=ids).logits, own)
        with policy.wearing(policy.scaled(policy.weights(), 0.0)):
            assert torch.allclose(policy.model(input_ids=ids).logits, base, atol=1e-6)
    assert not torch.allclose(own, base, atol=1e-2)
    after = policy.model.state_dict()
    assert all(torch.equal(kept[name], after[name]) for name in kept)
    assert all("lora" in name for name in policy.weights())


def test_the_same_seed_draws_the_same_stories(policy: Policy) -> None:
    assert draw(policy) == draw(policy) != draw(policy, seed=4)


def test_a_story_ends_with_the_first_control_token(policy: Policy) -> None:
    stories = [story for group in draw(policy, new_tokens=200, group=8) for story in group]
    assert all(not {0, 1, 2} & set(story[:-1]) for story in stories)
    ended = [story for story in stories if story[-1] in (0, 1, 2)]
    assert ended
    assert len({len(story) for story in ended}) > 2  # rows were dropped at different times
    assert all(len(story) == 200 for story in stories if story[-1] > 2)


def test_stories_are_drawn_in_the_policys_own_proportions(policy: Policy) -> None:
    """Also of rows that were left-padded, repeated and moved: second tokens given the first, against exact values."""
    with policy.merged():
        stories = sample(policy, PROMPTS, 4000, new_tokens=2, temperature=0.9, ends={0, 1, 2}, seed=1, batch=10_000)
    for prompt, group in zip(PROMPTS, stories, strict=True):
        with torch.no_grad():
            first = (policy.model(input_ids=torch.tensor([prompt])).logits[0, -1] / 0.9).softmax(-1)
        counts = torch.bincount(torch.tensor([story[0] for story in group]), minlength=len(first)) / len(group)
        # Multinomial: the total variation of 4,000 draws from 320 ids is 0.09 on average.
        assert 0.5 * (counts - first).abs().sum() < 0.13
        common = int(counts.argmax())
        followed = [story[1] for story in group if story[0] == common]
        with torch.no_grad():
            second = (policy.model(input_ids=torch.tensor([[*prompt, common]])).logits[0, -1] / 0.9).softmax(-1)
        mean = second[torch.tensor(followed)].log().mean()
        entropy = (second * second.log()).sum()
        spread = ((second * second.log().square()).sum() - entropy**2).sqrt() / len(followed) ** 0.5
        assert abs(mean - entropy) < 4 * spread


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=700), st.integers(0, 2**31), st.data())
def test_only_what_has_a_chance_is_drawn(values: list[float], seed: int, data: st.DataObject) -> None:
    """One id alone, or ids among others that are banned; at any size of the vocabulary."""
    kept = data.draw(st.sets(st.integers(0, len(values) - 1), min_size=1))
    logits = torch.tensor(values)
    logits[[i for i in range(len(values)) if i not in kept]] = -torch.inf
    drawn = draw_ids(logits.expand(8, -1), torch.Generator().manual_seed(seed))
    assert set(drawn.tolist()) <= kept


def test_rare_ids_are_drawn_as_often_as_they_should() -> None:
    """Over a large vocabulary: the share of the draws that fall in each tenth of the probability is a tenth."""
    logits = 4 * torch.randn(40_000, generator=torch.Generator().manual_seed(3))
    probability = logits.double().softmax(0)
    order = probability.argsort()
    tenth = (probability[order].cumsum(0) * 10).long().clamp(max=9)[order.argsort()]
    random = torch.Generator().manual_seed(4)
    counts = sum(torch.bincount(tenth[draw_ids(logits.expand(200, -1), random)], minlength=10) for _ in range(20))
    expected = torch.zeros(10, dtype=torch.float64).index_add(0, tenth, probability) * 4000
    assert float(((counts - expected) ** 2 / expected).sum()) < 28  # chi-squared of nine degrees at .001


def test_weights_that_are_no_numbers_are_told(policy: Policy) -> None:
    with torch.no_grad():
        next(p for name, p in policy.model.named_parameters() if "lora_B" in name).fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="no numbers"):
        draw(policy)


def test_a_prompt_and_a_story_have_a_token() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        lay_out([[1]], [[[]]], pad_id=0)


def test_rounded_weights_draw_nearly_the_same_and_come_back(policy: Policy) -> None:
    before = {name: value.clone() for name, value in policy.model.state_dict().items()}
    ids = torch.arange(3, 40)[None]
    with policy.merged():
        exact = policy.body(input_ids=ids).last_hidden_state @ policy.head.T
    with policy.merged(torch.bfloat16):
        assert policy.head.dtype == torch.bfloat16
        rounded = policy.body(input_ids=ids).last_hidden_state @ policy.head.T
    drift = (exact.log_softmax(-1).exp() * (exact.log_softmax(-1) - rounded.float().log_softmax(-1))).sum(-1).mean()
    assert 0 <= float(drift) < 1e-3
    after = policy.model.state_dict()
    assert all(torch.equal(value, after[name]) and value.dtype == after[name].dtype for name, value in before.items())


def test_weights_come_back_after_a_failure(policy: Policy) -> None:
    before = {name: value.clone() for name, value in policy.model.state_dict().items()}
    with pytest.raises(FloatingPointError), policy.merged(torch.bfloat16):
        raise FloatingPointError
    assert all(torch.equal(value, policy.model.state_dict()[name]) for name, value in before.items())


def test_a_fixed_cache_draws_what_a_growing_one_draws(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = moved(load_policy(tiny_llama))
    with policy.merged():
        grown = sample(policy, PROMPTS, 3, new_tokens=12, temperature=0.9, ends=set(), seed=5)
        places: list[int] = []

        def recorded(policy: Policy, cache: GrowingCache, seen: torch.Tensor) -> rollouts.Recorded:
            places.append(cache.room)
            return rollouts.Recorded(policy, cache, seen, graph=False)

        monkeypatch.setattr(rollouts, "_worth_recording", lambda device, tokens: True)
        monkeypatch.setattr(rollouts, "_recorded", recorded)
        fixed = sample(policy, PROMPTS, 3, new_tokens=12, temperature=0.9, ends=set(), seed=5)
        ended = sample(policy, PROMPTS, 3, new_tokens=40, temperature=0.9, ends=range(8), seed=5)
    assert places == [16, 44]
    assert fixed == grown
    for story in (story for group in ended for story in group):
        assert all(token >= 8 for token in story[:-1])
        assert len(story) == 40 or story[-1] < 8


@pytest.mark.skipif(not torch.cuda.is_available(), reason="a CUDA graph needs a GPU")
def test_a_recorded_pass_draws_what_the_same_pass_draws_one_by_one(
    tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = moved(load_policy(tiny_llama))
    policy = Policy(policy.model.to("cuda"))
    with policy.merged():
        replayed = sample(policy, PROMPTS, 3, new_tokens=12, temperature=0.9, ends=set(), seed=5)
        monkeypatch.setattr(rollouts, "_worth_recording", lambda device, tokens: False)
        one_by_one = sample(policy, PROMPTS, 3, new_tokens=12, temperature=0.9, ends=set(), seed=5)
    assert replayed == one_by_one


def test_in_bfloat16_an_adapter_of_zeros_drifts_by_nothing_and_stays_float32(tiny_llama: Path) -> None:
    exact = load_policy(tiny_llama)
    policy = Policy(load_policy(tiny_llama).model, torch.bfloat16)
    rows = lay_out(PROMPTS, STORIES, pad_id=2)
    mine = policy.tokens(policy.read(rows)[0], rows.labels, 0.9)
    with policy.reference():
        reference = policy.tokens(policy.read(rows)[0], rows.labels, 0.9)
    assert torch.equal(mine.logprob, reference.logprob)
    assert mine.logprob.dtype == torch.float32
    expected = exact.tokens(exact.read(rows)[0], rows.labels, 0.9)
    assert torch.allclose(mine.logprob, expected.logprob, atol=0.05)
    assert torch.allclose(mine.entropy, expected.entropy, atol=0.05)
    mine.logprob.sum().backward()
    trained = [parameter for parameter in policy.model.parameters() if parameter.requires_grad]
    assert trained
    assert all(parameter.dtype == torch.float32 for parameter in trained)
    assert any(parameter.grad is not None and bool(parameter.grad.abs().sum() > 0) for parameter in trained)
    assert draw(policy, new_tokens=6)


def test_a_block_that_raises_leaves_the_adapter_on(policy: Policy) -> None:
    with pytest.raises(FloatingPointError), policy.merged():
        raise FloatingPointError
    assert all(layer.disable_adapters is False for layer in policy.model.modules() if hasattr(layer, "lora_A"))
    assert all(weight.requires_grad for weight in trainable(policy.model).values())


def test_a_broken_model_is_told_to_be_one(tiny_llama: Path) -> None:
    """Weights that are no numbers are not taken for logits that are scaled or capped."""
    model = load_model(locate(tiny_llama))
    with torch.no_grad():
        next(value for name, value in model.named_parameters() if "down_proj" in name).view(-1)[0] = float("nan")
    with pytest.raises(ModelError, match="fetch or train it again"):
        Policy(apply_lora(model, LoraRecipe(rank=4), seed=1))
