"""Labels that nobody gave: taken where the scorer is sure and right, refused where it drifts; and whom to ask next."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tokens.stories import long_story, story, write_corpus
from typer.testing import CliRunner

from storyteller.cli import app
from storyteller.errors import DataError
from storyteller.train.labels import propose, pseudo_labels, uncertainty

LABELLED = [("good " * 20, 1), ("bad " * 25, 0)] * 20
TEXTS = ["good " * 20, "bad " * 25, "so-so " * 17, "?", "good " * 22, "bad " * 24]


def score(texts: Sequence[str]) -> list[float]:
    chances = {"good": 0.99, "bad": 0.02, "so-so": 0.6, "?": math.nan}
    return [chances[text.split()[0]] for text in texts]


def test_only_what_is_sure_is_labelled() -> None:
    made = pseudo_labels(TEXTS, score, LABELLED)
    assert [(index, label) for index, label, _ in made.accepted] == [(0, 1), (1, 0), (4, 1), (5, 0)]
    assert made.left == 2
    assert made.drift.right == 1
    assert made.drift.sure == 40


def test_a_scorer_that_is_sure_and_wrong_is_found_out() -> None:
    drift = pseudo_labels(TEXTS, lambda texts: [1 - value for value in score(texts)], LABELLED).drift
    assert drift.right == 0
    assert any("right on 0%" in reason for reason in drift.reasons)


def test_a_scorer_that_is_sure_of_nothing_cannot_be_checked() -> None:
    drift = pseudo_labels(TEXTS, lambda texts: [0.6] * len(texts), LABELLED).drift
    assert any("too few to tell" in reason for reason in drift.reasons)


def test_other_shares_and_other_lengths_are_drift() -> None:
    reasons = " ".join(pseudo_labels(["good " * 200] * 30, score, LABELLED).drift.reasons)
    assert "100% of the accepted texts are labelled 1, and 50%" in reasons
    assert "other lengths" in reasons


def test_like_texts_do_not_drift() -> None:
    assert pseudo_labels([text for text, _ in LABELLED], score, LABELLED).drift.reasons == ()


@pytest.mark.parametrize(
    ("threshold", "labelled", "chance"), [(0.5, LABELLED, 0.9), (0.9, LABELLED[:5], 0.9), (0.9, LABELLED, 1.5)]
)
def test_what_makes_no_sense_is_refused(threshold: float, labelled: list[tuple[str, int]], chance: float) -> None:
    with pytest.raises(DataError):
        pseudo_labels(TEXTS, lambda texts: [chance] * len(texts), labelled, threshold=threshold)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(0, 6), st.integers(0, 99))
def test_each_next_story_has_the_largest_gain(count: int, labelled: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors, chances = random.normal(size=(10, 4)), random.random(10)
    known = random.permutation(10)[:labelled].tolist()
    chosen = propose(vectors, chances.tolist(), count, known)
    assert len(chosen) == len(set(chosen)) == min(count, 10 - labelled)
    assert not set(chosen) & set(known)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for step, index in enumerate(chosen):
        near = [*known, *chosen[:step]]
        gains = {
            i: uncertainty(chances)[i] * max(0.0, min([1.0, *(1 - units[i] @ units[j] for j in near)]))
            for i in range(10)
            if i not in near
        }
        assert gains[index] == pytest.approx(max(gains.values()))


def test_twins_are_not_both_asked() -> None:
    vectors = np.array([[1.0, 0], [1.0, 0], [0, 1.0]])
    assert propose(vectors, [0.5, 0.5, 0.9], 2) == [0, 2]


def test_who_cannot_say_is_as_uncertain_as_can_be() -> None:
    assert uncertainty([0.5, math.nan, 0.0]).round(6).tolist() == [1, 1, 0]


def test_vectors_and_chances_belong_together() -> None:
    with pytest.raises(DataError, match="every story"):
        propose(np.ones((2, 2)), [0.5], 1)


@pytest.fixture
def coherence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coherence scorer that is sure of what ends in "good." or "bad.", and can say nothing of some others."""
    from storyteller.evaluate.scorer import scorer

    class Fake:
        @classmethod
        def load(cls) -> Fake:
            return cls()

        def score(self, texts: Sequence[str], language: str) -> list[scorer.Score]:
            sure = {"good.": 0.99, "bad.": 0.01}
            chances = [sure.get(text.split()[-1], 0.5 if "spring" in text else None) for text in texts]
            return [scorer.Score(chance, 0, 0, (), True) for chance in chances]

    monkeypatch.setattr(scorer, "CoherenceScorer", Fake)


def test_the_command_writes_what_to_label(tmp_path: Path, coherence: None) -> None:
    corpus = write_corpus(tmp_path / "corpus", [long_story(f"s{i}", 1 + i) for i in range(6)])
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    assert CliRunner().invoke(app, ["label", str(corpus), "--out", str(first), "--count", "2"]).exit_code == 0
    more = ["label", str(corpus), "--out", str(second), "--count", "9", "--labelled", str(first)]
    assert CliRunner().invoke(app, more).exit_code == 0
    ids = [[json.loads(line)["id"] for line in path.read_text().splitlines()] for path in (first, second)]
    assert len(ids[0]) == 2
    assert sorted(ids[0] + ids[1]) == [f"s{i}" for i in range(6)]


def test_the_command_labels_what_is_sure(tmp_path: Path, coherence: None) -> None:
    told = [story(f"The keeper was {word}", f"{word}{i}") for i in range(24) for word in ("good.", "bad.")]
    doubtful = [story("The keeper slept in spring.", f"d{i}") for i in range(3)]
    corpus, people, out = write_corpus(tmp_path / "corpus", [*told, *doubtful]), tmp_path / "people", tmp_path / "sure"
    accept = ["label", str(corpus), "--out", str(out), "--accept", "--labelled", str(people)]

    def label(right: bool) -> None:
        lines = [one.to_json() | {"label": int(("good" in one.text) == right)} for one in told[:24]]
        people.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")

    label(right=False)
    refused = CliRunner().invoke(app, accept)
    assert refused.exit_code == 2
    assert "not to be trusted" in refused.stderr
    assert "right on 0%" in refused.stderr
    assert not out.exists()
    label(right=True)
    done = CliRunner().invoke(app, accept)
    assert done.exit_code == 0, done.output
    assert "24 of 51 stories, labelled by a scorer that is right on 100%" in done.stdout
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert {(line["text"].split()[-1], line["label"]) for line in lines} == {("good.", 1), ("bad.", 0)}
    assert not {line["id"] for line in lines} & {one.id for one in told[:24]}
    proposed = [one.to_json() | {"label": int("good" in one.text), "chance": 0.6} for one in told[:24]]
    people.write_text("".join(json.dumps(line) + "\n" for line in proposed), "utf-8")
    refused = CliRunner().invoke(app, accept)
    assert refused.exit_code == 2
    assert "drawn at random" in refused.stderr
    assert "name the file" in CliRunner().invoke(app, accept[:-2]).stderr


def test_a_sample_is_drawn_at_random_and_checked_on_alone(tmp_path: Path, coherence: None) -> None:
    told = [story(f"The keeper was {word}", f"{word}{i}") for i in range(100) for word in ("good.", "bad.")]
    corpus, sample, out = write_corpus(tmp_path / "corpus", told), tmp_path / "sample.jsonl", tmp_path / "sure.jsonl"
    drawn = CliRunner().invoke(app, ["label", str(corpus), "--out", str(sample), "--random", "--count", "80"])
    assert "80 of 200 stories, drawn at random" in drawn.stdout
    lines = [json.loads(line) for line in sample.read_text("utf-8").splitlines()]
    assert {line["drawn"] for line in lines} == {"random"}
    rest = [one for one in told if one.id not in {line["id"] for line in lines}]
    # What was proposed is where the scorer errs; it has no say.
    wrong = [one.to_json() | {"chance": 0.5, "label": int("good" not in one.text)} for one in rest[:20]]
    labelled = [line | {"label": int("good" in line["text"])} for line in lines] + wrong
    sample.write_text("".join(json.dumps(line) + "\n" for line in labelled), "utf-8")
    done = CliRunner().invoke(app, ["label", str(corpus), "--out", str(out), "--accept", "--labelled", str(sample)])
    assert done.exit_code == 0, done.output
    assert len(out.read_text("utf-8").splitlines()) == 100


def test_the_command_refuses_a_language_that_nobody_judges(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus", [long_story("s", 2, "zh")])
    told = CliRunner().invoke(app, ["label", str(corpus), "--out", str(tmp_path / "out"), "--lang", "zh"])
    assert told.exit_code == 2
    assert "reads English only" in told.stderr


def test_stories_are_considered_from_the_whole_corpus(tmp_path: Path, coherence: None) -> None:
    corpus, out = (
        write_corpus(tmp_path / "corpus", [long_story(f"s{i}", 1 + i % 6) for i in range(60)]),
        tmp_path / "out",
    )
    told = CliRunner().invoke(app, ["label", str(corpus), "--out", str(out), "--limit", "20", "--count", "20"])
    assert told.exit_code == 0, told.output
    numbers = [int(json.loads(line)["id"][1:]) for line in out.read_text("utf-8").splitlines()]
    assert len(numbers) == 20
    assert max(numbers) >= 40  # not only the first ones, which are of one author
