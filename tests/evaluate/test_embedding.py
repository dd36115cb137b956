from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from storyteller.corpus.story import Language
from storyteller.errors import DataError
from storyteller.evaluate.embedding import MiniLM, choose_embedder, embed_sentences, judge_features, story_embeddings

SEA = {
    "en": [
        f"The seal swam to the lighthouse number {n}. The keeper of the lighthouse fed the seal." for n in range(20)
    ],
    "zh": [f"海豹游向第{n}座灯塔。守塔人喂了海豹。" for n in range(20)],
}
COURT = {
    "en": [f"The judge read verdict {n} to the court. A lawyer argued before the judge." for n in range(20)],
    "zh": [f"法官向法庭宣读第{n}号判决。律师与法官争辩。" for n in range(20)],
}


class Counting:
    """An embedder that says what it was asked for."""

    name = "counting"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def embed(self, sentences: Sequence[str]) -> NDArray[np.float32]:
        self.asked.extend(sentences)
        vectors = np.array([[len(text), text.count("e"), 1] for text in sentences], np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_without_weights_latent_semantics_tells_topics_apart(language: Language) -> None:
    embedded = embed_sentences(SEA[language] + COURT[language], language)
    assert embedded.embedder == "latent semantic analysis"
    assert [len(sentences) for sentences in embedded.sentences] == [2] * 40
    stories = story_embeddings(embedded)
    assert np.linalg.norm(stories, axis=1) == pytest.approx(1, abs=1e-5)
    likeness = stories @ stories.T
    assert likeness[:20, :20].mean() > likeness[:20, 20:].mean() + 0.3


def test_a_sentence_is_embedded_once_and_never_again(tmp_path: Path) -> None:
    cache = tmp_path / "embeddings.safetensors"
    first, again = Counting(), Counting()
    texts = ["A seal swam. A seal swam. It ate.", "It ate."]
    one = embed_sentences(texts, "en", first, cache)
    assert first.asked == ["A seal swam.", "It ate."]
    two = embed_sentences([*texts, "It slept."], "en", again, cache)
    assert again.asked == ["It slept."]
    assert all(np.array_equal(a, b) for a, b in zip(one.sentences, two.sentences, strict=False))
    assert [len(sentences) for sentences in two.sentences] == [3, 1, 1]
    cache.write_bytes(b"damaged")
    third = Counting()
    embed_sentences(texts, "en", third, cache)
    assert third.asked == first.asked

    class Other(Counting):
        name = "other"

    other = Other()
    embed_sentences(texts, "en", other, cache)
    assert other.asked == first.asked


def test_sentences_without_marks_are_never_taken_for_those_with_them(tmp_path: Path) -> None:
    cache = tmp_path / "embeddings.safetensors"
    marked, plain = Counting(), Counting()
    texts = ["A seal swam, far. “It” ate! ...", "它吃了，睡了。"]
    embed_sentences(texts, "en", marked, cache)
    embedded = embed_sentences(texts, "en", plain, cache, punctuation=False)
    assert marked.asked == ["A seal swam, far.", '"It" ate!', "...", "它吃了,睡了。"]
    assert plain.asked == ["A seal swam far", "It ate", "它吃了睡了"]
    assert [len(sentences) for sentences in embedded.sentences] == [2, 1]


def test_judge_features_have_one_row_a_text() -> None:
    embedded = embed_sentences(["A seal swam. It ate well.", "It slept."], "en", Counting())
    features = judge_features(embedded)
    assert features.shape == (2, 9)
    assert np.all(np.isfinite(features))
    assert features[1, 3:6] == pytest.approx(0)
    assert features[1, 6] == 1


def test_nothing_is_fetched_and_nothing_is_made_up() -> None:
    assert choose_embedder("en") is None  # the cache of a test is empty
    assert choose_embedder("zh") is None
    with pytest.raises(DataError, match="no text"):
        embed_sentences([], "en")
    with pytest.raises(DataError, match="text 2 has no sentence"):
        embed_sentences(["A seal.", "  "], "en")
    with pytest.raises(DataError, match=r"too few|share no"):
        embed_sentences(["A seal."], "en")


@pytest.mark.slow
def test_minilm_knows_what_sentences_mean() -> None:
    embedder = MiniLM()
    cat, rug, stocks = embedder.embed(
        ["The cat sat on the mat.", "A cat was sitting on a rug.", "Stocks fell sharply."]
    )
    assert cat @ rug > 0.6
    assert cat @ stocks < 0.2
    # Padding does not count: a sentence is the same beside a longer one.
    alone = embedder.embed(["The cat sat on the mat."])[0]
    assert alone == pytest.approx(cat, abs=0.02)
