from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny import tiny_model

from storyteller.corpus import Story, count_words
from storyteller.errors import DataError, ModelError
from storyteller.evaluate.scorer import CoherenceScorer
from storyteller.evaluate.scorer.domain import fit_domain
from storyteller.evaluate.scorer.fit import accuracy_by_fault, fit_scorer, held_out, token_frequencies
from storyteller.evaluate.scorer.head import fit_head, prefix_features
from storyteller.evaluate.scorer.normalise import normalise
from storyteller.evaluate.scorer.scorer import voices_of
from storyteller.evaluate.scorer.states import WindowStates, read_windows
from storyteller.evaluate.scorer.training import examples_of, story_windows
from storyteller.evaluate.scorer.windows import windows_of
from storyteller.models import locate
from storyteller.models.features import Reader
from storyteller.models.load import load_model
from storyteller.tokens import StoryTokenizer

PEOPLE = ("Anna", "Tom", "Rosa", "Henry", "Claire", "Oscar")
THINGS = ("boat", "clock", "lamp", "horse", "letter", "garden")


def story(seed: int) -> str:
    rng = random.Random(seed)
    who, other = rng.sample(PEOPLE, 2)
    thing = rng.choice(THINGS)
    return (
        f"{who} had an old {thing} that did not please her neighbours. One day {other} came and asked for the {thing}. "
        f"{who} said that she would think about it until the next morning. In the night she heard {other} at the door. "
        f"He had come to look at the {thing} once more. In the end {who} gave him the {thing} and was glad."
    )


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    folder = tiny_model(tmp_path_factory.mktemp("model"))
    return Reader(load_model(locate(folder)), StoryTokenizer.load(folder), layers=(1, 2))


@pytest.fixture(scope="module")
def scorer(reader: Reader) -> CoherenceScorer:
    windows = [(f"story-{i}", story(i)) for i in range(130)]
    examples = list(examples_of(windows, 1, random.Random(0)))
    states = read_windows(reader, [windows_of(example.text)[0] for example in examples])
    read = list(zip(examples, states, strict=True))
    kept = [pair for pair in read if held_out(pair[0], tenths=4)]
    training = [pair for pair in read if not held_out(pair[0], tenths=4)]
    return fit_scorer(reader, training, kept, token_frequencies(reader.tokenizer, [story(i) for i in range(50)]), 1e-2)


def test_texts_of_data_sets_become_prose() -> None:
    tokenised = "[FEMALE] wife and i could n't sleep . </s> it was late !so we ate . </s> [MALE] 's dog barked . \n"
    assert normalise(tokenised) == "My wife and I couldn't sleep. It was late! So we ate. Tom's dog barked."
    assert normalise("**Bold** &amp; “quoted” , it ’s") == 'Bold & "quoted", it\'s'
    assert normalise("Mr. Ioan said i.e. nothing, and I left. then it rained.") == (
        "Mr. Ioan said i.e. nothing, and I left. then it rained."
    )


@settings(deadline=None)
@given(st.text(max_size=300), st.integers(0, 50))
def test_prose_stays_as_it_is(text: str, seed: int) -> None:
    assert normalise(story(seed)) == story(seed)
    assert "  " not in normalise(text)


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(20, 200))
def test_windows_hold_the_whole_text_in_nearly_equal_parts(stories: int, words: int) -> None:
    text = " ".join(story(seed) for seed in range(stories))
    windows = windows_of(text, words)
    assert "".join("".join(window) for window in windows) == text
    assert len(windows) <= -(-count_words(text, "en") // words)
    sizes = [count_words("".join(window), "en") for window in windows]
    assert max(sizes) <= words + 20


def test_an_endless_sentence_is_cut() -> None:
    windows = windows_of("word " * 500)
    assert len(windows) > 3
    assert max(count_words("".join(window), "en") for window in windows) <= 140


def test_examples_keep_a_story_beside_its_faults() -> None:
    stories = [Story(f"s{i}", " ".join(story(j) for j in range(i, i + 4)), "en", "story", 0) for i in range(10)]
    windows = story_windows(stories, 15, random.Random(0))
    assert len(windows) == 15
    assert {name for name, _ in windows[:10]} == {story.id for story in stories}
    examples = list(examples_of(windows, 3, random.Random(1), first_group=7))
    assert examples == list(examples_of(windows, 3, random.Random(1), first_group=7))
    for group in range(7, 22):
        own = [example for example in examples if example.group == group]
        assert [example.fault for example in own].count(None) == 1
        assert len({example.fault for example in own}) == len(own) == 4
        assert all(example.text != own[0].text for example in own[1:])


def made(values: list[list[float]]) -> WindowStates:
    states = np.array(values, dtype=np.float16)
    return WindowStates(states, np.array([0, 1, 0]), np.array([-1.0, -2.0, -3.0], np.float32), np.array([1, 3]))


def test_the_head_finds_the_direction_of_the_fault() -> None:
    generator = np.random.default_rng(0)
    topics = generator.normal(size=(200, 8)) * 3
    fault = np.eye(8)[2]
    features = np.concatenate([topics, topics - 2 * fault]).astype(np.float32)
    head = fit_head(features, [False] * 200 + [True] * 200, list(range(200)) * 2, 1.0)
    assert int(np.abs(head.weights).argmax()) == 2
    assert head.weights[2] > 0


def test_a_prefix_is_its_last_state_beside_the_mean_of_all() -> None:
    np.testing.assert_allclose(prefix_features(made([[1, 2], [3, 6]])), [[1, 2, 1, 2], [3, 6, 2, 4]])


def test_excess_likelihood_leaves_the_first_sentence_and_frequency_out() -> None:
    scores = np.array([0.5, 0.25], np.float32)
    head, excess = voices_of(scores, made([[0, 0], [0, 0]]), np.array([-4.0, -3.0], np.float32))
    assert head == 0.25
    assert excess == pytest.approx(((-2 + 3) + (-3 + 4)) / 2)


def test_a_loop_gains_nothing() -> None:
    ids = np.array([0, 1, 2, 3, 1, 2, 3, 1, 2, 3])
    window = WindowStates(np.zeros((2, 4), np.float16), ids, np.full(10, -1.0, np.float32), np.array([4, 10]))
    _, excess = voices_of(np.zeros(2, np.float32), window, np.full(4, -3.0, np.float32))
    assert excess == pytest.approx(2 * 2 / 6)


def test_the_domain_ends_where_the_training_texts_end() -> None:
    generator = np.random.default_rng(1)
    mixing = generator.normal(size=(6, 40))
    windows = [made((generator.normal(size=(2, 6)) @ mixing).tolist()) for _ in range(300)]
    domain = fit_domain(windows[:200], windows[200:], components=6, share=0.95)
    inside = [domain.distance(window) <= domain.limit for window in windows[200:]]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.02)
    assert domain.distance(made(generator.normal(size=(2, 40)).tolist())) > domain.limit
    assert domain.distance(made((generator.normal(size=(2, 6)) @ mixing * 9).tolist())) > domain.limit


def test_scores_agree_alone_and_together_and_after_a_round_trip(scorer: CoherenceScorer, tmp_path: Path) -> None:
    texts = [story(1), story(2) + " " + story(3) + " " + story(4), story(5)]
    together = scorer.score(texts)
    for text, score in zip(texts, together, strict=True):
        (alone,) = scorer.score([text])
        assert alone.logit == pytest.approx(score.logit, abs=1e-3)
        assert len(score.per_sentence) == text.count(".")
    scorer.save(tmp_path, {"base": "tiny"})
    folder = tiny_model(tmp_path / "model")
    loaded = CoherenceScorer.load(tmp_path, folder)
    for before, after in zip(together, loaded.score(texts), strict=True):
        assert after.logit == pytest.approx(before.logit, abs=0.05)
        assert after.in_domain == before.in_domain


def test_the_sentences_add_up_to_the_windows(scorer: CoherenceScorer) -> None:
    (score,) = scorer.score([story(9)])
    (window,) = read_windows(scorer.reader, [windows_of(story(9))[0]])
    assert sum(score.per_sentence) == pytest.approx(float(scorer.head(window)[-1]), abs=1e-4)


def test_values_are_chances(scorer: CoherenceScorer) -> None:
    for score in scorer.score([story(seed) for seed in range(20)]):
        if score.value is not None:
            assert 0 < score.value < 1
            assert score.value == pytest.approx(1 / (1 + np.exp(-score.logit)))


@pytest.mark.parametrize(
    ("text", "language", "why"),
    [
        ("", "en", "fewer than 15 words"),
        ("Too short.", "en", "fewer than 15 words"),
        ("从前有一座灯塔，灯塔旁边住着一只小海豹。" * 5, "zh", "not trained for Chinese"),
        ("从前有一座灯塔，灯塔旁边住着一只小海豹。" * 5, "en", ""),
        ("Der alte Mann ging langsam durch den Wald und sah den Mond, kalt und klar. " * 2, "en", "not English"),
        ("def main(x): return [f(y) for y in x if y != 3]; import sys; sys.exit(0) " * 3, "en", "not English"),
    ],
)  # fmt: skip
def test_what_is_not_its_own_is_refused(scorer: CoherenceScorer, text: str, language: str, why: str) -> None:
    (score,) = scorer.score([text], language)  # type: ignore[arg-type]
    assert score.value is None
    assert not score.in_domain
    assert np.isnan(score.logit)
    assert why in score.why_not


def test_refused_texts_keep_their_place(scorer: CoherenceScorer) -> None:
    first, second, third = scorer.score([story(1), "", story(2)])
    assert np.isfinite(first.logit)
    assert np.isnan(second.logit)
    assert np.isfinite(third.logit)
    assert scorer.score([]) == []


def test_accuracy_by_fault_counts_pairs(scorer: CoherenceScorer) -> None:
    examples = list(examples_of([(f"s{i}", story(i)) for i in range(10)], 2, random.Random(3)))
    states = read_windows(scorer.reader, [windows_of(example.text)[0] for example in examples])
    found = accuracy_by_fault(scorer, list(zip(examples, states, strict=True)))
    assert sum(pairs for _, pairs in found.values()) == 20
    assert all(0 <= accuracy <= 1 for accuracy, _ in found.values())


def test_a_damaged_or_foreign_scorer_is_named(scorer: CoherenceScorer, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no coherence scorer"):
        CoherenceScorer.load(tmp_path)
    scorer.save(tmp_path, {"base": "tiny"})
    (tmp_path / "scorer.json").write_text("{}")
    with pytest.raises(ModelError, match="holds no coherence scorer"):
        CoherenceScorer.load(tmp_path)


def test_too_few_stories_are_refused(reader: Reader) -> None:
    with pytest.raises(DataError, match="50 are the least"):
        fit_scorer(reader, [], [], np.zeros(320, np.float32))


def test_reading_leaves_the_random_state_alone(scorer: CoherenceScorer) -> None:
    before = torch.random.get_rng_state()
    scorer.score([story(1)])
    assert torch.equal(before, torch.random.get_rng_state())
    assert dataclasses.is_dataclass(scorer)
