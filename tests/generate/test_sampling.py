from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from storyteller.errors import GenerationError
from storyteller.generate.sampling import Sampler, SamplingSettings, breaker_ids, dry_penalties, name_ids
from storyteller.tokens import StoryTokenizer

LOGITS = arrays.arrays(np.float32, st.integers(2, 40), elements=st.floats(-30, 30, width=32))
HISTORY = st.lists(st.integers(0, 3), max_size=40)


def sampler(seed: int = 0, banned: tuple[int, ...] = (), alternatives: int = 0, **settings: float) -> Sampler:
    return Sampler(SamplingSettings(**settings), seed, banned=banned, alternatives=alternatives)  # type: ignore[arg-type]


@given(
    logits=LOGITS,
    temperature=st.floats(0, 5),
    min_p=st.floats(0, 1),
    top_p=st.floats(0.01, 1),
    top_k=st.integers(1, 50),
)
def test_probabilities_sum_to_one(
    logits: np.ndarray, temperature: float, min_p: float, top_p: float, top_k: int
) -> None:
    ids, probabilities = sampler(temperature=temperature, min_p=min_p, top_p=top_p, top_k=top_k).distribution(
        logits, []
    )
    assert len(ids) == len(set(ids.tolist())) == len(probabilities) >= 1
    assert probabilities.sum() == pytest.approx(1)
    assert (np.diff(probabilities) <= 1e-12).all()


@given(logits=LOGITS, temperature=st.floats(0.3, 3), min_p=st.floats(0.01, 0.9))
def test_min_p_keeps_exactly_what_is_likely_enough(logits: np.ndarray, temperature: float, min_p: float) -> None:
    ids, _ = sampler(temperature=temperature, min_p=min_p).distribution(logits, [])
    shares = np.exp((logits.astype(np.float64) - logits.max()) / temperature)
    kept = set(ids.tolist())
    assert {i for i, share in enumerate(shares) if share > min_p * 1.001} <= kept
    assert kept <= {i for i, share in enumerate(shares) if share >= min_p * 0.999}


@given(logits=LOGITS, seed=st.integers(0, 99))
def test_no_temperature_takes_the_likeliest(logits: np.ndarray, seed: int) -> None:
    assert logits[sampler(seed, temperature=0).draw(logits, []).id] == logits.max()


@given(logits=LOGITS, seed=st.integers(0, 2**40))
def test_the_same_seed_draws_the_same(logits: np.ndarray, seed: int) -> None:
    one, two = sampler(seed, temperature=2), sampler(seed, temperature=2)
    assert [one.draw(logits, [0]).id for _ in range(9)] == [two.draw(logits, [0]).id for _ in range(9)]


@given(history=HISTORY, breakers=st.frozensets(st.integers(0, 3), max_size=1), allowed=st.integers(1, 3))
def test_dry_lowers_exactly_what_would_extend_a_repeat(
    history: list[int], breakers: frozenset[int], allowed: int
) -> None:
    ids, lengths = dry_penalties(np.array(history, dtype=np.int64), breakers, allowed)
    expected: dict[int, int] = {}
    for place in range(1, len(history)):
        length = 0
        while (
            length < place
            and history[place - 1 - length] == history[-1 - length]
            and history[-1 - length] not in breakers
        ):
            length += 1
        if length >= allowed:
            expected[history[place]] = max(min(length, 32), expected.get(history[place], 0))
    assert dict(zip(ids.tolist(), lengths.astype(int).tolist(), strict=True)) == expected


def test_dry_lowers_the_logit_and_nothing_else() -> None:
    history = [1, 2, 3, 4, 5, 1, 2, 3]
    flat = np.zeros(8, dtype=np.float32)
    ids, probabilities = sampler(temperature=1, min_p=0).distribution(flat, history)
    share = dict(zip(ids.tolist(), probabilities.tolist(), strict=True))
    assert share[4] == pytest.approx(share[0] * np.exp(-0.8 * 1.75), rel=1e-5)
    assert len({round(share[i], 9) for i in range(8) if i != 4}) == 1


def test_a_long_loop_does_not_overflow() -> None:
    ids, probabilities = sampler().distribution(np.zeros(4, dtype=np.float32), [1] * 3000)
    assert 1 not in ids
    assert probabilities.sum() == pytest.approx(1)


@given(logits=LOGITS)
def test_log_probability_and_alternatives_are_the_models_own(logits: np.ndarray) -> None:
    draw = sampler(seed=3, temperature=0.5, alternatives=2).draw(logits, [0, 1, 0, 1, 0])
    probabilities = np.exp(logits.astype(np.float64)) / np.exp(logits.astype(np.float64)).sum()
    assert draw.logprob == pytest.approx(np.log(probabilities[draw.id]), abs=1e-4)
    assert [p for _, p in draw.alternatives] == pytest.approx(sorted(probabilities, reverse=True)[:2], abs=1e-5)


def test_banned_and_suppressed_ids_are_never_drawn() -> None:
    logits = np.array([9, 8, 0, 0], dtype=np.float32)
    drawn = {sampler(seed, banned=(0,), temperature=3).draw(logits, [], suppressed={1}).id for seed in range(50)}
    assert drawn == {2, 3}
    assert logits[0] == 9, "the engine's logits are left as they are"


def test_breakers_are_found_by_their_bytes(tiny_llama) -> None:  # type: ignore[no-untyped-def]
    tokenizer = StoryTokenizer.load(tiny_llama)
    breakers = breaker_ids(tokenizer)
    assert set(tokenizer.encode('\n:"*')) <= breakers
    assert not set(tokenizer.encode("seal moon")) & breakers
    assert set(tokenizer.encode(" Mara")) | set(tokenizer.encode("小满")) <= name_ids(tokenizer, ["Mara", "小满"])


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"min_p": 2}, {"top_p": 0}, {"top_k": 0}])
def test_wrong_settings_are_named(wrong: dict[str, float]) -> None:
    with pytest.raises(GenerationError, match=next(iter(wrong))):
        SamplingSettings(**wrong)  # type: ignore[arg-type]


def test_damaged_weights_are_an_error() -> None:
    with pytest.raises(GenerationError, match="finite"):
        sampler().draw(np.full(4, np.nan, dtype=np.float32), [])
