from __future__ import annotations

import dataclasses
import importlib.util
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.adapters import damage, tiny_ensemble
from tests.tiny import tiny_model

from storyteller.errors import GenerationError, ModelError
from storyteller.generate.engine import open_batch, open_engine
from storyteller.generate.llama_engine import LlamaEngine
from storyteller.generate.llama_file import llama_config, llama_file
from storyteller.generate.llama_members import LlamaMember, open_members, write_llama_adapter
from storyteller.generate.mixture import Mixer, MixtureEngine, Single, open_mixture
from storyteller.generate.sampling import Sampler, SamplingSettings
from storyteller.generate.storyteller import Storyteller
from storyteller.generate.torch_engine import TorchEngine
from storyteller.generate.writing import Told
from storyteller.models import load_model, locate
from storyteller.models.ensemble_file import Ensemble, Gate, Member, write_ensemble

needs_llama = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="no llama.cpp wheel here")
EDITS = ([5, 6, 7], [5, 6, 7, 8], [5, 6, 9, 8, 7, 6], [5, 6, 9], [3, 4, 5, 9])


class Says:
    """An engine that gives the same logits whatever it reads, and counts how often it is asked."""

    name, context, vocabulary_size = "says", 64, 4

    def __init__(self, *chances: float) -> None:
        self.logits = np.log(np.array(chances, dtype=np.float32))
        self.asked = 0

    def feed(self, ids: object) -> np.ndarray:
        self.asked += 1
        return self.logits

    def close(self) -> None:
        pass


def mixture(*engines: Says, weights: tuple[float, ...] | None = None, **settings: object) -> MixtureEngine:
    names = [f"member {number}" for number in range(len(engines))]
    shared = weights or (1 / len(engines),) * len(engines)
    return MixtureEngine([Single(e) for e in engines], Mixer(names, [1] * len(engines), shared, **settings))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads wait for each other at every layer, which takes minutes where other processes have the cores."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def ensemble(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_ensemble(tiny_llama, tmp_path_factory.mktemp("ensemble"))


@pytest.mark.parametrize(("rule", "way"), [("arithmetic", "turned"), ("geometric", "plain"), ("geometric", "padded")])
def test_rows_of_one_batch_are_three_models(
    ensemble: Path, rule: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storyteller.models.adapters.rows.best_way", lambda: way)
    located = locate(ensemble)
    engine = open_mixture(located, "torch")
    engine.mixer.rule = rule  # type: ignore[assignment]
    assert len(engine._groups) == 1
    members = [load_model(member, merge=True) for member in located.members]
    for ids in EDITS:
        with torch.inference_mode():
            logs = torch.stack([model(torch.tensor([ids])).logits[0, -1].log_softmax(-1) for model in members])
        weights = torch.tensor([0.5, 0.3, 0.2])
        added, multiplied = (weights @ logs.exp()).log(), (weights @ logs).log_softmax(-1)
        expected = added if rule == "arithmetic" else multiplied
        np.testing.assert_allclose(engine.feed(ids), expected.numpy(), atol=2e-4)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_rows_hold_adapters_of_other_layers_and_the_base_itself(tmp_path: Path, architecture: str) -> None:
    from tests.adapters import tiny_adapter

    base = tiny_model(tmp_path / "base", architecture=architecture)  # type: ignore[arg-type]
    some = "q_proj" if architecture == "llama" else "c_proj"
    transposed = {"fan_in_fan_out": True} if architecture == "gpt2" else {}
    tiny_adapter(base, tmp_path / "some", seed=1, target_modules=[some], **transposed)
    tiny_adapter(base, tmp_path / "all", seed=2, rank=8, **transposed)
    members = [Member(model=name) for name in ("base", "some", "all")]
    write_ensemble(tmp_path, Ensemble(members=tuple(members)))
    located = locate(tmp_path)
    engine = open_mixture(located, "torch")
    singles = [TorchEngine.open(member) for member in located.members]
    for ids in EDITS:
        np.testing.assert_allclose(
            engine._groups[0].feed(ids), np.stack([single.feed(ids) for single in singles]), atol=2e-4
        )


@needs_llama
def test_llama_members_side_by_side_say_nearly_the_same(ensemble: Path) -> None:
    fast, exact = open_mixture(locate(ensemble), "llama"), open_mixture(locate(ensemble), "torch")
    assert fast.name == "mixture of llama"
    for ids in EDITS:
        quick, slow = fast.feed(ids), exact.feed(ids)
        assert np.corrcoef(quick, slow)[0, 1] > 0.995
    fast.close()


@pytest.mark.parametrize("members", [2, 4])
@pytest.mark.parametrize("engine", ["torch", pytest.param("llama", marks=needs_llama)])
def test_members_have_the_context_of_a_single_model(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, members: int
) -> None:
    for module in ("engine", "mixture", "torch_rows"):  # far below what the tiny model was made for
        monkeypatch.setattr(f"storyteller.generate.{module}.DEFAULT_CONTEXT", 128, raising=False)
    located = locate(tiny_ensemble(tiny_llama, tmp_path, weights=(1 / members,) * members))
    mixed = open_mixture(located, engine)
    assert {group.context for group in mixed._groups} == {open_engine(located.members[0], engine).context} == {128}
    assert open_mixture(located, engine, 64).context == 64


@needs_llama
def test_a_batch_mixes_each_row_as_the_engine_does(ensemble: Path) -> None:
    engine = open_mixture(locate(ensemble), "llama")
    batch = open_batch(engine, 3, 256)
    assert batch.rows == 3
    sequences = {0: [5, 6, 7], 2: [9, 8, 7, 6, 5], 1: [40, 41]}
    for got, ids in zip(batch.feed_many(sequences), sequences.values(), strict=True):
        np.testing.assert_allclose(got, engine.feed(ids), atol=0.05)
    engine.weights = (0.0, 0.0, 1.0)
    (alone,) = batch.feed_many({0: [5, 6, 7, 8]})
    assert alone.shares(int(alone.argmax())) == (0.0, 0.0, 1.0)  # type: ignore[attr-defined]
    batch.close()
    engine.close()


@pytest.mark.parametrize("sure", [None, 0.9])
def test_a_batch_in_torch_reads_each_row_with_every_member_that_has_a_say(
    ensemble: Path, sure: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storyteller.generate.torch_batch.CHUNK", 8)  # prompts of different lengths, read in parts
    located = dataclasses.replace(locate(ensemble), ensemble=tiny_settings(ensemble, sure))
    engine, batch = open_mixture(located, "torch"), open_batch(open_mixture(located, "torch"), 3, 64)
    assert batch.rows == 3
    turns = [
        (engine.weights, {0: [5, 6, 7], 2: [9, 8, 7, 6, 5, 4, 3], 1: [40, 41]}),
        ((0.0, 1.0, 0.0), {0: [5, 6, 7, 8], 2: [9, 8, 7]}),
        ((0.4, 0.0, 0.6), {1: [40, 41, 42, 43], 0: [5, 6, 7, 8, 9]}),
    ]
    for weights, sequences in turns:
        engine.weights = batch._mixer.weights = weights  # type: ignore[attr-defined]
        for got, ids in zip(batch.feed_many(sequences), sequences.values(), strict=True):
            np.testing.assert_allclose(got, engine.feed(ids), atol=2e-4)
    batch.close()


def test_a_member_that_drafts_alone_is_the_only_one_that_reads(ensemble: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_mixture(locate(ensemble), "torch")
    batch = open_batch(engine, 2, 64)
    engine.weights = (0.0, 1.0, 0.0)
    batch.feed_many({0: [5, 6, 7], 1: [8, 9]})
    model, seen = engine._groups[0]._model, []  # type: ignore[attr-defined]
    forward = model.forward
    monkeypatch.setattr(model, "forward", lambda **given: seen.append(len(given["input_ids"])) or forward(**given))
    batch.feed_many({0: [5, 6, 7, 8], 1: [8, 9, 10]})
    engine.weights = (0.5, 0.5, 0.0)
    batch.feed_many({0: [5, 6, 7, 8, 9], 1: [8, 9, 10, 11]})
    assert seen[0] == 2
    assert seen[-1] == 4


def tiny_settings(ensemble: Path, sure: float | None) -> Ensemble:
    settings = locate(ensemble).ensemble
    assert settings is not None
    return settings.model_copy(update={"gate": Gate(sure=sure)})


def test_weights_may_move_while_the_story_streams() -> None:
    engine = mixture(Says(0.7, 0.1, 0.1, 0.1), Says(0.1, 0.7, 0.1, 0.1))
    seen, stop = set(), threading.Event()

    def slide() -> None:
        while not stop.is_set():
            for weight in (0.0, 1.0):
                engine.weights = (weight, 1 - weight)

    thread = threading.Thread(target=slide)
    thread.start()
    try:
        for _ in range(500):
            seen.add(round(float(np.exp(engine.feed([1])[0])), 2))
    finally:
        stop.set()
        thread.join()
    assert seen <= {0.1, 0.7, 0.4}  # never a half of the old weights and a half of the new
    engine.weights = (0.0, 1.0)
    assert engine.feed([1]).argmax() == 1


def test_a_member_without_weight_is_not_asked() -> None:
    first, second = Says(0.7, 0.1, 0.1, 0.1), Says(0.1, 0.7, 0.1, 0.1)
    engine = mixture(first, second, weights=(0.0, 1.0))
    assert engine.feed([1]).argmax() == 1
    assert (first.asked, second.asked) == (0, 1)


def test_tokens_say_who_wanted_them() -> None:
    engine = mixture(Says(0.6, 0.2, 0.1, 0.1), Says(0.2, 0.6, 0.1, 0.1))
    mixed = engine.feed([1])
    assert mixed.shares(0) == pytest.approx((0.75, 0.25))
    assert mixed.shares(2) == pytest.approx((0.5, 0.5))
    assert mixed.copy().shares(0) == ()  # what was made of it is no longer what they said


def drawn_from(logits: np.ndarray, penalty: float) -> np.ndarray:
    settings = SamplingSettings(temperature=1, min_p=0, dry_multiplier=0, repetition_penalty=penalty)
    ids, chances = Sampler(settings, seed=1).distribution(logits, history=[0, 2])
    return chances[np.argsort(ids)]


@pytest.mark.parametrize("rule", ["arithmetic", "geometric"])
def test_a_repeated_id_is_penalised_as_the_model_would(rule: str) -> None:
    one = Says(0.5, 0.3, 0.15, 0.05)
    one.logits += 5  # logits of 4.3, 3.8, 3.1 and 2.0
    expected = drawn_from(one.logits, 1.3)
    assert expected[0] < 0.7 * drawn_from(one.logits, 1.0)[0]
    alone, twins = mixture(one, rule=rule), mixture(one, one, weights=(0.4, 0.6), rule=rule)
    aside = mixture(Says(0.25, 0.25, 0.25, 0.25), one, weights=(0.0, 1.0), rule=rule)
    for engine in (alone, twins, aside):
        np.testing.assert_allclose(drawn_from(engine.feed([1]), 1.3), expected, atol=1e-5)


def test_the_level_of_a_mixture_lies_between_the_members() -> None:
    low, high = Says(0.5, 0.3, 0.15, 0.05), Says(0.1, 0.2, 0.3, 0.4)
    high.logits += 10
    assert mixture(low, high, weights=(0.7, 0.3)).feed([1]).level == pytest.approx(3.0)
    assert mixture(low, high, weights=(0.7, 0.3), gate=Gate(divergence=9.0)).feed([1]).level == pytest.approx(
        0, abs=1e-6
    )
    assert mixture(low, high, rule="contrastive", weights=(1.5, -0.5)).feed([1]).level == pytest.approx(-5)


def test_the_gate_of_divergence_lets_the_first_write_alone_where_all_agree() -> None:
    engine = mixture(Says(0.6, 0.2, 0.1, 0.1), Says(0.55, 0.25, 0.1, 0.1), gate=Gate(divergence=0.05))
    assert np.exp(engine.feed([1])[0]) == pytest.approx(0.6, abs=1e-5)
    engine = mixture(Says(0.6, 0.2, 0.1, 0.1), Says(0.1, 0.7, 0.1, 0.1), gate=Gate(divergence=0.05))
    assert np.exp(engine.feed([1])[0]) == pytest.approx(0.35, abs=1e-5)
    assert engine.spent.mixed == 1


def test_the_gate_of_certainty_asks_nobody_else() -> None:
    first, second = Says(0.97, 0.01, 0.01, 0.01), Says(0.25, 0.25, 0.25, 0.25)
    engine = mixture(first, second, gate=Gate(sure=0.95))
    engine.feed([1])
    assert (second.asked, engine.spent.asked, engine.spent.tokens) == (0, 0, 1)
    first.logits = np.log(np.array([0.9, 0.1, 1e-9, 1e-9], dtype=np.float32))
    engine.feed([1, 2])
    assert (second.asked, engine.spent.asked, engine.spent.tokens) == (1, 1, 2)


def test_certainty_is_the_leading_one_s_also_where_its_group_reads_others() -> None:
    """The first member has no say, so the second leads; who is read together with it has not more to say for that."""

    class Pair(Says):
        def feed(self, ids: object) -> np.ndarray:
            return np.stack([self.logits, np.log(np.full(4, 0.25, dtype=np.float32))])

    silent, pair = Says(0.25, 0.25, 0.25, 0.25), Pair(0.97, 0.01, 0.01, 0.01)
    mixer = Mixer(["a", "b", "c"], [1, 2], (0.0, 0.5, 0.5), gate=Gate(sure=0.95))
    engine = MixtureEngine([Single(silent), pair], mixer)  # type: ignore[list-item, arg-type]
    np.testing.assert_allclose(np.exp(engine.feed([1])), [0.97, 0.01, 0.01, 0.01], atol=1e-5)
    assert (engine.spent.asked, engine.spent.mixed) == (0, 0)


def test_rows_apart_give_the_same_when_all_are_asked_late(ensemble: Path) -> None:
    located = locate(ensemble)
    from storyteller.generate.torch_rows import open_rows

    together, (first, others) = open_rows(located.members)[0], open_rows(located.members, apart=True)
    ids = [5, 6, 7]
    for token in (8, 9, 10):
        first.feed(ids)
        ids = [*ids, token]
    whole = together.feed(ids)
    np.testing.assert_allclose(np.concatenate([first.feed(ids), others.feed(ids)]), whole, atol=2e-4)


def test_a_member_that_gives_no_numbers_is_dropped_and_the_story_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    broken, sound = Says(0.6, 0.2, 0.1, 0.1), Says(0.2, 0.6, 0.1, 0.1)
    engine = mixture(broken, sound)
    engine.feed([1])
    broken.logits = np.full(4, np.nan, dtype=np.float32)
    for _ in range(3):
        np.testing.assert_allclose(np.exp(engine.feed([1])), [0.2, 0.6, 0.1, 0.1], atol=1e-5)
    assert capsys.readouterr().err.count("member 0 gives no finite logits") == 1
    sound.logits = np.full(4, np.inf, dtype=np.float32)
    with pytest.raises(GenerationError, match="no member"):
        engine.feed([1])


@pytest.mark.parametrize("rule", ["geometric", "contrastive"])
@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_expert_or_amateur_leaves_the_other(rule: str, lost: int) -> None:
    engines = [Says(0.6, 0.2, 0.1, 0.1), Says(0.2, 0.6, 0.1, 0.1)]
    weights = (1.5, -0.5) if rule == "contrastive" else (0.5, 0.5)
    engine = mixture(*engines, weights=weights, rule=rule)
    engine.feed([1])
    engines[lost].logits = np.full(4, np.nan, dtype=np.float32)
    np.testing.assert_allclose(engine.feed([1]), engines[1 - lost].logits, atol=1e-5)


@pytest.mark.parametrize("weights", [(0.5, 1.0, -0.5), (0.5, 1.5, -1.0)])
def test_a_contrast_whose_weights_lose_their_sum_goes_on_with_the_first(weights: tuple[float, ...]) -> None:
    engines = [Says(0.6, 0.2, 0.1, 0.1), Says(0.2, 0.6, 0.1, 0.1), Says(0.1, 0.1, 0.6, 0.2)]
    engine = mixture(*engines, weights=weights, rule="contrastive")
    engine.feed([1])
    engines[1].logits = np.full(4, np.nan, dtype=np.float32)
    np.testing.assert_allclose(engine.feed([1]), engines[0].logits, atol=1e-5)


@pytest.mark.parametrize(
    ("weights", "says"),
    [((0.5, 0.6), "sum to 1"), ((1.5, -0.5), "negative"), ((1.0,), "1 weights"), ((float("nan"), 1.0), "numbers")],
)
def test_wrong_weights_are_refused_and_the_old_ones_stay(weights: tuple[float, ...], says: str) -> None:
    engine = mixture(Says(0.6, 0.2, 0.1, 0.1), Says(0.2, 0.6, 0.1, 0.1))
    with pytest.raises(GenerationError, match=says):
        engine.weights = weights
    assert engine.weights == (0.5, 0.5)


def test_members_of_different_vocabularies_cannot_be_mixed() -> None:
    other = Says(0.5, 0.5)
    other.vocabulary_size = 2
    with pytest.raises(ModelError, match="vocabularies"):
        mixture(Says(0.6, 0.2, 0.1, 0.1), other)


@pytest.mark.parametrize("engine", ["torch", pytest.param("auto", marks=needs_llama)])
def test_an_ensemble_is_loaded_and_writes_like_any_model(ensemble: Path, engine: str) -> None:
    teller = Storyteller.load(str(ensemble), engine)
    writing = teller.write("A seal.", max_tokens=12, alternatives=2, seed=3)
    tokens = list(writing)
    shared = [token.members for token in tokens if token.id >= 0]
    assert shared
    assert all(sum(shares) == pytest.approx(1, abs=1e-5) for shares in shared)
    assert all(len(other.members) == 3 for token in tokens for other in token.alternatives)
    assert writing.told().engine.startswith("mixture of")
    assert teller.tell("A seal.", max_tokens=12, seed=3).text == writing.told().text
    many = dict(teller.tell_many(["A seal.", "从前有一座灯塔"], max_tokens=12, seeds=[3, 4]))
    assert isinstance(many[0], Told)
    assert isinstance(many[1], Told)
    teller.close()


@needs_llama
@needs_llama
def test_a_damaged_member_is_dropped_by_the_engine_that_is_chosen(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In eight bits what is no number becomes one, and the member would write on."""
    folder = tiny_ensemble(tiny_llama, tmp_path)
    damage(folder / "member-1" / "adapter_model.safetensors")
    teller = Storyteller.load(str(folder))
    teller.tell("A seal.", max_tokens=8, seed=3)
    assert "member-1 gives no finite logits" in capsys.readouterr().err
    with pytest.raises(ModelError, match="no number"):
        Storyteller.load(str(folder / "member-1"), "llama")


def test_llama_members_share_one_base_and_say_what_torch_says(ensemble: Path) -> None:
    located = locate(ensemble)
    members = open_members([*located.members, dataclasses.replace(located.members[0], adapter=None)])
    assert len({member._model for member in members}) == 1
    exact = [TorchEngine.open(member) for member in located.members]
    exact.append(TorchEngine.open(dataclasses.replace(located.members[0], adapter=None)))
    for ids in EDITS:
        for fast, slow in zip(members, exact, strict=True):
            assert np.corrcoef(fast.feed(ids), slow.feed(ids))[0, 1] > 0.998
    batch = open_batch(members[2], 2, 64)
    (logits,) = batch.feed_many({1: [5, 6, 7]})
    np.testing.assert_allclose(logits, members[2].feed([5, 6, 7]), atol=0.05)
    batch.close()
    members[0].close()
    assert np.isfinite(members[1].feed([5, 6, 7])).all()  # one that goes leaves the base to the others
    for member in members[1:]:
        member.close()


@needs_llama
def test_an_adapter_of_another_base_cannot_be_laid_over(ensemble: Path, tmp_path: Path) -> None:
    located = locate(ensemble)
    wide = {"model.layers.0.self_attn.q_proj": (torch.zeros(2, 96), torch.zeros(96, 2))}
    write_llama_adapter(wide, llama_config(located.folder), tmp_path / "wide.gguf")
    base = LlamaEngine(llama_file(dataclasses.replace(located.members[0], adapter=None)))
    with pytest.raises(ModelError, match=r"wide\.gguf"):
        LlamaMember(base, tmp_path / "x", tmp_path / "wide.gguf")
    base.close()
