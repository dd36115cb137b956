"""Related passages: the right scene comes back, only what changed costs, and what is said about a hit is true."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from benchmarks.retrieval import by_substring, held_out, recall
from hypothesis import given
from hypothesis import strategies as st

from storyteller.corpus.story import Language
from storyteller.craft.retrieval import Index, related

SEAL = (
    "The seal came up the slipway with a letter in her teeth. The keeper dried it on the lamp.\n"
    "Far inland a cobbler sold two left shoes to a man in a hurry."
)
LAMP = (
    "守灯塔的人在傍晚看见一只海豹，嘴里衔着一封信。他把信放在灯上烤干。\n山里的鞋匠把两只左脚的鞋卖给了一个赶路的人。"
)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_right_scene_for_sentences_that_it_lacks(language: Language) -> None:
    scenes, queries = held_out(language)
    index = Index()
    for name, text in scenes.items():
        index.put(name, text, language)
    ours = recall([(name, [one.source for one in related(query, index, 3)]) for name, query in queries])
    plain = recall([(name, by_substring(query, scenes, language)) for name, query in queries])
    assert ours[0] > plain[0] + 0.05
    assert ours[1] > plain[1] + 0.05


@pytest.mark.parametrize(("text", "query", "language"), [(SEAL, "letters for seals", "en"), (LAMP, "海豹的信", "zh")])
def test_a_hit_says_where_and_why(text: str, query: str, language: Language) -> None:
    index = Index()
    assert index.put("scene", text, language)
    assert index.put("other", "A dog. Nothing else." if language == "en" else "一条狗。别的没有。", language)
    (hit,) = related(query, index)
    assert hit.source == "scene"
    assert text[hit.start : hit.end] == hit.text
    assert set(hit.terms) <= ({"seal", "letter"} if language == "en" else {"海豹", "豹的", "的信"})
    assert hit.terms
    assert related(query, index, without={"scene"}) == []
    assert related("zebra", index) == []
    assert related("", index) == []


def test_what_has_not_changed_costs_nothing() -> None:
    embedder = Counting()
    index = Index(embedder)
    long = "\n".join(f"{SEAL} Part {number} of it." for number in range(20))
    assert index.put("a", long, "en")
    first = embedder.seen
    assert not index.put("a", long, "en")
    assert index.put("a", long + "\nAnd at last the letter was read.", "en")
    assert embedder.seen - first <= 2, "only the passage that grew is embedded again"
    index.drop("a")
    assert len(index) == 0
    assert not index._having
    assert index._words == 0


def test_meaning_finds_what_words_alone_rank_low() -> None:
    index = Index(Counting())
    index.put("near", "The ship sank slowly in the storm.", "en")
    index.put("far", "The ship is a word, ship.", "en")
    assert [hit.source for hit in related("ship storm-like", index)] == ["near", "far"]


class Counting:
    """An embedder that knows one thing: whether there is a storm."""

    name = "counting"

    def __init__(self) -> None:
        self.seen = 0

    def embed(self, sentences: list[str]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        self.seen += len(sentences)
        return np.array([[float("storm" in one), 1.0] for one in sentences], np.float32)


@given(st.text(max_size=2000), st.sampled_from(["en", "zh"]))
def test_passages_lie_in_their_text(text: str, language: Language) -> None:
    index = Index()
    index.put("a", text, language)
    places = sorted((held.start, held.start + len(held.text)) for held in index._held.values())
    assert all(text[start:end].strip() for start, end in places)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(places))


def test_a_novel_is_indexed_in_a_moment() -> None:
    chance = random.Random(0)
    words = [f"word{number}" for number in range(5000)]
    index = Index()
    for scene in range(50):
        index.put(f"{scene}", " ".join(chance.choice(words) + ("." if n % 12 == 0 else "") for n in range(2000)), "en")
    assert len(index) > 800
    assert len(related(" ".join(words[:200]), index, 5)) == 5
