"""Mixing many rows at once in torch says what mixing one after the other in numpy says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters import tiny_ensemble

from storyteller.generate.engine import open_batch
from storyteller.generate.mixing import Mixed, arithmetic, contrastive, divergence, geometric
from storyteller.generate.mixture import MixtureBatch, MixtureEngine, open_mixture
from storyteller.generate.storyteller import Storyteller
from storyteller.generate.tensor_mixing import apart_by, mix_tensors
from storyteller.generate.writing import Told
from storyteller.models import locate
from storyteller.models.ensemble_file import Rule

WEIGHTS: dict[Rule, tuple[float, ...]] = {
    "arithmetic": (0.5, 0.3, 0.2),
    "geometric": (0.2, 0.2, 0.6),
    "contrastive": (1.6, -0.4, -0.2),
}
SEQUENCES = {0: [5, 6, 7], 2: [9, 8, 7, 6, 5], 1: [40, 41]}


@given(st.integers(0, 2**31), st.sampled_from(sorted(WEIGHTS)), st.floats(0.1, 12))
@settings(max_examples=60)
def test_rows_are_mixed_as_one_is(seed: int, rule: Rule, spread: float) -> None:
    generator = np.random.default_rng(seed)
    logits = torch.tensor(generator.normal(0, spread, (3, 4, 50)), dtype=torch.float32)
    logs, weights = logits.log_softmax(-1), WEIGHTS[rule]
    mixed, apart = mix_tensors(logs, weights, rule, 0.1).numpy(), apart_by(logs, weights).numpy()
    for row in range(4):
        own = logs[:, row].numpy()
        one = {"arithmetic": arithmetic, "geometric": geometric}.get(rule)
        expected = one(own, weights) if one else contrastive(own, weights, 0.1)
        np.testing.assert_allclose(np.exp(mixed[row]), np.exp(expected), atol=2e-5)
        assert mixed[row].argmax() == expected.argmax() or np.ptp(np.sort(expected)[-2:]) < 1e-5
        assert apart[row] == pytest.approx(divergence(own, weights), abs=1e-4)


@pytest.mark.parametrize("rule", sorted(WEIGHTS))
def test_a_batch_of_rows_says_what_the_engine_says(tiny_llama: Path, tmp_path: Path, rule: Rule) -> None:
    engine = open_mixture(locate(tiny_ensemble(tiny_llama, tmp_path, WEIGHTS[rule], rule)), "torch")
    batch = open_batch(engine, 3, 256)
    for got, ids in zip(batch.feed_many(SEQUENCES), SEQUENCES.values(), strict=True):
        alone = engine.feed(ids)
        np.testing.assert_allclose(np.exp(got), np.exp(alone), atol=1e-4)
        assert isinstance(got, Mixed)
        assert got.shares(17) == pytest.approx(alone.shares(17), abs=1e-4)
        assert got.level == pytest.approx(alone.level, abs=1e-3)


def test_the_gate_and_the_count_are_those_of_the_engine(tiny_llama: Path, tmp_path: Path) -> None:
    free = open_mixture(locate(tiny_ensemble(tiny_llama, tmp_path / "free")), "torch")
    apart = []
    for ids in SEQUENCES.values():
        before = free.spent.divergence
        free.feed(ids)
        apart.append(free.spent.divergence - before)
    gate = {"divergence": sorted(apart)[1] + 1e-4}  # two of three stay below
    engine = open_mixture(locate(tiny_ensemble(tiny_llama, tmp_path / "gated", gate=gate)), "torch")
    found = open_batch(engine, 3, 256).feed_many(SEQUENCES)
    assert (engine.spent.tokens, engine.spent.mixed) == (3, 1)
    assert engine.spent.divergence == pytest.approx(sum(apart), abs=1e-4)
    for got, ids in zip(found, SEQUENCES.values(), strict=True):
        alone = engine.feed(ids)
        np.testing.assert_allclose(np.exp(got), np.exp(alone), atol=1e-4)
        assert getattr(got, "level", None) == pytest.approx(alone.level, abs=1e-3)


def test_in_a_batch_who_gives_no_numbers_is_dropped_too(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = open_mixture(locate(tiny_ensemble(tiny_llama, tmp_path)), "torch")
    batch = engine.batch(3, 256)
    assert isinstance(batch, MixtureBatch)
    factors = engine._groups[0]._adapters._layers[0].up  # type: ignore[attr-defined]
    factors[1] = torch.nan
    found = batch.feed_many(SEQUENCES)
    assert "gives no finite logits and is left out" in capsys.readouterr().err
    assert all(np.isfinite(row).all() and row.shares(17)[1] == 0 for row in found)  # type: ignore[attr-defined]
    again = batch.feed_many({row: [*ids, 11] for row, ids in SEQUENCES.items()})
    assert all(np.isfinite(row).all() for row in again)


def test_stories_of_a_batch_tell_who_wanted_each_token_and_follow_the_weights(tiny_llama: Path, tmp_path: Path) -> None:
    teller = Storyteller.load(str(tiny_ensemble(tiny_llama, tmp_path)), "torch", context=512)
    engine = teller.engine
    assert isinstance(engine, MixtureEngine)
    asked = {"seeds": [1, 2, 3], "rows": 2, "max_tokens": 8, "temperature": 0.0}
    told = dict(teller.tell_many(["A seal.", "A clock.", "A moon."], **asked))
    for index, prompt in enumerate(["A seal.", "A clock.", "A moon."]):
        alone = teller.tell(prompt, seed=index + 1, max_tokens=8, temperature=0.0)
        one = told[index]
        assert isinstance(one, Told)
        assert one.text == alone.text
    engine.weights = (0.0, 1.0, 0.0)  # one voice alone is no mixture, and is read alone
    batch = open_batch(engine, 3, 256)
    for got, ids in zip(batch.feed_many(SEQUENCES), SEQUENCES.values(), strict=True):
        assert isinstance(got, Mixed)
        assert got.shares(17) == (0.0, 1.0, 0.0)
        np.testing.assert_allclose(np.exp(got), np.exp(engine.feed(ids)), atol=1e-4)
